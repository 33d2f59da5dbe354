/* emberctl status: what the running emberd does and what it costs. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/daemon.h"
#include "ctl/table.h"

enum {
	OPTION_SOURCE = 0x1000,
};

static const struct argp_option status_options[] = {
	{ "source", OPTION_SOURCE, "SOCKET", 0, "Ask the emberd that listens here (default: " DAEMON_SOCKET ")", 0 },
	{ 0 },
};

static error_t status_parse(int key, char *arg, struct argp_state *state)
{
	if (key != OPTION_SOURCE)
		return ARGP_ERR_UNKNOWN;
	*(const char **)state->input = arg;
	return 0;
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void print_size(const char *name, uint64_t bytes)
{
	char b[UNITS_TEXT_MAX];

	printf("  %-22s %s\n", name, units_format_size(b, bytes));
}

static void print_cpu(const char *name, uint64_t ns, uint64_t of_ns)
{
	char b[UNITS_TEXT_MAX];

	printf("  %-22s %s (%.3f %% of a core)\n", name, units_format_time(b, ns),
	        of_ns ? 100.0 * (double)ns / (double)of_ns : 0);
}

static void print_process(const json_t *s)
{
	const json_t *memory = json_object_get(s, "memory"), *cpu = json_object_get(s, "cpu");
	uint64_t uptime = number(s, "uptime_ns");
	char b[UNITS_TEXT_MAX];

	printf("emberd %s, PID %llu, up %s, store %s\n", text(s, "version"), (unsigned long long)number(s, "pid"),
	        units_format_time(b, uptime), text(s, "store"));
	printf("\nmemory\n");
	print_size("emberd", number(memory, "emberd_rss_bytes"));
	print_size("children", number(memory, "children_rss_bytes"));
	print_size("BPF maps", number(memory, "bpf_map_bytes"));
	printf("\nCPU time since start\n");
	print_cpu("emberd", number(cpu, "emberd_ns"), uptime);
	print_cpu("children", number(cpu, "children_ns"), uptime);
	print_cpu("BPF programs", number(cpu, "bpf_ns"), uptime);
}

/* What retention and merging did to the store since emberd started. */
static void print_storekeeper(const json_t *s)
{
	const json_t *k = json_object_get(s, "storekeeper");
	const char *error = json_string_value(json_object_get(k, "error"));
	char kept[UNITS_TEXT_MAX], gone[UNITS_TEXT_MAX];

	if (!json_object_get(k, "runs"))
		return;
	printf("store: %s; removed %s in %llu old, %llu over MaxBytes, %llu for MinFreeDisk; merged %llu into %llu "
	       "hours, "
	       "%llu days; %llu corrupt%s%s%s\n",
	        units_format_size(kept, number(k, "bytes")), units_format_size(gone, number(k, "removed_bytes")),
	        (unsigned long long)number(k, "removed_old"), (unsigned long long)number(k, "removed_over_bytes"),
	        (unsigned long long)number(k, "removed_for_free_disk"), (unsigned long long)number(k, "merged_files"),
	        (unsigned long long)number(k, "merged_hours"), (unsigned long long)number(k, "merged_days"),
	        (unsigned long long)number(k, "corrupt"),
	        json_is_true(json_object_get(k, "short_of_disk")) ? "; the disk is fuller than MinFreeDisk allows" : "",
	        error && *error ? "; last error: " : "", error ? error : "");
}

static void print_windows(const json_t *s)
{
	const json_t *w = json_object_get(s, "windows"), *code = json_object_get(s, "code"),
	             *symbols = json_object_get(s, "symbols");
	char b[UNITS_TEXT_MAX];

	printf("\nwindows: %llu written (%s), %llu failed, %llu empty%s%s\n", (unsigned long long)number(w, "written"),
	        units_format_size(b, number(w, "bytes")), (unsigned long long)number(w, "failed"),
	        (unsigned long long)number(w, "empty"), *text(w, "last_error") ? "; last error: " : "",
	        text(w, "last_error"));
	printf("code: %llu files, %llu identified, %llu not readable; unwind rows %llu of %llu; %llu pages evicted\n",
	        (unsigned long long)number(code, "files"), (unsigned long long)number(code, "files_identified"),
	        (unsigned long long)number(code, "files_failed"), (unsigned long long)number(code, "rows_used"),
	        (unsigned long long)number(code, "rows_room"), (unsigned long long)number(code, "pages_evicted"));
	printf("symbols: %llu addresses from the cache, %llu asked, %llu unknown; symbolizer started %llu times, "
	       "killed "
	       "%llu; cache %s\n",
	        (unsigned long long)number(symbols, "from_cache"), (unsigned long long)number(symbols, "asked"),
	        (unsigned long long)number(symbols, "unknown"),
	        (unsigned long long)number(symbols, "symbolizer_starts"),
	        (unsigned long long)number(symbols, "symbolizer_kills"),
	        units_format_size(b, number(symbols, "cache_bytes")));
}

