/* emberctl memory: one process's memory as its allocator and as the kernel see it: what is allocated (a heap profile),
 * what is resident (smaps), and what lies between them. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/proc_stat.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/smaps.h"
#include "ctl/table.h"
#include "profile/file.h"
#include "profile/leak_text.h"
#include "profile/ledger.h"
#include "profile/snapshot.h"
#include "profile/window_labels.h"
#include "store/plan.h"
#include "store/query.h"
#include "store/selection.h"

#define FROM_DEFAULT "-3min"
#define START_MARGIN_NS (100 * NS_PER_MS)

struct memory_arguments {
	uint64_t pid, n;
	const char *duration; /* NULL: nothing is recorded */
};

/* What a heap profile says of a process. */
struct estimate {
	bool is_there;
	bool is_dump;                   /* the allocator's own profiler wrote it */
	bool is_survivors;              /* what outlived a stretch of probing, not what is in use */
	bool is_whole;                  /* probed since the process began */
	int64_t bytes, since_ns, at_ns; /* what was allocated from since_ns on and was in use at at_ns */
	double error;                   /* relative, that 95 of 100 keep within; negative: not known */
};

struct view {
	struct smaps smaps;
	struct estimate estimate;
	char comm[PROC_COMM_MAX];
	pid_t pid;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct memory_arguments *a = state->input;
	uint64_t ns;

	switch (key) {
	case 'p':
		if (command_parse_number(arg, 1, INT32_MAX, &a->pid) < 0)
			return command_option_error(state, "-p takes the PID of a process, not '%s'", arg);
		return 0;
	case 'n':
		if (command_parse_number(arg, 1, 100000, &a->n) < 0)
			return command_option_error(state, "-n takes a number from 1 to 100000, not '%s'", arg);
		return 0;
	case 'd':
		if (units_parse_time(arg, &ns) < 0 || ns == 0)
			return command_option_error(state, "-d takes a time such as 30 or 2min, not '%s'", arg);
		a->duration = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "pid", 'p', "PID", 0, "The process", 0 },
	{ "duration", 'd', "SECONDS", 0, "Record its heap for so long now, within the budget of `emberctl record`", 0 },
	{ "top", 'n', "N", 0, "Show this many mappings at most (default: 12)", 0 },
	{ 0 },
};

/* ---- the estimate ---- */

/* A dump of an allocator has no such label: it is of one process anyway. */
static bool is_of(const struct profile *p, uint32_t labels, const char *pid)
{
	char number[LEAK_LABEL_TEXT_MAX];
	const char *label = leak_label_text(p, labels, "pid", number);

	return label[0] == '\0' || strcmp(label, pid) == 0;
}

/* When the process began, by the wall clock. */
static int began_ns(pid_t pid, int64_t *ret)
{
	uint64_t start_ns;
	int r = proc_start_ns(pid, &start_ns);

	if (r < 0)
		return r;
	*ret = (int64_t)(clock_now_ns(CLOCK_REALTIME) - clock_now_ns(CLOCK_BOOTTIME) + start_ns);
	return 0;
}

