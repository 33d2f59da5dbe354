/* What struct store holds; for the files of store/ only. */
#pragma once
#include <sys/types.h>
#include "store/index.h"
#include "store/store.h"

#define STORE_DIRECTORY_MODE 0750

struct store {
	char *path;
	char host[STORE_HOST_MAX];
	uint64_t max_profile_bytes;
	int dir_fd;
	bool is_read_only, needs_rebuild;
	struct index *index; /* NULL: none that can be used */
};

/* The index, opened again where somebody put another in its place. -ENODATA: none that is complete (a writer has it all
 * the same where allow_incomplete). */
int store_index(struct store *s, bool allow_incomplete, struct index **ret);
/* Opens it anew; one that is missing or broken is replaced where we may write, and must then be rebuilt. */
int store_open_index(struct store *s);

/* Advisory locks, empty files below the store's directory: gone with the process that holds them. */
#define STORE_LOCK_INDEX ".lock-index"
#define STORE_LOCK_KEEPER ".lock-keeper" /* merging, retention, rebuilding: one process at a time */
/* Descriptor that holds the lock until it is closed. -EAGAIN: somebody else has it, and wait is false. */
int store_lock(struct store *s, const char *name, bool wait);
/* What merging, retention and rebuilding begin with: their lock (the result, a descriptor) and the index. -EROFS: the
 * store is open for reading; else as the two. */
int store_keep(struct store *s, bool wait, bool allow_incomplete, struct index **ret);