static int add_source(struct table *t, const json_t *source)
{
	char rate[32], samples[32], lost[32], truncated[32], window[32], cost[32];
	uint64_t runs = number(source, "bpf_runs");

	(void)snprintf(rate, sizeof(rate), "%llu", (unsigned long long)number(source, "rate"));
	(void)snprintf(samples, sizeof(samples), "%llu", (unsigned long long)number(source, "samples"));
	(void)snprintf(lost, sizeof(lost), "%llu", (unsigned long long)number(source, "lost"));
	(void)snprintf(truncated, sizeof(truncated), "%llu", (unsigned long long)number(source, "truncated"));
	(void)snprintf(window, sizeof(window), "%llu", (unsigned long long)number(source, "window_samples"));
	(void)snprintf(
	        cost, sizeof(cost), "%.1f µs", runs ? (double)number(source, "bpf_ns") / 1000 / (double)runs : 0);
	return table_add_row(t, (const char *[]){ text(source, "name"), rate, samples, lost, truncated, window, cost });
}

static int print_sources(const json_t *s)
{
	static const struct table_column columns[] = {
		{ "source", 0 },
		{ "rate", TABLE_RIGHT },
		{ "samples", TABLE_RIGHT },
		{ "lost", TABLE_RIGHT },
		{ "truncated", TABLE_RIGHT },
		{ "in window", TABLE_RIGHT },
		{ "a run", TABLE_RIGHT },
	};
	_cleanup_(table_freep) struct table *t = NULL;
	const json_t *source;
	size_t i;
	int r = table_new(columns, ARRAY_SIZE(columns), &t);

	json_array_foreach (json_object_get(s, "sources"), i, source)
		r = r < 0 ? r : add_source(t, source);
	printf("\n");
	return r < 0 ? r : table_print(t, stdout, table_terminal_width(stdout));
}

static int add_upload(struct table *t, const json_t *u)
{
	char sent[32], retried[32], dropped[32], waiting[64], aside[32], spool[UNITS_TEXT_MAX];

	(void)snprintf(sent, sizeof(sent), "%llu", (unsigned long long)number(u, "sent"));
	(void)snprintf(retried, sizeof(retried), "%llu", (unsigned long long)number(u, "retried"));
	(void)snprintf(dropped, sizeof(dropped), "%llu",
	        (unsigned long long)number(u, "dropped") + number(u, "rejected") + number(u, "expired"));
	(void)snprintf(waiting, sizeof(waiting), "%llu", (unsigned long long)number(u, "waiting"));
	(void)snprintf(aside, sizeof(aside), "%llu", (unsigned long long)number(u, "aside"));
	(void)units_format_size(spool, number(u, "spool_bytes"));
	return table_add_row(t, (const char *[]){ text(u, "name"), text(u, "protocol"), sent, retried, dropped, waiting,
	                                aside, spool, text(u, "last_error") });
}

static const char *probes_are(const json_t *p)
{
	if (json_is_true(json_object_get(p, "is_in")))
		return "in";
	return json_is_true(json_object_get(p, "is_waiting")) ? "waiting" : "out";
}

/* Processes that a source does something to, and at what cost. */
static int add_processes(struct table *t, const json_t *source)
{
	const json_t *p;
	size_t i;
	int r = 0;

	json_array_foreach (json_object_get(source, "processes"), i, p) {
		char pid[32], sites[32], refused[32], slower[48];

		(void)snprintf(pid, sizeof(pid), "%llu", (unsigned long long)number(p, "pid"));
		(void)snprintf(sites, sizeof(sites), "%llu", (unsigned long long)number(p, "sites"));
		(void)snprintf(refused, sizeof(refused), number(p, "files_over_limit") ? "%llu, %llu files" : "%llu",
		        (unsigned long long)number(p, "refused_sites"),
		        (unsigned long long)number(p, "files_over_limit"));
		(void)snprintf(slower, sizeof(slower), "%.2f %% of %.0f %%",
		        100 * json_real_value(json_object_get(p, "slow_down")),
		        100 * json_real_value(json_object_get(p, "budget")));
		r = r < 0 ? r
		          : table_add_row(t, (const char *[]){ text(source, "name"), pid, text(p, "comm"),
		                                     text(p, "method"), sites, refused, probes_are(p), slower });
	}
	return r;
}

