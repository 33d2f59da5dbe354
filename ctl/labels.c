/* emberctl labels [NAME]: label names, or the values of one. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "ctl/command.h"
#include "ctl/progress.h"
#include "ctl/table.h"
#include "store/catalog.h"

struct listing {
	struct table *table;
	json_t *json;
};

static int on_value(void *data, const struct catalog_value *v)
{
	struct listing *l = data;
	_cleanup_free_ char *text = v->value ? strndup(v->value, v->size) : NULL;
	char files[24];

	if (v->value && !text)
		return -ENOMEM;
	if (l->json)
		return json_array_append_new(
		        l->json, json_pack("{sosI}", "value", text ? command_json_string(text) : json_null(), "files",
		                         (json_int_t)v->n_files));
	(void)snprintf(files, sizeof(files), "%" PRIu64, v->n_files);
	return table_add_row(
	        l->table, (const char *const[]){ text ? text : "(more values than the index keeps)", files });
}

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
	progress_update(userdata, done, total);
}

static int labels_run(const struct command *c, int argc, char **argv)
{
	const struct table_column columns[] = { { "value", TABLE_CUT }, { "files", TABLE_RIGHT } };
	_cleanup_progress_ struct progress progress = progress_start("reading", "files");
	const struct store_progress steps = { on_progress, &progress };
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
		return log_err(r, "cannot list labels");
	l = (struct listing){ .table = table, .json = args.json ? json_array() : NULL };
	r = catalog_labels(q.store, &q.selection, args.n_arguments ? args.arguments[0] : NULL, &steps, on_value, &l);
	progress_end(&progress);
	if (r < 0) {
		json_decref(l.json);
		return log_err(r, "cannot list labels");
	}
	return l.json ? command_print_json(l.json) : table_print(table, stdout, table_terminal_width(stdout));
}

const struct command labels_command = {
	.name = "labels",
	.arguments = "[NAME]",
	.summary = "List the label names of a selection, or the values of one",
	.details = "Looks at the last day where --from is not given; says in how many files each is.\n\n"
	           "Examples:\n"
	           "  emberctl labels\n"
	           "  emberctl labels comm --type cpu --from -1h\n"
	           "  emberctl labels unit --match 'comm=~\"python.*\"'",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.arguments_max = 1,
	.run = labels_run,
};
