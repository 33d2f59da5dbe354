/* emberctl list: the stored files of a selection. */
#include <inttypes.h>

#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/table.h"
#include "store/catalog.h"

struct listing {
	struct table *table;
	json_t *json;
};

static int add_json(json_t *list, const struct catalog_file *f)
{
	return json_array_append_new(
	        list, json_pack("{sssssssIsIsIsIsIssss}", "type", f->type, "host", f->host, "kind",
	                      store_level_name(f->level), "start_ns", (json_int_t)f->start_ns, "end_ns",
	                      (json_int_t)f->end_ns, "samples", (json_int_t)f->n_samples, "bytes", (json_int_t)f->bytes,
	                      "raw_bytes", (json_int_t)f->raw_bytes, "totals", f->totals, "path", f->path));
}

static int on_file(void *data, const struct catalog_file *f)
{
	struct listing *l = data;
	char samples[24], size[UNITS_TEXT_MAX], start[SELECTION_TIME_MAX], length[UNITS_TEXT_MAX];

	if (l->json)
		return add_json(l->json, f);
	(void)snprintf(samples, sizeof(samples), "%" PRIu32, f->n_samples);
	return table_add_row(l->table,
	        (const char *const[]){ f->type, selection_format_time(start, f->start_ns),
	                units_format_time(length, (uint64_t)(f->end_ns - f->start_ns)), store_level_name(f->level),
	                f->host, samples, units_format_size(size, f->bytes), f->totals });
}

static int list_run(const struct command *c, int argc, char **argv)
{
	static const struct table_column columns[] = { { "type", 0 }, { "start", 0 }, { "length", TABLE_RIGHT },
		{ "kind", 0 }, { "host", 0 }, { "samples", TABLE_RIGHT }, { "size", TABLE_RIGHT },
		{ "totals", TABLE_CUT } };
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_source_query_ struct source_query q = { 0 };
	_cleanup_(table_freep) struct table *table = NULL;
	struct listing l = { 0 };
	int r;

	r = command_parse(c, argc, argv, &args, NULL);
	if (r != 0)
		return r;
	r = source_open(&args.input.source, "-1d", &q);
	if (r < 0)
		return r;
	r = table_new(columns, ARRAY_SIZE(columns), &table);
	if (r < 0)
		return log_err(r, "cannot list files");
	l = (struct listing){ .table = table, .json = args.json ? json_array() : NULL };
	r = catalog_files(q.store, &q.selection, on_file, &l);
	if (r < 0) {
		json_decref(l.json);
		return log_err(r, "cannot list files");
	}
	return l.json ? command_print_json(l.json) : table_print(table, stdout, table_terminal_width(stdout));
}

const struct command list_command = {
	.name = "list",
	.arguments = "",
	.summary = "List the stored profiles of a selection (default: the last day)",
	.details = "One line a file: a window, or the hour or day that older windows were merged into. With --match, "
	           "files "
	           "of which the index knows that nothing in them matches are left out.\n\n"
	           "Examples:\n"
	           "  emberctl list --type cpu --from -2h\n"
	           "  emberctl list --from yesterday --to today --match 'comm=\"nginx\"' --json",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.run = list_run,
};
