#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/summary.h"
#include "ctl/table.h"
#include "profile/snapshot.h"
#include "profile/top.h"

#define THRESHOLD_DEFAULT 1.0

enum {
	KEY_THRESHOLD = 0x1000,
};

static const struct argp_option options[] = {
	{ "threshold", KEY_THRESHOLD, "PERCENT", 0, "Least share of the whole (default: 1)", 1 },
	{ 0 },
};

static int parse_percent(const char *text, double *ret)
{
	double value;
	char *end;

	if (!strchr("0123456789.", text[0]))
		return -EINVAL;
	value = strtod(text, &end);
	if (end == text || (strcmp(end, "%") != 0 && *end != '\0') || !(value >= 0 && value <= 100))
		return -EINVAL;
	*ret = value;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	if (key != KEY_THRESHOLD)
		return ARGP_ERR_UNKNOWN;
	if (parse_percent(arg, state->input) < 0)
		return command_option_error(state, "--threshold takes a percentage from 0 to 100, not '%s'", arg);
	return 0;
}

static int print_json(const struct profile *p, uint32_t value_index, double threshold, const struct top *t)
{
	_cleanup_(json_decrefp) json_t *object = summary_json(p, value_index);
	const double whole = (double)top_total(t)->value;
	const size_t n = top_n_hot(t, threshold / 100);
	json_t *rows = json_array();

	if (!object || json_object_set_new(object, "threshold_percent", json_real(threshold)) < 0 ||
	        json_object_set_new(object, "hotspots", rows) < 0)
		return command_print_json(NULL);
	for (size_t i = 0; i < n; i++) {
		const struct top_row *spot = top_row(t, i);

		if (json_array_append_new(rows,
		            json_pack("{s:o, s:o, s:I, s:o, s:I, s:I, s:f, s:s}", "function",
		                    command_json_string(spot->name), "file", command_json_string(spot->file), "line",
		                    (json_int_t)spot->line, "mapping", command_json_string(spot->mapping), "samples",
		                    (json_int_t)spot->flat.count, "value", (json_int_t)spot->flat.value, "percent",
		                    100 * (double)spot->flat.value / whole, "kind", frame_kind_name(spot->kind))) < 0)
			return command_print_json(NULL);
	}
	return command_print_json(TAKE_PTR(object));
}

static int add_row(struct table *table, const struct top_row *spot, const struct top_value *total, const char *unit)
{
	char percent[SUMMARY_PERCENT_MAX], samples[UNITS_TEXT_MAX], value[UNITS_TEXT_MAX];
	_cleanup_free_ char *place = NULL;
	const char *mapping = strrchr(spot->mapping, '/');

	if (spot->file[0] == '\0')
		place = strdup(mapping ? mapping + 1 : spot->mapping);
	else if (spot->line == 0)
		place = strdup(spot->file);
	else if (asprintf(&place, "%s:%lld", spot->file, (long long)spot->line) < 0)
		place = NULL;
	if (!place)
		return -ENOMEM;
	return table_add_row(table, (const char *const[]){
	                                    summary_percent(percent, (double)spot->flat.value, (double)total->value),
	                                    units_format_value(samples, spot->flat.count, "count"),
	                                    units_format_value(value, spot->flat.value, unit),
	                                    spot->name,
	                                    place,
	                            });
}

static int print_table(const struct profile *p, uint32_t value_index, double threshold, const struct top *t)
{
	static const struct table_column columns[] = { { "PERCENT", TABLE_RIGHT }, { "SAMPLES", TABLE_RIGHT },
		{ "VALUE", TABLE_RIGHT }, { "FUNCTION", TABLE_CUT }, { "FILE:LINE", TABLE_CUT } };
	const char *unit = profile_string(p, profile_header_const(p)->sample_types[value_index].unit, NULL);
	const size_t n = top_n_hot(t, threshold / 100);
	_cleanup_(table_freep) struct table *table = NULL;
	int r;

	r = table_new(columns, ARRAY_SIZE(columns), &table);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add_row(table, top_row(t, i), top_total(t), unit);
	if (r < 0)
		return log_err(r, "cannot make the table");
	summary_print(p, value_index);
	if (n == 0) {
		printf("No function has %g %% or more; a lower --threshold shows more.\n", threshold);
		return 0;
	}
	r = table_print(table, stdout, table_terminal_width(stdout));
	return r < 0 ? log_err(r, "cannot write to standard output") : 0;
}

static int hotspots_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	_cleanup_(top_freep) struct top *t = NULL;
	double threshold = THRESHOLD_DEFAULT;
	uint32_t value_index;
	int r;

	r = command_parse(c, argc, argv, &args, &threshold);
	if (r != 0)
		return r;
	r = input_load(&args.input, args.arguments, args.n_arguments, &p);
	if (r < 0)
		return r;
	snapshot_average(p);
	r = input_value_index(&args.input, p, &value_index);
	if (r < 0)
		return r;
	r = top_build(p, &(struct top_options){ .value_index = value_index, .by = TOP_FUNCTION, .sort = TOP_FLAT }, &t);
	if (r < 0)
		return command_profile_error(r, "cannot add the profile up");
	return args.json ? print_json(p, value_index, threshold, t) : print_table(p, value_index, threshold, t);
}

const struct command hotspots_command = {
	.name = "hotspots",
	.arguments = "[INPUT...]",
	.summary = "List every function at or above a share of the whole, with its hottest line",
	.details = "A function's share is what was spent in itself (flat). FILE:LINE is its source file and the line "
	           "where "
	           "most of "
	           "that was; without debug information there is the executable or library.\n\n"
	           "Examples:\n"
	           "  emberctl hotspots cpu.pb.gz\n"
	           "  emberctl hotspots --threshold 5 --json cpu.pb.gz",
	.flags = COMMAND_INPUT | COMMAND_JSON,
	.arguments_min = 0,
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = options,
	.parse = parse,
	.run = hotspots_run,
};