static int estimate_from(const struct profile *p, int64_t since_ns, pid_t pid, struct estimate *ret)
{
	const struct profile_header *h = profile_header_const(p);
	struct estimate e = {
		.is_there = true, .since_ns = since_ns, .at_ns = h->time_ns + h->duration_ns, .error = -1
	};
	bool own_survivors = false, have_labels = false;
	int64_t permille, ignored, began = 0;
	char text[16], number[LEAK_LABEL_TEXT_MAX];
	uint32_t value;

	if (profile_find_sample_type(p, "inuse_space", &value) < 0)
		return -ENOENT;
	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	for (uint32_t i = 0; i < profile_n_samples(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		bool is_survivor = leak_label_text(p, s->labels, WINDOW_LABEL_SURVIVORS, number)[0] != '\0';

		have_labels |= is_survivor;
		if (is_of(p, s->labels, text)) {
			e.bytes += profile_values_const(p, i)[value];
			own_survivors |= is_survivor;
		}
	}
	e.is_dump = ledger_get(p, "lost", &ignored) < 0;
	/* merged files do not say it of each process, only that there were some */
	e.is_survivors = own_survivors || (!have_labels && ledger_get(p, "heap.survivors_of_ms_max", &ignored) >= 0);
	if (ledger_get(p, "heap.error_permille_max", &permille) >= 0)
		e.error = (double)permille / 1000;
	if (ledger_get(p, "heap.error_unknown_max", &ignored) >= 0 && ignored > 0)
		e.error = -1;
	e.is_whole = e.is_dump || (began_ns(pid, &began) >= 0 && began + (int64_t)START_MARGIN_NS >= since_ns);
	*ret = e;
	return 0;
}

static int record_now(const struct memory_arguments *a, struct profile **ret)
{
	const struct command *record = command_find("record");
	char path[] = "/tmp/emberctl-memory-XXXXXX.pb.gz", pid[24];
	const char *const arguments[] = { "record", "-e", "heap", "-p", pid, "-d", a->duration, "-o", path, NULL };
	struct profile_error error = { 0 };
	int fd = mkstemps(path, (int)strlen(".pb.gz")), r;

	if (fd < 0)
		return log_err(-errno, "cannot make a temporary file");
	(void)close_fd(fd);
	(void)snprintf(pid, sizeof(pid), "%llu", (unsigned long long)a->pid);
	r = record->run(record, (int)ARRAY_SIZE(arguments) - 1, (char **)(void *)arguments);
	if (r == 0) {
		r = file_load(path, NULL, ret, &error);
		if (r < 0)
			(void)log_err(error.text[0] ? 0 : r, "%s: %s", path, error.text);
	}
	(void)unlink(path);
	return r;
}

/* What is in use is what the newest window says; allocations were seen since the first of those that follow each other
 * without a gap. A window that was split is in several files. */
static int load_window(const struct source *given, struct profile **ret, int64_t *ret_since_ns)
{
	_cleanup_source_query_ struct source_query q = { 0 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct source source = *given;
	const struct plan_file *f;
	int64_t since;
	int r;

	if (!source.type)
		source.type = "heap";
	r = source_open(&source, FROM_DEFAULT, &q);
	if (r < 0)
		return r;
	r = plan_make(q.store, &q.selection, &plan);
	if (r >= 0)
		r = profile_new(NULL, &p);
	if (r >= 0 && plan.n == 0)
		r = -ENODATA;
	if (r < 0)
		return log_err(r, "cannot find a window of %s in the store", source.type);
	f = &plan.files[plan.n - 1];
	since = f->start_ns;
	for (size_t i = plan.n; i-- > 0 && plan.files[i].end_ns + (int64_t)START_MARGIN_NS >= since;) {
		since = MIN(since, plan.files[i].start_ns);
		if (plan.files[i].start_ns == f->start_ns)
			r = query_read_window(q.store, &plan.files[i], &q.selection, p);
		if (r < 0)
			return log_err(r, "cannot read the newest window of %s", source.type);
	}
	*ret = TAKE_PTR(p);
	*ret_since_ns = since;
	return 0;
}

static int load(
        const struct memory_arguments *a, const struct command_args *args, struct profile **ret, int64_t *ret_since_ns)
{
	int r;

	if (!a->duration && !args->n_arguments)
		return load_window(&args->input.source, ret, ret_since_ns);
	r = a->duration ? record_now(a, ret) : input_load(&args->input, args->arguments, args->n_arguments, ret);
	if (r == 0)
		*ret_since_ns = profile_header_const(*ret)->time_ns;
	return r;
}

/* ---- showing ---- */

static uint64_t malloced(const struct smaps *s)
{
	return s->of[SMAPS_HEAP].resident + s->of[SMAPS_ANONYMOUS].resident;
}

static json_t *bytes_json(const char *name, const char *kind, const struct smaps_bytes *b)
{
	return json_pack("{sosssIsIsIsIsI}", "name", command_json_string(name), "kind", kind, "mappings",
	        (json_int_t)b->mappings, "mapped_bytes", (json_int_t)b->mapped, "resident_bytes",
	        (json_int_t)b->resident, "private_bytes", (json_int_t)b->private, "swapped_bytes",
	        (json_int_t)b->swapped);
}

static json_t *allocated_json(const struct view *v)
{
	const struct estimate *e = &v->estimate;
	json_t *o;

	if (!e->is_there)
		return json_null();
	o = json_pack("{sIsIsIsbsbsb}", "inuse_bytes", (json_int_t)e->bytes, "since_ns", (json_int_t)e->since_ns,
	        "at_ns", (json_int_t)e->at_ns, "is_whole", e->is_whole, "is_survivors", e->is_survivors, "is_dump",
	        e->is_dump);
	if (o && e->error >= 0)
		(void)json_object_set_new(o, "error", json_real(e->error));
	if (o && e->is_whole && !e->is_survivors)
		(void)json_object_set_new(
		        o, "overhead_bytes", json_integer((json_int_t)malloced(&v->smaps) - (json_int_t)e->bytes));
	return o;
}

static int show_json(const struct view *v)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < v->smaps.n; i++) {
		const struct smaps_group *g = &v->smaps.groups[i];

		(void)json_array_append_new(list, bytes_json(g->name, smaps_kind_name(g->kind), &g->bytes));
	}
	return command_print_json(json_pack("{sisosososo}", "pid", (int)v->pid, "comm", command_json_string(v->comm),
	        "all", bytes_json("all", "all", &v->smaps.all), "mappings", list, "allocated", allocated_json(v)));
}

