/* Values over time: of each stored file of a selection, one value for each value of a label. A file is a point in time:
 * windows a minute long, older ones an hour or a day, with start and end told. */
#pragma once
#include "store/query.h"

struct series_point {
	int64_t start_ns, end_ns;
	const char *
	        key; /* label value; "" for samples without the label, and for the whole where no label was asked for */
	int64_t value;
	const char *unit;
};

struct series_options {
	const char *by;          /* label; NULL: the whole */
	const char *sample_type; /* NULL: each file's last */
	const struct store_progress *progress;
};

/* f as in index_each(); files in order of time, keys of one file in no order. Memory: one file at a time. Errors as
 * store_query(); -ENOENT: no such sample type. */
int store_series(struct store *s, const struct selection *sel, const struct series_options *options,
        int (*f)(void *, const struct series_point *), void *data, struct query_report *report,
        struct profile_error *error);
