/* The answer to a selection: the files it means (store/plan.h), merged into one profile, totals exact. The label "tid"
 * is left out, as merging into hours leaves it out: an answer does not depend on what has been merged by now.
 *
 * Time grows with the bytes read, not with what is kept. Memory: at most bytes_max for all profiles being merged,
 * together with the copies of two files, one a thread, as they are read. */
#pragma once
#include "store/corrupt.h"
#include "store/plan.h"
#include "store/rebuild.h"
#include "store/selection.h"
#include "store/store.h"

#define QUERY_BYTES_MAX_DEFAULT (1ull << 30)

struct query_options {
	uint64_t bytes_max; /* 0: QUERY_BYTES_MAX_DEFAULT */
	unsigned n_threads; /* 0: as many as pay, two at most */
	const struct store_progress *progress;
};

/* What the answer stands on; every field is for telling the user. */
struct query_report {
	uint64_t n_files, n_of[STORE_LEVELS], n_passed_over;
	uint64_t bytes, raw_bytes;
	int64_t first_ns,
	        last_ns; /* held; the range asked for may be larger or, where merged files stick out, smaller */
	bool has_index;
	struct corrupt corrupt; /* not in the answer; where they are now */
	uint64_t n_missing;     /* in the index, but gone */
	uint64_t n_other_types; /* other sample types than the first file: not in the answer */
};

/* *ret has no samples (and no sample types) where nothing is held. Corrupt files are left out, set aside where the
 * store was opened for writing, and reported. -EINVAL: the selection has no type and the store not just one (error
 * names them); -E2BIG: bytes_max is too little for the answer. */
int store_query(struct store *s, const struct selection *sel, const struct query_options *options, struct profile **ret,
        struct query_report *report, struct profile_error *error);

/* The profile types of a store in order of name; f as in index_each(). */
int store_each_type(struct store *s, int (*f)(void *, const char *type), void *data);
/* sel->type, or the only type of the store, in type. Errors as store_query(). */
int query_type(struct store *s, const struct selection *sel, char type[STORE_TYPE_MAX], struct profile_error *error);

/* One file read for a query: as pprof_read_into(), with matchers and without the labels that merging drops. */
int query_read(
        struct store *s, const struct plan_file *f, const struct selection *sel, unsigned flags, struct profile *to);
/* The same with all labels. */
int query_read_window(struct store *s, const struct plan_file *f, const struct selection *sel, struct profile *to);