static int print_processes(const json_t *s)
{
	static const struct table_column columns[] = {
		{ "source", 0 },
		{ "pid", TABLE_RIGHT },
		{ "comm", 0 },
		{ "asked by", 0 },
		{ "sites", TABLE_RIGHT },
		{ "refused", TABLE_RIGHT },
		{ "probes", 0 },
		{ "slow-down", TABLE_RIGHT },
	};
	_cleanup_(table_freep) struct table *t = NULL;
	const json_t *source;
	size_t i, n = 0;
	int r;

	json_array_foreach (json_object_get(s, "sources"), i, source)
		n += json_array_size(json_object_get(source, "processes"));
	if (n == 0)
		return 0;
	r = table_new(columns, ARRAY_SIZE(columns), &t);
	json_array_foreach (json_object_get(s, "sources"), i, source)
		r = r < 0 ? r : add_processes(t, source);
	printf("\n");
	return r < 0 ? r : table_print(t, stdout, table_terminal_width(stdout));
}

/* Where profiles go. */
static int print_uploads(const json_t *s)
{
	static const struct table_column columns[] = {
		{ "upload", 0 },
		{ "protocol", 0 },
		{ "sent", TABLE_RIGHT },
		{ "retried", TABLE_RIGHT },
		{ "dropped", TABLE_RIGHT },
		{ "waiting", TABLE_RIGHT },
		{ "set aside", TABLE_RIGHT },
		{ "spool", TABLE_RIGHT },
		{ "last error", 0 },
	};
	_cleanup_(table_freep) struct table *t = NULL;
	const json_t *u;
	size_t i;
	int r;

	if (json_array_size(json_object_get(s, "uploads")) == 0)
		return 0;
	r = table_new(columns, ARRAY_SIZE(columns), &t);
	json_array_foreach (json_object_get(s, "uploads"), i, u)
		r = r < 0 ? r : add_upload(t, u);
	printf("\n");
	return r < 0 ? r : table_print(t, stdout, table_terminal_width(stdout));
}

/* Counters that say that something did not go the straight way. */
static void print_counters(const json_t *s)
{
	json_t *source, *value;
	const char *name;
	size_t i;

	json_array_foreach (json_object_get(s, "sources"), i, source) {
		printf("\ncounters of %s:", text(source, "name"));
		json_object_foreach (json_object_get(source, "counters"), name, value)
			if (json_integer_value(value))
				printf(" %s=%lld", name, (long long)json_integer_value(value));
		printf("\n");
	}
}

static int status_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(daemon_freep) struct daemon *d = NULL;
	_cleanup_(json_decrefp) json_t *s = NULL;
	const char *socket = DAEMON_SOCKET;
	int r;

	r = command_parse(c, argc, argv, &args, &socket);
	if (r != 0)
		return r;
	r = daemon_reach(socket, &d);
	if (r >= 0)
		r = daemon_call(d, "status", NULL, &s);
	if (r < 0)
		return r;
	if (args.json)
		return command_print_json(json_incref(s));
	print_process(s);
	print_windows(s);
	print_storekeeper(s);
	r = print_sources(s);
	if (r >= 0)
		r = print_processes(s);
	if (r >= 0)
		r = print_uploads(s);
	print_counters(s);
	return r < 0 ? log_err(r, "cannot print") : 0;
}

const struct command status_command = {
	.name = "status",
	.arguments = "",
	.summary = "Show what the running emberd does, loses and costs",
	.details = "Memory of emberd, its children and its BPF maps, CPU time, samples and losses by name, windows "
	           "written; of each process whose heap is probed how it is asked, whether probes are in now, and what "
	           "they "
	           "have cost it.\n\n"
	           "Examples:\n"
	           "  emberctl status\n"
	           "  emberctl status --json | jq .memory",
	.flags = COMMAND_JSON,
	.options = status_options,
	.parse = status_parse,
	.run = status_run,
};
