#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/picture.h"
#include "ctl/side.h"
#include "ctl/summary.h"
#include "ctl/table.h"
#include "profile/diff.h"

#define ROWS_DEFAULT 20
#define Q_SHOWN_MIN 1e-9 /* nobody believes less */

enum {
	KEY_NORMALIZE = 0x1100,
	KEY_SORT,
	KEY_BY,
	KEY_EVIDENCE,
	KEY_BEFORE,
	KEY_AFTER,
};

struct diff_arguments {
	struct picture_options picture;
	struct diff_options diff;
	const char *before, *after; /* ranges; NULL: files */
	uint64_t rows;              /* 0: all */
	bool has_rows;
};

static const struct argp_option options[] = {
	{ "normalize", KEY_NORMALIZE, NULL, 0, "Compare shares of the whole: for profiles of different length or load",
	        1 },
	{ "number", 'n', "N", 0, "Show N rows, 0 for all (default: 20; with --json all)", 1 },
	{ "sort", KEY_SORT, "flat|cum", 0, "Compare what was spent in it (flat, default) or with what it called (cum)",
	        1 },
	{ "by", KEY_BY, "WHAT", 0,
	        "function (default), line, file, process, thread, comm, exe, unit, container or host", 1 },
	{ "evidence", KEY_EVIDENCE, NULL, 0, "What grew first, best proved on top, in place of the largest change", 1 },
	{ "before", KEY_BEFORE, "FROM..TO", 0, "In place of files: this range of the selection...", 3 },
	{ "after", KEY_AFTER, "FROM..TO", 0, "...against that one", 3 },
	{ "output", 'o', "FILE", 0, "Draw a differential flame graph instead: FILE.svg or FILE.html", 2 },
	{ "width", PICTURE_KEY_WIDTH, "PIXELS", 0, "Width of an SVG (default: 1600)", 2 },
	{ "hide", PICTURE_KEY_HIDE, "REGEX", 0, "Picture: leave out frames that match", 2 },
	{ "title", PICTURE_KEY_TITLE, "TEXT", 0, "Title of the picture", 2 },
	{ "group-by", PICTURE_KEY_GROUP_BY, "LABEL", 0,
	        "Picture: first row of boxes: comm (default), exe, ..., or none", 2 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct diff_arguments *a = state->input;
	error_t r;

	switch (key) {
	case KEY_NORMALIZE:
		a->diff.normalize = true;
		return 0;
	case KEY_BEFORE:
		a->before = arg;
		return 0;
	case KEY_AFTER:
		a->after = arg;
		return 0;
	case KEY_EVIDENCE:
		a->diff.order = DIFF_BY_EVIDENCE;
		return 0;
	case 'n':
		if (command_parse_number(arg, 0, UINT32_MAX, &a->rows) < 0)
			return command_option_error(state, "-n takes a number of rows, not '%s'", arg);
		a->has_rows = true;
		return 0;
	case KEY_SORT:
		if (strcmp(arg, "flat") != 0 && strcmp(arg, "cum") != 0)
			return command_option_error(state, "--sort takes flat or cum, not '%s'", arg);
		a->diff.sort = strcmp(arg, "cum") == 0 ? TOP_CUM : TOP_FLAT;
		return 0;
	case KEY_BY:
		if (top_parse_by(arg, &a->diff.by) < 0)
			return command_option_error(state,
			        "--by takes function, line, file, process, thread, comm, exe, unit, container or host, "
			        "not '%s'",
			        arg);
		return 0;
	default:
		state->input = &a->picture;
		r = picture_options_parse(key, arg, state);
		state->input = a;
		return r;
	}
}

static json_t *change_json(const struct diff_change *c)
{
	static const char *const verdicts[] = {
		[DIFF_TOO_FEW] = "too_few",
		[DIFF_CHANCE] = "chance",
		[DIFF_GREW] = "grew",
		[DIFF_SHRANK] = "shrank",
	};

	return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:s}", "before", (json_int_t)c->value[0].value,
	        "after", (json_int_t)c->value[1].value, "before_samples", (json_int_t)c->value[0].count,
	        "after_samples", (json_int_t)c->value[1].count, "before_percent", 100 * c->share[0], "after_percent",
	        100 * c->share[1], "change_points", 100 * (c->share[1] - c->share[0]), "p", c->p, "q", c->q, "verdict",
	        verdicts[c->verdict]);
}

