/* What a store holds, for lists: files, label values. With an index at once; without one label values are read from the
 * files themselves. */
#pragma once
#include "store/plan.h"
#include "store/rebuild.h"
#include "store/selection.h"

struct catalog_file {
	const char *path, *type, *host; /* borrowed */
	const char *totals;             /* "samples/count=3400 ..."; "" without an index */
	uint32_t level, n_samples;      /* n_samples: 0 without an index */
	int64_t start_ns, end_ns;
	uint64_t bytes, raw_bytes;
};
/* Files that the selection means (sel->type NULL: of all types), by type and start. Returns 1 where an index answered,
 * 0 where names did. f as in index_each(). */
int catalog_files(
        struct store *s, const struct selection *sel, int (*f)(void *, const struct catalog_file *), void *data);

struct catalog_value {
	const char *value; /* NULL: more values than the index keeps */
	size_t size;
	uint64_t n_files;
};
/* Values of the label, or with name NULL the names of all labels, in files that the selection means; sorted. */
int catalog_labels(struct store *s, const struct selection *sel, const char *name,
        const struct store_progress *progress, int (*f)(void *, const struct catalog_value *), void *data);

struct catalog_type {
	const char *type;
	uint64_t n_files[STORE_LEVELS], bytes;
	int64_t first_ns, last_ns;
};
int catalog_types(struct store *s, int (*f)(void *, const struct catalog_type *), void *data);
