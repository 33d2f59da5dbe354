/* What the commands that list something of a store share (list, types, labels, series): options and the open store, and
 * rows as a table or as JSON. JSON is printed as it comes; of a table the first LISTING_ROWS_MAX rows are shown. */
#pragma once
#include "ctl/command.h"
#include "ctl/progress.h"
#include "ctl/table.h"

#define LISTING_ROWS_MAX 10000

struct listing {
	struct command_args args;
	struct source_query query;
	struct progress progress;
	struct table *table; /* NULL: JSON */
	uint64_t n;          /* rows so far */
};
void listing_done(struct listing *l);
#define _cleanup_listing_ _cleanup_(listing_done)

/* As command_parse() and source_open(): 0: go on, else what .run must return. */
int listing_open(struct listing *l, const struct command *c, int argc, char **argv, void *userdata,
        const char *default_from, const struct table_column *columns, size_t n_columns);
/* For functions that are called for each row, with l as their data. row is stolen. */
int listing_add_json(struct listing *l, json_t *row);
int listing_add_row(struct listing *l, const char *const *cells);
/* Steps of a long listing. */
struct store_progress listing_progress(struct listing *l);
/* Ends what was begun; r: how it went, logged as "cannot list WHAT" where that was not well. */
int listing_finish(struct listing *l, int r, const char *what);
