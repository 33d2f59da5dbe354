/* The index: one SQLite file, STORE/index.sqlite, with one row a stored file and the label values each one holds. It
 * holds nothing that the files do not say. Rollback journal, not WAL: a reader without the right to write, or on a
 * read-only file system, can read it.
 *
 * All functions return -EBADMSG where the index itself is broken (or of another version), -EBUSY where another process
 * holds it for longer than INDEX_BUSY_MS. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "base/intern.h"
#include "store/name.h"

struct index;

#define INDEX_FILE "index.sqlite"
#define INDEX_BUSY_MS 3000
#define INDEX_VERSION 1
#define INDEX_LABELS_BYTES_MAX (1u << 20)
#define INDEX_CHECKED_BYTES_MAX (64u << 20) /* a larger index is not checked as a whole when it is opened */

enum {
	INDEX_READ_ONLY = 1 << 0,
	INDEX_CREATE = 1 << 1, /* where there is none; it starts as not complete */
};

/* -ENOENT where there is none and INDEX_CREATE was not given. */
int index_open(const char *directory, unsigned flags, struct index **ret);
struct index *index_close(struct index *x);
DEFINE_CLEANUP(struct index *, index_close)

/* Complete: every file of the store has its row, as far as the index knows. */
int index_is_complete(struct index *x, bool *ret);
int index_set_complete(struct index *x, bool complete);
/* Whether the file that was opened is still the one in the directory. */
bool index_is_current(const struct index *x);
int index_get_number(struct index *x, const char *name, int64_t *ret); /* -ENOENT */
int index_set_number(struct index *x, const char *name, int64_t value);

struct index_row {
	int64_t id;
	const char *path, *type, *host, *totals; /* borrowed, valid during the callback */
	uint32_t level, sealed;                  /* sealed: merging into level `sealed` would only make it too large */
	int64_t start_ns, end_ns;
	int64_t added_ns; /* what its age counts from (store/retention.h) */
	uint64_t bytes, raw_bytes;
	uint32_t n_samples;
	const void *labels; /* index_labels_*() */
	size_t labels_size;
};

/* Several changes that happen together or not at all; they nest. index_end() commits where result is 0 or more, and
 * rolls back else; it returns the result or why it could not commit. */
int index_begin(struct index *x);
int index_end(struct index *x, int result);

/* Takes the place of a row with the same path. labels: as facts.h has them. */
int index_put(struct index *x, const struct index_row *row, const struct intern *labels);
int index_remove(struct index *x, const char *path); /* 0 where there is none, 1 where there was */
int index_has(struct index *x, const char *path);    /* 0 or 1 */
int index_seal(struct index *x, const char *path, uint32_t level);
int index_clear(struct index *x); /* all rows and labels; not complete from then on */

struct index_where {
	const char *type, *host; /* NULL: any */
	bool has_range;
	int64_t from_ns, to_ns; /* store/query.h has the rule */
	bool has_slot;
	int64_t slot_from_ns, slot_to_ns; /* start in [from, to), whatever the level */
	uint32_t levels_below;            /* 0: all levels */
	uint32_t sealed_below;            /* 0: any */
	int64_t after_id;                 /* rows with a larger id only; with limit: pages in order of id */
	uint64_t limit;                   /* 0: none; else order by id */
	bool oldest_first; /* by age (added_ns); else by type, start, path, or id where there is a limit */
};

/* f returns < 0 to fail, > 0 to stop, 0 to go on. Nothing may be changed from within f. */
int index_each(
        struct index *x, const struct index_where *where, int (*f)(void *, const struct index_row *), void *data);

struct index_group {
	char type[STORE_TYPE_MAX], host[STORE_HOST_MAX];
	int64_t start_ns; /* of the hour or day */
	uint64_t n_files;
};
/* Hours (days) of which more than one file of a lower level is there. */
int index_groups(struct index *x, uint32_t level, int (*f)(void *, const struct index_group *), void *data);

struct index_sums {
	uint64_t n_files[STORE_LEVELS], bytes[STORE_LEVELS];
	int64_t first_ns, last_ns; /* start of the oldest, end of the newest; 0 where there is none */
};
int index_sum(struct index *x, const char *type, struct index_sums *ret);

/* Label values. The blob of a row names its labels by id. */
int index_each_label(struct index *x, const char *name,
        int (*f)(void *, int64_t id, const char *name, const char *value, size_t value_size), void *data);
/* Calls f for each id in a row's blob; -EBADMSG. */
int index_labels_each(const void *blob, size_t size, int (*f)(void *, int64_t id), void *data);
/* Forgets label values that no row has any more. Returns how many. */
int index_drop_unused_labels(struct index *x);
