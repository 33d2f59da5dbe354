#include "ctl/listing.h"

#include <inttypes.h>

#include "base/log.h"

void listing_done(struct listing *l)
{
	progress_end(&l->progress);
	command_args_done(&l->args);
	source_query_done(&l->query);
	l->table = table_free(l->table);
}

int listing_open(struct listing *l, const struct command *c, int argc, char **argv, void *userdata,
        const char *default_from, const struct table_column *columns, size_t n_columns)
{
	int r = command_parse(c, argc, argv, &l->args, userdata);

	if (r != 0)
		return r;
	r = source_open(&l->args.input.source, default_from, &l->query);
	if (r < 0)
		return r;
	l->progress = progress_start("reading", "files");
	if (l->args.json)
		return 0;
	r = table_new(columns, n_columns, &l->table);
	return r < 0 ? log_err(r, "cannot make a table") : 0;
}

int listing_add_json(struct listing *l, json_t *row)
{
	int r = row ? 0 : -ENOMEM;

	if (r == 0 && (fputs(l->n++ ? ",\n  " : "[\n  ", stdout) == EOF || json_dumpf(row, stdout, JSON_COMPACT) < 0))
		r = -EIO;
	json_decref(row);
	return r;
}

int listing_add_row(struct listing *l, const char *const *cells)
{
	return l->n++ < LISTING_ROWS_MAX ? table_add_row(l->table, cells) : 0;
}

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
	progress_update(userdata, done, total);
}

struct store_progress listing_progress(struct listing *l)
{
	return (struct store_progress){ on_progress, &l->progress };
}

int listing_finish(struct listing *l, int r, const char *what)
{
	progress_end(&l->progress);
	if (r < 0)
		return log_err(r, "cannot list %s", what);
	if (!l->table)
		return fputs(l->n ? "\n]\n" : "[]\n", stdout) == EOF ? log_err(-EIO, "cannot write to standard output")
		                                                     : 0;
	r = table_print(l->table, stdout, table_terminal_width(stdout));
	if (r < 0)
		return log_err(r, "cannot write to standard output");
	if (l->n > LISTING_ROWS_MAX)
		printf("(the first %d of %" PRIu64 "; a shorter range or --json shows the others)\n", LISTING_ROWS_MAX,
		        l->n);
	return 0;
}
