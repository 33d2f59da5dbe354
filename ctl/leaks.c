/* emberctl leaks: which stacks hold more and more memory, told from caches and warm-up (profile/leak.h). */
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/progress.h"
#include "ctl/table.h"
#include "profile/file.h"
#include "profile/leak.h"
#include "profile/leak_text.h"
#include "store/leak_windows.h"

#define TYPE_DEFAULT "memory"
#define FROM_DEFAULT "-2h"

enum { KEY_BASELINE = 0x1000, KEY_THRESHOLD, KEY_ALL };

struct leaks_arguments {
	const char *baseline;
	uint64_t threshold, n;
	bool all;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct leaks_arguments *a = state->input;

	switch (key) {
	case 'n':
		if (command_parse_number(arg, 1, 100000, &a->n) < 0)
			return command_option_error(state, "-n takes a number from 1 to 100000, not '%s'", arg);
		return 0;
	case KEY_BASELINE:
		a->baseline = arg;
		return 0;
	case KEY_THRESHOLD:
		if (units_parse_size(arg, &a->threshold) < 0 || a->threshold == 0 || a->threshold > INT64_MAX)
			return command_option_error(state, "--threshold takes a size such as 64M, not '%s'", arg);
		return 0;
	case KEY_ALL:
		a->all = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "baseline", KEY_BASELINE, "FROM..TO", 0,
	        "A time that is known to be healthy: growth counts from what was held then", 0 },
	{ "threshold", KEY_THRESHOLD, "SIZE", 0, "Growth below this is no leak (default: 8M)", 0 },
	{ "top", 'n', "N", 0, "Show this many suspects at most (default: 10)", 0 },
	{ "all", KEY_ALL, NULL, 0, "Show what grew without being called a leak, too, and why not", 0 },
	{ 0 },
};

/* ---- reading windows ---- */

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
	progress_update(userdata, done, total);
}

static int add_windows(struct source_query *q, struct leaks *leaks, bool is_baseline, uint64_t *ret_n)
{
	_cleanup_progress_ struct progress progress = progress_start("reading", "windows");
	const struct leak_windows_options how = {
		.is_baseline = is_baseline, .progress = on_progress, .userdata = &progress
	};
	int r = leak_windows_add(q->store, &q->selection, &how, leaks, ret_n);

	return r < 0 ? log_err(r, "cannot read the windows of the store") : 0;
}

static int add_store(const struct source *source, const struct leaks_arguments *a, struct leaks *leaks, uint64_t *ret_n)
{
	_cleanup_source_query_ struct source_query q = { 0 }, baseline = { 0 };
	struct source with_type = *source;
	uint64_t ignored = 0;
	int r;

	if (!with_type.type)
		with_type.type = TYPE_DEFAULT;
	if (a->baseline) {
		r = source_open_range(&with_type, a->baseline, &baseline);
		if (r >= 0)
			r = add_windows(&baseline, leaks, true, &ignored);
		if (r < 0)
			return r;
	}
	r = source_open(&with_type, FROM_DEFAULT, &q);
	return r < 0 ? r : add_windows(&q, leaks, false, ret_n);
}

/* When a profile ended; one that does not say (allocators' own dumps) when its file was written. */
static int ended_ns(const char *path, const struct profile *p, uint64_t *ret)
{
	const struct profile_header *h = profile_header_const(p);
	struct stat st;

	if (h->time_ns > 0) {
		*ret = (uint64_t)(h->time_ns + h->duration_ns);
		return 0;
	}
	if (stat(path, &st) < 0)
		return -errno;
	*ret = clock_timespec_ns(st.st_mtim);
	return 0;
}

static int add_files(const char *const *files, size_t n, struct leaks *leaks, uint64_t *ret_n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_(profile_freep) struct profile *p = NULL;
		struct profile_error error = { 0 };
		uint64_t time_ns;
		int r;

		r = file_load(files[i], NULL, &p, &error);
		if (r < 0)
			return log_err(error.text[0] ? 0 : r, "%s: %s", files[i], error.text), r;
		r = ended_ns(files[i], p, &time_ns);
		if (r < 0)
			return log_err(r, "%s: does not say of which time it is", files[i]);
		r = leaks_add(leaks, p, time_ns);
		if (r == -EINVAL)
			return log_err(0, "%s: is not later than the file before it; give files in order of time",
			               files[i]),
			       r;
		if (r < 0)
			return log_err(r, "%s: no bytes in use in it", files[i]);
		(*ret_n)++;
	}
	return 0;
}

/* ---- showing ---- */

static json_t *suspect_json(const struct profile *p, const struct leak_suspect *s)
{
	const struct leak_result *x = &s->result;
	char stack[LEAK_STACK_TEXT_MAX], number[LEAK_LABEL_TEXT_MAX];

	leak_stack_text(p, s->key.stack, stack, sizeof(stack));
	return json_pack("{sssIsIsIsIsfsfsfsfsososo}", "verdict", leak_verdict_name(x->verdict), "growth_bytes",
	        (json_int_t)x->growth, "first_bytes", (json_int_t)x->first, "last_bytes", (json_int_t)x->last, "age_ns",
	        (json_int_t)x->age_ns, "slope_bytes_per_second", x->slope, "slope_low", x->slope_low, "slope_high",
	        x->slope_high, "confidence", x->confidence, "comm",
	        command_json_string(leak_label_text(p, s->key.labels, "comm", number)), "pid",
	        command_json_string(leak_label_text(p, s->key.labels, "pid", number)), "stack",
	        command_json_string(stack));
}

