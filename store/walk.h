/* The store's directory, name by name: nothing is kept, so a directory of a million files takes no more memory than one
 * of ten. Order is the file system's. */
#pragma once
#include "store/handle.h"
#include "store/name.h"

enum walk_kind {
	WALK_FILE,
	WALK_TEMPORARY, /* of a writer, or left by one that was killed */
	WALK_STRANGER,  /* no name of ours */
};

struct walk_entry {
	enum walk_kind kind;
	int dir_fd; /* of its date */
	const char *type, *filename;
	char path[STORE_PATH_MAX]; /* of a WALK_FILE */
	struct store_name name;    /* likewise */
};

struct walk_where {
	const char *type; /* NULL: all */
	bool has_range;
	int64_t from_s, to_s; /* dates that cannot hold a start in it are not opened; a day's slack on both sides */
	bool is_cleaning;     /* removes directories of dates that are empty */
};

/* f returns < 0 to fail, > 0 to stop. A directory that cannot be read is an error; one that vanishes is not. */
int walk(struct store *s, const struct walk_where *where, int (*f)(void *, const struct walk_entry *), void *data);

/* Whether a directory of that name has any date in it: other things live in the store's directory as well. 0 or 1. */
int walk_is_type(int dir_fd, const char *name);

/* All of a stored file; -EBADMSG where it is no plain file, -E2BIG over max. */
int walk_read(struct store *s, const char *path, size_t max, char **ret, size_t *ret_size);
int walk_open(struct store *s, const char *path);
