/* emberctl series: values over time. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "ctl/listing.h"
#include "store/series.h"

struct series_arguments {
	const char *by, *sample_type;
};

enum {
	KEY_BY = 0x1200,
	KEY_SAMPLE_TYPE,
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct series_arguments *a = state->input;

	switch (key) {
	case KEY_BY:
		a->by = arg;
		return 0;
	case KEY_SAMPLE_TYPE:
		a->sample_type = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "by", KEY_BY, "LABEL", 0, "One line for each value of this label (comm, unit, host, pid, ...)", 1 },
	{ "sample-type", KEY_SAMPLE_TYPE, "NAME", 0, "This value of the profiles (default: the last)", 1 },
	{ 0 },
};

static int on_point(void *data, const struct series_point *p)
{
	struct listing *l = data;
	char start[SELECTION_TIME_MAX], length[UNITS_TEXT_MAX], value[UNITS_TEXT_MAX];

	if (!l->table)
		return listing_add_json(l, json_pack("{sIsIsosIso}", "start_ns", (json_int_t)p->start_ns, "end_ns",
		                                   (json_int_t)p->end_ns, "key", command_json_string(p->key), "value",
		                                   (json_int_t)p->value, "unit", command_json_string(p->unit)));
	return listing_add_row(l, (const char *const[]){ selection_format_time(start, p->start_ns),
	                                  units_format_time(length, (uint64_t)(p->end_ns - p->start_ns)),
	                                  units_format_value(value, p->value, p->unit), p->key });
}

static int series_run(const struct command *c, int argc, char **argv)
{
	static const struct table_column columns[] = { { "START", 0 }, { "LENGTH", TABLE_RIGHT },
		{ "VALUE", TABLE_RIGHT }, { "KEY", TABLE_CUT } };
	_cleanup_listing_ struct listing l = { 0 };
	struct profile_error error = { 0 };
	struct series_arguments a = { 0 };
	struct store_progress progress;
	struct query_report report;
	int r = listing_open(&l, c, argc, argv, &a, "-1h", columns, ARRAY_SIZE(columns));

	if (r != 0)
		return r;
	progress = listing_progress(&l);
	r = store_series(l.query.store, &l.query.selection,
	        &(struct series_options){ .by = a.by, .sample_type = a.sample_type, .progress = &progress }, on_point,
	        &l, &report, &error);
	if (error.text[0])
		return log_err(0, "%s", error.text), r;
	source_say_left_out(&report);
	return listing_finish(&l, r, "values");
}

const struct command series_command = {
	.name = "series",
	.arguments = "",
	.summary = "Values over time, by any label",
	.details = "One line for each stored file (a window; older ones are hours and days) and value of the label.\n\n"
	           "Examples:\n"
	           "  emberctl series --type cpu --from -2h\n"
	           "  emberctl series --type cpu --by comm --match 'unit=~\"nginx.*\"' --json",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.options = options,
	.parse = parse,
	.run = series_run,
};
