#include "ctl/source.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ctl/command.h"
#include "ctl/home.h"
#include "ctl/progress.h"
#include "store/name.h"

#define DEFAULT_FROM "-1h"

enum {
	KEY_TYPE = 0x4000,
	KEY_FROM,
	KEY_TO,
	KEY_MATCH,
	KEY_SOURCE,
};

static error_t take_time(const char *name, const char *text, const char **to, struct argp_state *state)
{
	int64_t ns;

	if (selection_parse_time(text, (int64_t)clock_now_ns(CLOCK_REALTIME), &ns) < 0)
		return command_option_error(
		        state, "--%s takes a time such as -1h, 10:00, '2026-11-22 10:00' or now, not '%s'", name, text);
	*to = text;
	return 0;
}

static error_t take_matchers(const char *text, const char **to, struct argp_state *state)
{
	_cleanup_(matchers_freep) struct matchers *m = NULL;
	struct profile_error error = { 0 };
	int r = matchers_parse(text, &m, &error);

	if (r < 0)
		return r == -ENOMEM ? ENOMEM : command_option_error(state, "--match: %s", error.text);
	*to = text;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct source *o = state->input;

	switch (key) {
	case KEY_TYPE:
		if (!store_name_type_is_valid(arg))
			return command_option_error(state, "--type takes a profile type such as cpu, not '%s'", arg);
		o->type = arg;
		return 0;
	case KEY_FROM:
		return take_time("from", arg, &o->from, state);
	case KEY_TO:
		return take_time("to", arg, &o->to, state);
	case KEY_MATCH:
		return take_matchers(arg, &o->match, state);
	case KEY_SOURCE:
		o->store = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "A selection of a store:", 6 },
	{ "type", KEY_TYPE, "TYPE", 0, "Profile type, such as cpu", 6 },
	{ "from", KEY_FROM, "TIME", 0, "Start: -1h (default), -90m, '2026-11-22 10:00', 10:00, yesterday; local time",
	        6 },
	{ "to", KEY_TO, "TIME", 0, "End (default: now)", 6 },
	{ "match", KEY_MATCH, "MATCHERS", 0, "Samples whose labels match: 'comm=\"redis-server\",unit=~\"nginx.*\"'",
	        6 },
	{ "source", KEY_SOURCE, "DIR|SOCKET", 0,
	        "The store: its directory, or the control socket of its emberd (default: this host's)", 6 },
	{ 0 },
};

const struct argp source_argp = { .options = options, .parser = parse };

bool source_is_given(const struct source *o)
{
	return o->type || o->from || o->to || o->match || o->store;
}

void source_query_done(struct source_query *q)
{
	q->store = store_close(q->store);
	q->matchers = matchers_free(q->matchers);
}

/* For writing where we may: what is found corrupt is then set aside. It does not make a store where there is none. */
static int open_store(const char *path, struct store **ret)
{
	struct store_options how = { .path = path };
	int r = -ENOENT;

	if (access(path, W_OK) == 0)
		r = store_open(&how, ret);
	if (r < 0) {
		how.read_only = true;
		r = store_open(&how, ret);
	}
	if (r == -ENOENT || r == -ENOTDIR)
		return log_err(0, "there is no store at %s; name one with --source DIR, or profile files as arguments",
		               path),
		       r;
	return r < 0 ? log_err(r, "cannot open the store at %s", path) : 0;
}

static int open_query(const struct source *o, int64_t from_ns, int64_t to_ns, struct source_query *ret)
{
	_cleanup_source_query_ struct source_query q = { 0 };
	_cleanup_free_ char *path = NULL;
	int r;

	if (to_ns <= from_ns)
		return log_err(0, "the selection ends before it begins"), -EINVAL;
	r = matchers_parse(o->match, &q.matchers, NULL);
	if (r < 0)
		return log_err(r, "cannot read --match");
	r = home_find(o->store, &path);
	if (r >= 0)
		r = open_store(path, &q.store);
	if (r < 0)
		return r;
	q.selection = (struct selection){ .type = o->type, .from_ns = from_ns, .to_ns = to_ns, .matchers = q.matchers };
	*ret = q;
	q = (struct source_query){ 0 };
	return 0;
}