static int print_json(const struct side sides[2], const struct diff *d, const struct diff_arguments *a)
{
	size_t n = a->has_rows && a->rows ? MIN((size_t)a->rows, diff_n_rows(d)) : diff_n_rows(d);
	_cleanup_(json_decrefp) json_t *object = NULL;
	struct diff_summary s;
	json_t *rows;

	diff_summary(d, &s);
	object = json_pack("{s:o, s:o, s:b, s:s, s:s, s:f, s:I, s:I, s:b, s:I, s:[]}", "before",
	        summary_json(sides[0].whole, sides[0].value_index), "after",
	        summary_json(sides[1].whole, sides[1].value_index), "normalize", s.normalize, "by",
	        top_by_name(a->diff.by), "sort", a->diff.sort == TOP_CUM ? "cum" : "flat", "false_discovery_rate",
	        s.level, "tested", (json_int_t)s.n_tested, "changed", (json_int_t)s.n_changed, "spread_known",
	        s.knows_spread, "n_rows", (json_int_t)diff_n_rows(d), "rows");
	rows = object ? json_object_get(object, "rows") : NULL;
	for (size_t i = 0; i < n && object; i++) {
		const struct diff_row *row = diff_row(d, i);

		if (json_array_append_new(
		            rows, json_pack("{s:o, s:o, s:I, s:o, s:o}", "name", command_json_string(row->name), "file",
		                          command_json_string(row->file), "line", (json_int_t)row->line, "flat",
		                          change_json(&row->flat), "cum", change_json(&row->cum))) < 0)
			return command_print_json(NULL);
	}
	return command_print_json(TAKE_PTR(object));
}

static int add_row(struct table *table, const struct diff_row *row, const struct diff_arguments *a, const char *unit)
{
	const struct diff_change *c = a->diff.sort == TOP_CUM ? &row->cum : &row->flat;
	char before[UNITS_TEXT_MAX], after[UNITS_TEXT_MAX], change[64], shares[2][SUMMARY_PERCENT_MAX],
	        magnitude[UNITS_TEXT_MAX];
	char verdict[64];

	if (a->diff.normalize)
		(void)snprintf(change, sizeof(change), "%+.2f", 100 * c->change);
	else
		(void)snprintf(change, sizeof(change), "%s%s", c->change > 0 ? "+" : "",
		        units_format_value(magnitude, (int64_t)llround(c->change), unit));
	if (c->verdict == DIFF_GREW || c->verdict == DIFF_SHRANK)
		(void)snprintf(verdict, sizeof(verdict), c->q < Q_SHOWN_MIN ? "%s (q<%.1g)" : "%s (q=%.1g)",
		        diff_verdict_text(c->verdict), fmax(c->q, Q_SHOWN_MIN));
	else
		(void)snprintf(verdict, sizeof(verdict), "%s", diff_verdict_text(c->verdict));
	return table_add_row(table, (const char *const[]){
	                                    units_format_value(before, c->value[0].value, unit),
	                                    summary_percent(shares[0], c->share[0], 1),
	                                    units_format_value(after, c->value[1].value, unit),
	                                    summary_percent(shares[1], c->share[1], 1),
	                                    change,
	                                    verdict,
	                                    row->name,
	                            });
}

/* What the verdicts rest on, and what they cannot know. */
static void print_notes(const struct diff *d, const struct diff_arguments *a, size_t shown)
{
	struct diff_summary s;
	double ratio;

	diff_summary(d, &s);
	if (shown < diff_n_rows(d))
		printf("(%zu of %zu rows; -n 0 shows all)\n", shown, diff_n_rows(d));
	printf("%zu of %zu tested changes are more than chance (at most %g %% of those expected to be false).\n",
	        s.n_changed, s.n_tested, 100 * s.level);
	if (s.knows_spread)
		printf("Judged by sampling noise and by how much the parts of each range differ from each other.\n");
	else
		printf("Judged by sampling noise alone: two runs of the same program may differ by more than that.\n");
	ratio = s.total[0].value > 0 ? (double)s.total[1].value / (double)s.total[0].value : 1;
	if (!a->diff.normalize && (ratio > 1.2 || ratio < 1 / 1.2))
		printf("The totals differ by a factor of %.2f; --normalize compares shares.\n", ratio);
}

static int print_table(const struct side sides[2], const struct diff *d, const struct diff_arguments *a)
{
	const struct table_column columns[] = { { "BEFORE", TABLE_RIGHT }, { "%", TABLE_RIGHT },
		{ "AFTER", TABLE_RIGHT }, { "%", TABLE_RIGHT },
		{ a->diff.normalize ? "POINTS" : "CHANGE", TABLE_RIGHT }, { "VERDICT", 0 }, { "NAME", TABLE_CUT } };
	const struct profile *p = sides[1].whole;
	const char *unit = profile_string(p, profile_header_const(p)->sample_types[sides[1].value_index].unit, NULL);
	uint64_t wanted = a->has_rows ? a->rows : ROWS_DEFAULT;
	size_t n = wanted ? MIN((size_t)wanted, diff_n_rows(d)) : diff_n_rows(d);
	_cleanup_(table_freep) struct table *table = NULL;
	int r;

	r = table_new(columns, ARRAY_SIZE(columns), &table);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add_row(table, diff_row(d, i), a, unit);
	if (r < 0)
		return log_err(r, "cannot make the table");
	printf("before: ");
	summary_print(sides[0].whole, sides[0].value_index);
	printf("after:  ");
	summary_print(sides[1].whole, sides[1].value_index);
	r = table_print(table, stdout, table_terminal_width(stdout));
	if (r < 0)
		return log_err(r, "cannot write to standard output");
	print_notes(d, a, n);
	return 0;
}