static int add_row(struct table *t, const struct profile *p, const struct leak_suspect *s)
{
	const struct leak_result *x = &s->result;
	char growth[UNITS_TEXT_MAX], held[UNITS_TEXT_MAX], slope[2 * UNITS_TEXT_MAX], age[UNITS_TEXT_MAX],
	        confidence[16];
	char stack[LEAK_STACK_TEXT_MAX], pid[LEAK_LABEL_TEXT_MAX], per_minute[UNITS_TEXT_MAX];

	leak_stack_text(p, s->key.stack, stack, sizeof(stack));
	(void)snprintf(
	        slope, sizeof(slope), "%s/min", units_format_value(per_minute, (int64_t)(x->slope * 60), "bytes"));
	(void)snprintf(confidence, sizeof(confidence), "%.1f%%", 100 * x->confidence);
	return table_add_row(
	        t, (const char *const[]){ leak_verdict_name(x->verdict), units_format_value(growth, x->growth, "bytes"),
	                   x->slope != 0 ? slope : "", x->confidence > 0 ? confidence : "",
	                   x->age_ns ? units_format_time(age, x->age_ns) : "",
	                   units_format_value(held, x->last, "bytes"), leak_label_text(p, s->key.labels, "comm", pid),
	                   leak_label_text(p, s->key.labels, "pid", pid), stack });
}

static int show(const struct leaks_arguments *a, bool json, const struct profile *p,
        const struct leak_suspect *suspects, size_t n, uint64_t windows)
{
	static const struct table_column columns[] = { { "verdict", 0 }, { "growth", TABLE_RIGHT },
		{ "slope", TABLE_RIGHT }, { "confidence", TABLE_RIGHT }, { "since", TABLE_RIGHT },
		{ "held now", TABLE_RIGHT }, { "comm", 0 }, { "pid", TABLE_RIGHT }, { "stack", TABLE_CUT } };
	_cleanup_(table_freep) struct table *table = NULL;
	json_t *list = json ? json_array() : NULL;
	int r = table_new(columns, ARRAY_SIZE(columns), &table);
	uint64_t shown = 0;

	for (size_t i = 0; i < n && r >= 0 && shown < a->n; i++) {
		if (suspects[i].result.verdict != LEAK_GROWING && !a->all)
			continue;
		shown++;
		r = list ? json_array_append_new(list, suspect_json(p, &suspects[i])) : add_row(table, p, &suspects[i]);
	}
	if (r < 0) {
		json_decref(list);
		return log_err(r, "cannot show suspects");
	}
	if (list)
		return command_print_json(json_pack("{sIso}", "windows", (json_int_t)windows, "suspects", list));
	if (shown == 0) {
		printf("no leak in %llu windows%s\n", (unsigned long long)windows,
		        windows < LEAK_POINTS_MIN ? "; a verdict needs at least 8 of them" : "");
		return 0;
	}
	return table_print(table, stdout, table_terminal_width(stdout));
}

static int leaks_run(const struct command *c, int argc, char **argv)
{
	static const char *const drop[] = { "tid", "thread", NULL };
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(leaks_freep) struct leaks *leaks = NULL;
	_cleanup_free_ struct leak_suspect *suspects = NULL;
	struct leaks_arguments a = { .n = 10 };
	uint64_t windows = 0;
	size_t n = 0;
	int r;

	r = command_parse(c, argc, argv, &args, &a);
	if (r != 0)
		return r;
	if (args.n_arguments && a.baseline)
		return command_usage_error(c, "--baseline is a range of a store: it does not go with files");
	r = leaks_new(args.input.sample_type, drop, NULL, &leaks);
	if (r < 0)
		return log_err(r, "cannot look for leaks");
	r = args.n_arguments ? add_files(args.arguments, args.n_arguments, leaks, &windows)
	                     : add_store(&args.input.source, &a, leaks, &windows);
	if (r < 0)
		return r;
	r = leaks_judge(leaks, &(struct leak_options){ .threshold = (int64_t)a.threshold }, &suspects, &n);
	if (r < 0)
		return log_err(r, "cannot judge");
	return show(&a, args.json, leaks_profile(leaks), suspects, n, windows);
}

const struct command leaks_command = {
	.name = "leaks",
	.arguments = "[FILE...]",
	.summary = "Stacks that hold more and more memory, told from caches and warm-up",
	.details =
	        "Looks at memory in use, window by window (default: --type memory --from -2h; --type heap where it was "
	        "gathered all the time). A stack is called a leak when what it holds rose by the threshold, was not "
	        "given back, "
	        "still rises, did not come in one step, and chance is ruled out; --all shows the others with the "
	        "reason. It takes "
	        "about ten windows. FILEs are profiles in order of time in place of a store; dumps of jemalloc and "
	        "gperftools are of the time when they were written.\n\n"
	        "Examples:\n"
	        "  emberctl leaks\n"
	        "  emberctl leaks --from -6h --threshold 64M --match 'comm=\"redis-server\"'\n"
	        "  emberctl leaks --baseline 08:00..09:00 --json",
	.flags = COMMAND_INPUT | COMMAND_JSON,
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = options,
	.parse = parse,
	.run = leaks_run,
};