static int add_row(struct table *t, const char *name, const struct smaps_bytes *b)
{
	char mapped[UNITS_TEXT_MAX], resident[UNITS_TEXT_MAX], private[UNITS_TEXT_MAX], swapped[UNITS_TEXT_MAX];

	return table_add_row(
	        t, (const char *const[]){ name, units_format_size(mapped, b->mapped),
	                   units_format_size(resident, b->resident), units_format_size(private, b->private),
	                   b->swapped ? units_format_size(swapped, b->swapped) : "" });
}

static int print_mappings(const struct smaps *s, uint64_t most)
{
	static const struct table_column columns[] = { { "mapping", TABLE_CUT }, { "mapped", TABLE_RIGHT },
		{ "resident", TABLE_RIGHT }, { "private", TABLE_RIGHT }, { "swapped", TABLE_RIGHT } };
	_cleanup_(table_freep) struct table *t = NULL;
	struct smaps_bytes rest = { 0 };
	char name[48];
	int r = table_new(columns, ARRAY_SIZE(columns), &t);

	for (size_t i = 0; i < s->n && r >= 0; i++) {
		const struct smaps_bytes *b = &s->groups[i].bytes;

		if (i < most) {
			r = add_row(t, s->groups[i].name, b);
			continue;
		}
		rest.mapped += b->mapped;
		rest.resident += b->resident;
		rest.private += b->private;
		rest.swapped += b->swapped;
	}
	if (r >= 0 && s->n > most) {
		(void)snprintf(name, sizeof(name), "(%zu more)", s->n - (size_t)most);
		r = add_row(t, name, &rest);
	}
	if (r >= 0)
		r = add_row(t, "all", &s->all);
	return r < 0 ? r : table_print(t, stdout, table_terminal_width(stdout));
}

/* What lies between the two, or why that cannot be said. */
static void print_overhead(const struct view *v)
{
	const struct estimate *e = &v->estimate;
	int64_t between = (int64_t)malloced(&v->smaps) - e->bytes;
	char text[UNITS_TEXT_MAX], since[SELECTION_TIME_MAX];

	if (e->is_survivors)
		printf("probes were in only now and then: this is what outlived a stretch of probing, not all that is "
		       "in "
		       "use\n");
	else if (!e->is_whole)
		printf("only what was allocated since %s is seen: the other %s were allocated before, or are "
		       "overhead\n",
		        selection_format_time(since, e->since_ns), units_format_size(text, (uint64_t)MAX(between, 0)));
	else if (between >= 0)
		printf("overhead (kept free, fragmentation, bookkeeping, threads' stacks): %s, %.0f%% of what is "
		       "resident\n",
		        units_format_size(text, (uint64_t)between),
		        malloced(&v->smaps) ? 100.0 * (double)between / (double)malloced(&v->smaps) : 0);
	else
		printf("%s of what is allocated is not resident: never touched, or swapped out\n",
		        units_format_size(text, (uint64_t)-between));
}

