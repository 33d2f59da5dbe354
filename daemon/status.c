/* What emberd tells of itself: `emberctl status` and `emberctl features`. */
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/features.h"
#include "daemon/manager.h"
#include "base/proc_stat.h"
#include "daemon/usage.h"

#define NUMBER(x) ((json_int_t)(x))

static void add_counter(void *userdata, const char *name, uint64_t value)
{
	(void)json_object_set_new(userdata, name, json_integer(NUMBER(value)));
}

static void add_process(void *userdata, const struct source_process *p)
{
	char comm[PROC_COMM_MAX];

	proc_comm(p->pid, comm);
	(void)json_array_append_new(
	        userdata, json_pack("{sIsssssIsIsIsbsbsfsf}", "pid", NUMBER(p->pid), "comm", comm, "method", p->method,
	                          "sites", NUMBER(p->sites), "refused_sites", NUMBER(p->refused), "files_over_limit",
	                          NUMBER(p->files_over), "is_in", p->is_in, "is_waiting", p->is_waiting, "slow_down",
	                          p->slow_down, "budget", p->budget));
}

static json_t *source_json(const struct gather *g)
{
	struct source_instance *i = gather_instance(g);
	const struct window *w = gather_window(g);
	json_t *counters = json_object(), *processes = json_array();
	struct source_stats s;

	source_stats(i, &s);
	source_counters(i, add_counter, counters);
	source_processes(i, add_process, processes);
	return json_pack("{sssIsIsIsIsIsIsIsIsIsoso}", "name", source_of(i)->name, "rate", NUMBER(source_rate(i)),
	        "samples", NUMBER(s.samples), "lost", NUMBER(s.lost + window_counts(w)->lost), "truncated",
	        NUMBER(s.truncated), "bpf_ns", NUMBER(s.bpf_ns), "bpf_runs", NUMBER(s.bpf_runs), "map_bytes",
	        NUMBER(s.map_bytes), "window_samples", NUMBER(window_counts(w)->samples), "window_bytes",
	        NUMBER(window_bytes(w)), "counters", counters, "processes", processes);
}

static json_t *sources_json(const struct manager *m)
{
	json_t *list = json_array();
	const struct continuous *k;

	LIST_FOREACH (k, &m->continuous, next)
		(void)json_array_append_new(list, source_json(k->gather));
	return list;
}

static uint64_t map_bytes(const struct manager *m, const struct code_stats *code)
{
	uint64_t bytes = code->map_bytes;
	const struct continuous *k;

	LIST_FOREACH (k, &m->continuous, next) {
		struct source_stats s;

		source_stats(gather_instance(k->gather), &s);
		bytes += s.map_bytes;
	}
	return bytes;
}

static json_t *memory_json(const struct manager *m, const struct code_stats *code, const struct symbolizer_stats *child)
{
	struct usage own = { 0 };

	(void)usage_of(0, &own);
	return json_pack("{sIsIsI}", "emberd_rss_bytes", NUMBER(own.rss_bytes), "children_rss_bytes",
	        NUMBER(child->rss_bytes + uploads_children_rss_bytes(m->uploads)), "bpf_map_bytes",
	        NUMBER(map_bytes(m, code)));
}

static json_t *cpu_json(const struct manager *m, const struct symbolizer_stats *child)
{
	uint64_t own = usage_own_cpu_ns(), all = m->tools.cost_ns(m->tools.userdata);
	uint64_t children = child->cpu_ns + uploads_children_cpu_ns(m->uploads);

	return json_pack("{sIsIsI}", "emberd_ns", NUMBER(own), "children_ns", NUMBER(children), "bpf_ns",
	        NUMBER(all - own - children));
}

