/* emberctl types: what kinds of profiles a store holds, how many, of when. */
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

static int add_json(json_t *list, const struct catalog_type *t)
{
	return json_array_append_new(list,
	        json_pack("{sssIsIsIsIsIsI}", "type", t->type, "windows", (json_int_t)t->n_files[STORE_WINDOW], "hours",
	                (json_int_t)t->n_files[STORE_HOUR], "days", (json_int_t)t->n_files[STORE_DAY], "bytes",
	                (json_int_t)t->bytes, "first_ns", (json_int_t)t->first_ns, "last_ns", (json_int_t)t->last_ns));
}

static int on_type(void *data, const struct catalog_type *t)
{
	struct listing *l = data;
	char numbers[STORE_LEVELS][24], size[UNITS_TEXT_MAX], first[SELECTION_TIME_MAX], last[SELECTION_TIME_MAX];

	if (l->json)
		return add_json(l->json, t);
	for (uint32_t i = 0; i < STORE_LEVELS; i++)
		(void)snprintf(numbers[i], sizeof(numbers[i]), "%" PRIu64, t->n_files[i]);
	return table_add_row(
	        l->table, (const char *const[]){ t->type, numbers[STORE_WINDOW], numbers[STORE_HOUR],
	                          numbers[STORE_DAY], units_format_size(size, t->bytes),
	                          selection_format_time(first, t->first_ns), selection_format_time(last, t->last_ns) });
}

static int types_run(const struct command *c, int argc, char **argv)
{
	static const struct table_column columns[] = { { "type", 0 }, { "windows", TABLE_RIGHT },
		{ "hours", TABLE_RIGHT }, { "days", TABLE_RIGHT }, { "size", TABLE_RIGHT }, { "from", 0 },
		{ "to", 0 } };
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_source_query_ struct source_query q = { 0 };
	_cleanup_(table_freep) struct table *table = NULL;
	struct listing l = { 0 };
	int r;

	r = command_parse(c, argc, argv, &args, NULL);
	if (r != 0)
		return r;
	r = source_open(&args.input.source, "-1h", &q);
	if (r < 0)
		return r;
	r = table_new(columns, ARRAY_SIZE(columns), &table);
	if (r < 0)
		return log_err(r, "cannot list types");
	l = (struct listing){ .table = table, .json = args.json ? json_array() : NULL };
	r = catalog_types(q.store, on_type, &l);
	if (r < 0) {
		json_decref(l.json);
		return log_err(r, "cannot list types");
	}
	return l.json ? command_print_json(l.json) : table_print(table, stdout, table_terminal_width(stdout));
}

const struct command types_command = {
	.name = "types",
	.arguments = "",
	.summary = "List the profile types that a store holds",
	.details = "Counts windows, and the hours and days that older windows were merged into.\n\n"
	           "Examples:\n"
	           "  emberctl types\n"
	           "  emberctl types --source /srv/profiles --json",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.run = types_run,
};