static int show(const struct view *v, uint64_t most)
{
	const struct estimate *e = &v->estimate;
	char text[UNITS_TEXT_MAX], error[48] = "";
	int r;

	printf("%s, PID %d\n\n", v->comm, (int)v->pid);
	r = print_mappings(&v->smaps, most);
	if (r < 0)
		return log_err(r, "cannot print");
	printf("\nresident where allocators keep memory (heap and anonymous): %s\n",
	        units_format_size(text, malloced(&v->smaps)));
	if (!e->is_there) {
		printf("allocated: not known; -d SECONDS records its heap, or give a heap profile\n");
		return 0;
	}
	if (e->error >= 0)
		(void)snprintf(error, sizeof(error), " (give or take %.1f%%)", 100 * e->error);
	else if (!e->is_dump)
		(void)snprintf(error, sizeof(error), " (error not known)");
	printf("allocated and in use%s: %s%s\n", e->is_dump ? ", by the allocator's own profiler" : "",
	        units_format_size(text, (uint64_t)MAX(e->bytes, (int64_t)0)), error);
	print_overhead(v);
	return 0;
}

static int view_fill(struct view *v, const struct memory_arguments *a, const struct command_args *args)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	int64_t since;
	int r;

	v->pid = (pid_t)a->pid;
	if (a->duration || args->n_arguments || source_is_given(&args->input.source)) {
		r = load(a, args, &p, &since);
		if (r != 0)
			return r;
		snapshot_average(p);
		r = estimate_from(p, since, v->pid, &v->estimate);
		if (r < 0)
			return log_err(0, "this is no heap profile: it has no inuse_space"), r;
	}
	proc_comm((int)v->pid, v->comm);
	r = smaps_read(v->pid, &v->smaps);
	if (r == -ESRCH)
		return log_err(0, "there is no process %d", (int)v->pid), r;
	return r < 0 ? log_err(r, "cannot read what process %d has mapped; run as root", (int)v->pid) : 0;
}

static void view_done(struct view *v)
{
	smaps_done(&v->smaps);
}

static int memory_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(view_done) struct view v = { 0 };
	struct memory_arguments a = { .n = 12 };
	int r;

	r = command_parse(c, argc, argv, &args, &a);
	if (r != 0)
		return r;
	if (a.pid == 0)
		return command_usage_error(c, "-p PID is missing: whose memory?");
	if (a.duration && args.n_arguments)
		return command_usage_error(c, "-d records a profile now: it does not go with files");
	r = view_fill(&v, &a, &args);
	if (r != 0)
		return r;
	return args.json ? show_json(&v) : show(&v, a.n);
}

const struct command memory_command = {
	.name = "memory",
	.arguments = "[FILE...]",
	.summary = "One process's memory: allocated, resident, and the overhead between them",
	.details =
	        "What is resident is told by mapping, as the kernel counts it. What is allocated is an estimate from a "
	        "heap "
	        "profile: recorded now (-d), the newest window of the store (--type heap), or from "
	        "FILEs, which may be dumps of jemalloc or gperftools. Where probing began after the process did, only "
	        "what was allocated since is known, and that is said.\n\n"
	        "Examples:\n"
	        "  emberctl memory -p 1234\n"
	        "  emberctl memory -p 1234 -d 30\n"
	        "  emberctl memory -p 1234 --type heap\n"
	        "  emberctl memory -p 1234 jeprof.1234.0.f.heap --json",
	.flags = COMMAND_INPUT | COMMAND_JSON,
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = options,
	.parse = parse,
	.run = memory_run,
};
