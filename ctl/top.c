#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "profile/snapshot.h"
#include "ctl/summary.h"
#include "ctl/table.h"
#include "profile/top.h"

#define ROWS_DEFAULT 20

enum {
	KEY_SORT = 0x1000,
	KEY_BY,
};

struct top_arguments {
	uint64_t rows; /* 0: all */
	bool has_rows;
	enum top_by by;
	enum top_sort sort;
};

static const struct argp_option options[] = {
	{ "number", 'n', "N", 0, "Show N rows, 0 for all (default: 20; with --json all)", 1 },
	{ "sort", KEY_SORT, "flat|cum", 0, "flat: spent in it (default); cum: with what it called", 1 },
	{ "by", KEY_BY, "WHAT", 0,
	        "function (default), line, file, process, thread, comm, exe, unit, container or host", 1 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct top_arguments *a = state->input;

	switch (key) {
	case 'n':
		if (command_parse_number(arg, 0, UINT32_MAX, &a->rows) < 0)
			return command_option_error(state, "-n takes a number of rows, not '%s'", arg);
		a->has_rows = true;
		return 0;
	case KEY_SORT:
		if (strcmp(arg, "flat") != 0 && strcmp(arg, "cum") != 0)
			return command_option_error(state, "--sort takes flat or cum, not '%s'", arg);
		a->sort = strcmp(arg, "cum") == 0 ? TOP_CUM : TOP_FLAT;
		return 0;
	case KEY_BY:
		if (top_parse_by(arg, &a->by) < 0)
			return command_option_error(state,
			        "--by takes function, line, file, process, thread, comm, exe, unit, container or host, "
			        "not '%s'",
			        arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static json_t *row_json(const struct top_row *row, const struct top_value *total, bool is_code)
{
	double whole = total->value ? (double)total->value : 1;
	json_t *object = json_pack("{s:o, s:I, s:f, s:I, s:I, s:f, s:I}", "name", command_json_string(row->name),
	        "flat", (json_int_t)row->flat.value, "flat_percent", 100 * (double)row->flat.value / whole,
	        "flat_samples", (json_int_t)row->flat.count, "cum", (json_int_t)row->cum.value, "cum_percent",
	        100 * (double)row->cum.value / whole, "cum_samples", (json_int_t)row->cum.count);

	if (!object || !is_code)
		return object;
	if (json_object_set_new(object, "file", command_json_string(row->file)) < 0 ||
	        json_object_set_new(object, "line", json_integer(row->line)) < 0 ||
	        json_object_set_new(object, "mapping", command_json_string(row->mapping)) < 0 ||
	        json_object_set_new(object, "kind", json_string(frame_kind_name(row->kind))) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int print_json(const struct profile *p, uint32_t value_index, const struct top *t, const struct top_arguments *a)
{
	size_t n = a->has_rows && a->rows ? MIN((size_t)a->rows, top_n_rows(t)) : top_n_rows(t);
	_cleanup_(json_decrefp) json_t *object = summary_json(p, value_index);
	json_t *rows = json_array();

	if (!object || json_object_set_new(object, "by", json_string(top_by_name(a->by))) < 0 ||
	        json_object_set_new(object, "sort", json_string(a->sort == TOP_CUM ? "cum" : "flat")) < 0 ||
	        json_object_set_new(object, "n_rows", json_integer((json_int_t)top_n_rows(t))) < 0 ||
	        json_object_set_new(object, "rows", rows) < 0)
		return command_print_json(NULL);
	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(rows, row_json(top_row(t, i), top_total(t), top_is_code(a->by))) < 0)
			return command_print_json(NULL);
	return command_print_json(TAKE_PTR(object));
}

static int add_row(struct table *table, const struct top_row *row, const struct top_value *total, const char *unit)
{
	char flat[UNITS_TEXT_MAX], cum[UNITS_TEXT_MAX], flat_percent[SUMMARY_PERCENT_MAX],
	        cum_percent[SUMMARY_PERCENT_MAX];
	const char *const cells[] = {
		units_format_value(flat, row->flat.value, unit),
		summary_percent(flat_percent, (double)row->flat.value, (double)total->value),
		units_format_value(cum, row->cum.value, unit),
		summary_percent(cum_percent, (double)row->cum.value, (double)total->value),
		row->name,
	};

	return table_add_row(table, cells);
}

static const char *const titles[TOP_BY_MAX] = { "FUNCTION", "LINE", "FILE", "PROCESS", "THREAD", "COMM", "EXE", "UNIT",
	"CONTAINER", "HOST" };

static int print_table(
        const struct profile *p, uint32_t value_index, const struct top *t, const struct top_arguments *a)
{
	struct table_column columns[] = { { "FLAT", TABLE_RIGHT }, { "FLAT%", TABLE_RIGHT }, { "CUM", TABLE_RIGHT },
		{ "CUM%", TABLE_RIGHT }, { NULL, TABLE_CUT } };
	const char *unit = profile_string(p, profile_header_const(p)->sample_types[value_index].unit, NULL);
	uint64_t wanted = a->has_rows ? a->rows : ROWS_DEFAULT;
	size_t n = wanted ? MIN((size_t)wanted, top_n_rows(t)) : top_n_rows(t);
	_cleanup_(table_freep) struct table *table = NULL;
	int r;

	columns[4].title = titles[a->by];
	r = table_new(columns, ARRAY_SIZE(columns), &table);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add_row(table, top_row(t, i), top_total(t), unit);
	if (r < 0)
		return log_err(r, "cannot make the table");
	summary_print(p, value_index);
	r = table_print(table, stdout, table_terminal_width(stdout));
	if (r < 0)
		return log_err(r, "cannot write to standard output");
	if (n < top_n_rows(t))
		printf("(%zu of %zu rows; -n 0 shows all)\n", n, top_n_rows(t));
	return 0;
}

static int top_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	_cleanup_(top_freep) struct top *t = NULL;
	struct top_arguments a = { 0 };
	struct top_options o;
	uint32_t value_index;
	int r;

	r = command_parse(c, argc, argv, &args, &a);
	if (r != 0)
		return r;
	r = input_load(&args.input, args.arguments, args.n_arguments, &p);
	if (r < 0)
		return r;
	snapshot_average(p);
	r = input_value_index(&args.input, p, &value_index);
	if (r < 0)
		return r;
	o = (struct top_options){ .value_index = value_index, .by = a.by, .sort = a.sort };
	r = top_build(p, &o, &t);
	if (r < 0)
		return command_profile_error(r, "cannot add the profile up");
	return args.json ? print_json(p, value_index, t, &a) : print_table(p, value_index, t, &a);
}

const struct command top_command = {
	.name = "top",
	.arguments = "[INPUT...]",
	.summary = "Show where the time or memory goes, hottest first",
	.details = "FLAT was spent in the function itself, CUM in it and in all that it called; recursion counts once. "
	           "For "
	           "processes, threads and other labels both are the same. Several files are added up.\n\n"
	           "Examples:\n"
	           "  emberctl top cpu.pb.gz\n"
	           "  emberctl top -n 50 --sort cum --by line cpu.pb.gz\n"
	           "  emberctl top --by process --sample-type samples monday-*.pb.zst\n"
	           "  emberctl top --json cpu.pb.gz | jq '.rows[0].name'",
	.flags = COMMAND_INPUT | COMMAND_JSON,
	.arguments_min = 0,
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = options,
	.parse = parse,
	.run = top_run,
};