int source_open(const struct source *o, const char *default_from, struct source_query *ret)
{
	int64_t now_ns = (int64_t)clock_now_ns(CLOCK_REALTIME), from_ns, to_ns;

	if (selection_parse_time(o->from ? o->from : default_from, now_ns, &from_ns) < 0 ||
	        selection_parse_time(o->to ? o->to : "now", now_ns, &to_ns) < 0)
		return log_err(-EINVAL, "cannot read --from and --to");
	return open_query(o, from_ns, to_ns, ret);
}

int source_open_range(const struct source *o, const char *range, struct source_query *ret)
{
	int64_t now_ns = (int64_t)clock_now_ns(CLOCK_REALTIME), from_ns, to_ns;
	int r = selection_parse_range(range, now_ns, &from_ns, &to_ns);

	if (r == -ERANGE)
		return log_err(0, "the range '%s' ends before it begins", range), r;
	if (r < 0)
		return log_err(0, "'%s' is no range; write FROM..TO, such as -2h..-1h", range), r;
	return open_query(o, from_ns, to_ns, ret);
}

void source_say_corrupt(const struct corrupt *list)
{
	for (uint64_t i = 0; i < MIN(list->n, (uint64_t)CORRUPT_NAMED_MAX); i++)
		(void)log_warning(0, "%s is corrupt and was left out", list->named[i]);
	if (list->n > CORRUPT_NAMED_MAX)
		(void)log_warning(
		        0, "%" PRIu64 " more files are corrupt and were left out", list->n - CORRUPT_NAMED_MAX);
}

void source_say_left_out(const struct query_report *report)
{
	source_say_corrupt(&report->corrupt);
	if (report->n_missing)
		(void)log_warning(0, "%" PRIu64 " files of the index are gone; 'emberctl reindex' makes it true again",
		        report->n_missing);
	if (report->n_other_types)
		(void)log_warning(
		        0, "%" PRIu64 " files have other sample types and were left out", report->n_other_types);
}

/* What the reader of the answer should know of it. */
static void say(const struct source_query *q, const struct query_report *report)
{
	char first[SELECTION_TIME_MAX], last[SELECTION_TIME_MAX];
	const struct selection *sel = &q->selection;
	uint64_t merged = report->n_of[STORE_HOUR] + report->n_of[STORE_DAY];

	source_say_left_out(report);
	if (!report->has_index)
		(void)log_warning(0, "the store has no usable index, so names were read; 'emberctl reindex' makes one");
	if (merged && (report->first_ns < sel->from_ns || report->last_ns > sel->to_ns))
		log_notice("the answer holds %s to %s: older windows are kept as whole hours and days",
		        selection_format_time(first, report->first_ns), selection_format_time(last, report->last_ns));
}

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
	progress_update(userdata, done, total);
}

static int nothing_held(const struct source_query *q)
{
	char from[SELECTION_TIME_MAX], to[SELECTION_TIME_MAX];

	(void)log_err(0, "nothing is held of %s between %s and %s%s; 'emberctl types' shows what is",
	        q->selection.type ? q->selection.type : "any type", selection_format_time(from, q->selection.from_ns),
	        selection_format_time(to, q->selection.to_ns), matchers_count(q->matchers) ? " that matches" : "");
	return -ENODATA;
}

int source_run(struct source_query *q, struct profile **ret, struct query_report *report)
{
	_cleanup_progress_ struct progress progress = progress_start("merging", "files");
	const struct store_progress steps = { on_progress, &progress };
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_error error = { 0 };
	int r;

	r = store_query(q->store, &q->selection, &(struct query_options){ .progress = &steps }, &p, report, &error);
	progress_end(&progress);
	if (r < 0)
		return log_err(error.text[0] ? 0 : r, "%s", error.text[0] ? error.text : "cannot ask the store"), r;
	say(q, report);
	if (profile_n_samples(p) == 0)
		return nothing_held(q);
	*ret = TAKE_PTR(p);
	return 0;
}

static int load(struct source_query *q, struct profile **ret)
{
	struct query_report report;

	return source_run(q, ret, &report);
}

int source_load(const struct source *o, struct profile **ret)
{
	_cleanup_source_query_ struct source_query q = { 0 };
	int r = source_open(o, DEFAULT_FROM, &q);

	return r < 0 ? r : load(&q, ret);
}

int source_load_range(const struct source *o, const char *range, struct profile **ret)
{
	_cleanup_source_query_ struct source_query q = { 0 };
	int r = source_open_range(o, range, &q);

	return r < 0 ? r : load(&q, ret);
}