static json_t *windows_json(const struct manager *m)
{
	const struct manager_stats *s = &m->stats;

	return json_pack("{sIsIsIsIsIss}", "written", NUMBER(s->windows_written), "failed", NUMBER(s->windows_failed),
	        "empty", NUMBER(s->windows_empty), "bytes", NUMBER(s->bytes_written), "last_start_ns",
	        NUMBER(s->last_window_ns), "last_error", s->last_error < 0 ? strerror(-s->last_error) : "");
}

static json_t *code_json(const struct code_stats *s)
{
	return json_pack("{sIsIsIsIsIsIsIsIsIsIsIsIsIsIsI}", "files", NUMBER(s->files), "files_identified",
	        NUMBER(s->files_identified), "files_failed", NUMBER(s->files_failed), "files_room",
	        NUMBER(s->files_room), "files_recycled", NUMBER(s->files_recycled), "pages_loaded",
	        NUMBER(s->pages_loaded), "rows_used", NUMBER(s->rows_used), "rows_room", NUMBER(s->rows_room),
	        "rules_used", NUMBER(s->rules_used), "rules_room", NUMBER(s->rules_room), "page_misses",
	        NUMBER(s->page_misses), "pages_evicted", NUMBER(s->pages_evicted), "rows_from_cache",
	        NUMBER(s->rows_from_cache), "rows_made", NUMBER(s->rows_made), "map_bytes", NUMBER(s->map_bytes));
}

static json_t *symbols_json(const struct manager *m, const struct symbolizer_stats *child)
{
	struct symbols_stats s;

	symbols_stats(m->symbols, &s);
	return json_pack("{sIsIsIsIsIsIsIsIsIsI}", "from_cache", NUMBER(s.from_cache), "asked", NUMBER(s.asked),
	        "unknown", NUMBER(s.unknown), "failures", NUMBER(s.failures), "cache_bytes", NUMBER(s.cache_bytes),
	        "cache_files", NUMBER(s.cache_files), "symbolizer_requests", NUMBER(child->requests),
	        "symbolizer_kills", NUMBER(child->kills), "symbolizer_starts", NUMBER(child->starts), "symbolizer_pid",
	        NUMBER(child->pid));
}

json_t *status_json(struct manager *m)
{
	char store[PATH_MAX]; /* who asks may stand elsewhere */
	struct symbolizer_stats child;
	struct code_stats code = { 0 };

	manager_symbolizer_stats(m, &child);
	code_stats(m->code, &code);
	return json_pack("{sssIsIsssIsIsosososososososo}", "version", EMBER_VERSION, "pid", NUMBER(getpid()),
	        "uptime_ns", NUMBER(clock_now_ns(CLOCK_REALTIME) - m->start_ns), "store",
	        realpath(manager_store_path(m), store) ? store : manager_store_path(m), "interval_ns",
	        NUMBER(m->config->interval_ns), "recordings", NUMBER(record_count(m)), "memory",
	        memory_json(m, &code, &child), "cpu", cpu_json(m, &child), "windows", windows_json(m), "code",
	        code_json(&code), "symbols", symbols_json(m, &child), "sources", sources_json(m), "uploads",
	        uploads_status(m->uploads), "storekeeper",
	        m->storekeeper ? storekeeper_json(m->storekeeper) : json_object());
}

json_t *features_json(void)
{
	json_t *list = json_array(), *names = json_array();

	for (enum feature f = FEATURE_NONE + 1; f < FEATURE_MAX; f++) {
		int has = features_has(f);

		(void)json_array_append_new(
		        list, json_pack("{sssssbss}", "id", features_id(f), "text", features_text(f), "available", has,
		                      "reason", has ? "" : features_reason(f)));
	}
	for (const struct source *const *s = sources; *s; s++) {
		int has = features_has((*s)->needs);

		(void)json_array_append_new(names, json_pack("{sssbss}", "name", (*s)->name, "available", has, "reason",
		                                           has ? "" : features_reason((*s)->needs)));
	}
	features_done();
	return json_pack("{soso}", "features", list, "sources", names);
}