static int draw(const struct side sides[2], struct diff_arguments *a)
{
	_cleanup_buffer_ struct buffer out = BUFFER(FLAMEGRAPH_BYTES_MAX);
	const struct diff_side before = side_for_diff(&sides[0]), after = side_for_diff(&sides[1]);
	struct flamegraph_options *o = &a->picture.flamegraph;
	int r;

	o->value_index_before = sides[0].value_index;
	o->value_index = sides[1].value_index;
	o->normalize = a->diff.normalize;
	o->parts_before = &before; /* they end with this function */
	o->parts_after = &after;
	r = a->picture.is_html ? flamegraph_diff_html(sides[0].whole, sides[1].whole, o, &out)
	                       : flamegraph_diff_svg(sides[0].whole, sides[1].whole, o, &out);
	o->parts_before = o->parts_after = NULL;
	if (r < 0)
		return command_profile_error(r, "cannot draw the differential flame graph");
	return picture_write(&a->picture, &out);
}

static int check_types(const struct side sides[2])
{
	const char *names[2][2];

	for (int side = 0; side < 2; side++) {
		const struct profile_value_type *t =
		        &profile_header_const(sides[side].whole)->sample_types[sides[side].value_index];

		names[side][0] = profile_string(sides[side].whole, t->type, NULL);
		names[side][1] = profile_string(sides[side].whole, t->unit, NULL);
	}
	if (strcmp(names[0][0], names[1][0]) == 0 && strcmp(names[0][1], names[1][1]) == 0)
		return 0;
	(void)log_err(0, "BEFORE holds %s (%s) and AFTER %s (%s): name one that both have by --sample-type",
	        names[0][0], names[0][1], names[1][0], names[1][1]);
	return -EINVAL;
}

static int load(const struct command_args *args, const struct diff_arguments *a, struct side sides[2])
{
	const char *const ranges[2] = { a->before, a->after };
	int r = 0;

	for (int side = 0; side < 2 && r >= 0; side++)
		r = a->before ? side_load_range(&args->input, ranges[side], &sides[side])
		              : side_load_file(&args->input, args->arguments[side], &sides[side]);
	return r < 0 ? r : check_types(sides);
}

static int compare(const struct side sides[2], const struct command_args *args, struct diff_arguments *a)
{
	const struct diff_side before = side_for_diff(&sides[0]), after = side_for_diff(&sides[1]);
	_cleanup_(diff_freep) struct diff *d = NULL;
	int r;

	if (a->picture.output)
		return draw(sides, a);
	r = diff_build(&before, &after, &a->diff, &d);
	if (r < 0)
		return command_profile_error(r, "cannot compare the profiles");
	return args->json ? print_json(sides, d, a) : print_table(sides, d, a);
}

static int check_arguments(const struct command *c, const struct command_args *args, struct diff_arguments *a)
{
	if (a->before || a->after) {
		if (!a->before || !a->after || args->n_arguments)
			return command_usage_error(c, "give two files, or --before FROM..TO and --after FROM..TO");
	} else if (args->n_arguments != 2)
		return command_usage_error(
		        c, "give two profiles, BEFORE and AFTER, or two ranges by --before and --after");
	if (a->picture.output && args->json)
		return command_usage_error(c, "--json prints a table and -o draws a picture: give one of them");
	return picture_options_check(c, &a->picture, false);
}

static int diff_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	struct diff_arguments a = { 0 };
	struct side sides[2] = { 0 };
	int r;

	r = command_parse(c, argc, argv, &args, &a);
	if (r == 0)
		r = check_arguments(c, &args, &a);
	if (r == 0)
		r = load(&args, &a, sides);
	if (r == 0)
		r = compare(sides, &args, &a);
	side_done(&sides[0]);
	side_done(&sides[1]);
	picture_options_done(&a.picture);
	return r;
}

const struct command diff_command = {
	.name = "diff",
	.arguments = "[BEFORE AFTER]",
	.summary = "Show what changed between two profiles, and whether it is more than chance",
	.details = "Without --normalize values are compared as they are (profiles of equal length), with it the shares "
	           "of the "
	           "whole. VERDICT: 'grew' and 'shrank' are more than chance, with q, the rate of false ones among "
	           "changes at "
	           "least as well proved; the others may well be chance, or rest on too few samples. docs/emberctl.md "
	           "says how "
	           "that is computed.\n\n"
	           "Examples:\n"
	           "  emberctl diff before.pb.gz after.pb.gz\n"
	           "  emberctl diff --normalize --sort cum -n 40 monday.pb.gz friday.pb.gz\n"
	           "  emberctl diff --normalize -o diff.svg before.pb.gz after.pb.gz",
	.flags = COMMAND_INPUT | COMMAND_JSON,
	.arguments_min = 0,
	.arguments_max = 2,
	.options = options,
	.parse = parse,
	.run = diff_run,
};
