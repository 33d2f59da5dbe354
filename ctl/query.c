/* emberctl query: a selection merged into one profile, as a file. */
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/summary.h"
#include "profile/file.h"

struct query_arguments {
	const char *output;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct query_arguments *a = state->input;

	switch (key) {
	case 'o':
		a->output = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Write the profile there; its name tells the format (see emberctl convert)", 0 },
	{ 0 },
};

static json_t *report_json(const struct profile *p, const struct query_report *report)
{
	const struct profile_header *h = profile_header_const(p);
	json_t *totals = json_array();

	for (uint32_t i = 0; i < h->n_sample_types; i++)
		(void)json_array_append_new(
		        totals, json_pack("{sososI}", "type",
		                        command_json_string(profile_string(p, h->sample_types[i].type, NULL)), "unit",
		                        command_json_string(profile_string(p, h->sample_types[i].unit, NULL)), "total",
		                        (json_int_t)profile_total(p, i)));
	return json_pack("{sosIsIsIsIsIsIsIsIsIsI}", "totals", totals, "samples", (json_int_t)profile_n_samples(p),
	        "windows", (json_int_t)report->n_of[STORE_WINDOW], "hours", (json_int_t)report->n_of[STORE_HOUR],
	        "days", (json_int_t)report->n_of[STORE_DAY], "passed_over", (json_int_t)report->n_passed_over, "bytes",
	        (json_int_t)report->bytes, "corrupt", (json_int_t)report->corrupt.n, "missing",
	        (json_int_t)report->n_missing, "first_ns", (json_int_t)report->first_ns, "last_ns",
	        (json_int_t)report->last_ns);
}

static void print_report(const struct profile *p, const struct query_report *report)
{
	const struct profile_header *h = profile_header_const(p);
	char first[SELECTION_TIME_MAX], last[SELECTION_TIME_MAX], size[UNITS_TEXT_MAX];

	printf("%s to %s: %llu windows, %llu hours, %llu days, %s; %u samples\n",
	        selection_format_time(first, report->first_ns), selection_format_time(last, report->last_ns),
	        (unsigned long long)report->n_of[STORE_WINDOW], (unsigned long long)report->n_of[STORE_HOUR],
	        (unsigned long long)report->n_of[STORE_DAY], units_format_size(size, report->bytes),
	        profile_n_samples(p));
	for (uint32_t i = 0; i < h->n_sample_types; i++) {
		const char *unit = profile_string(p, h->sample_types[i].unit, NULL);

		summary_print_word(profile_string(p, h->sample_types[i].type, NULL));
		printf(": %s (%lld ", units_format_value(size, profile_total(p, i), unit),
		        (long long)profile_total(p, i));
		summary_print_word(unit);
		printf(")\n");
	}
}

static int query_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_source_query_ struct source_query q = { 0 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct query_arguments own = { 0 };
	struct profile_error error = { 0 };
	struct query_report report;
	int r;

	r = command_parse(c, argc, argv, &args, &own);
	if (r != 0)
		return r;
	r = source_open(&args.input.source, "-1h", &q);
	if (r >= 0)
		r = source_run(&q, &p, &report);
	if (r < 0)
		return r;
	if (own.output) {
		r = file_save(own.output, p, NULL, &error);
		if (r < 0)
			return log_err(error.text[0] ? 0 : r, "%s: %s", own.output, error.text), r;
		if (strcmp(own.output, "-") == 0)
			return 0;
	}
	if (args.json)
		return command_print_json(report_json(p, &report));
	print_report(p, &report);
	return 0;
}

const struct command query_command = {
	.name = "query",
	.arguments = "",
	.summary = "Merge a selection of a store into one profile",
	.details =
	        "Says what was found and its totals; with -o the merged profile is written. The label tid is left out, "
	        "as "
	        "merging into hours leaves it out. All commands that take INPUT (top, flamegraph, diff...) take the "
	        "same selection.\n\n"
	        "Examples:\n"
	        "  emberctl query --type cpu --from -1h -o hour.pb.gz\n"
	        "  emberctl query --type cpu --from -2h --match 'comm=\"nginx\"' -o nginx.svg\n"
	        "  emberctl query --type offcpu --from 10:00 --to 10:15 --json",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.options = options,
	.parse = parse,
	.run = query_run,
};
