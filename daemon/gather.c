#include "daemon/gather.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/environment.h"
#include "daemon/perf_map.h"

#define DRAIN_BATCH 512
#define DRAINS_AT_END 64
#define PERF_MAPS_OPEN_MAX 64

struct gather {
	const struct gather_tools *tools;
	struct source_instance *instance;
	struct window *window;
	int *perf_maps; /* one a process of the window */
	uint32_t n_perf_maps, room_perf_maps, n_open;
	uint64_t hold;
	uint64_t start_wall_ns, start_ns, start_cost_ns, start_lost;
	uint64_t end_wall_ns, end_ns; /* 0: goes on */
	bool is_attached;
};

/* A JIT's map must be opened while its process lives; the descriptor outlives it. */
static void open_perf_maps(struct gather *g)
{
	while (g->n_perf_maps < window_n_processes(g->window)) {
		const struct window_process *p = window_process(g->window, g->n_perf_maps);

		if (g->n_perf_maps == g->room_perf_maps) {
			uint32_t room = g->room_perf_maps ? g->room_perf_maps * 2 : 8;
			int *bigger = reallocarray(g->perf_maps, room, sizeof(*bigger));

			if (!bigger)
				return;
			g->perf_maps = bigger;
			g->room_perf_maps = room;
		}
		g->perf_maps[g->n_perf_maps] =
		        g->n_open < PERF_MAPS_OPEN_MAX ? perf_map_open(p->pid, p->start_ns) : -EMFILE;
		g->n_open += g->perf_maps[g->n_perf_maps++] >= 0;
	}
}

static void on_sample(void *userdata, const struct source_instance *i, const struct sample *s)
{
	struct gather *g = userdata;

	/* what a source has held back carries the time at which it tells */
	if (g->end_wall_ns && s->time_ns > g->end_wall_ns && !source_of(i)->flush)
		return;
	if (g->tools->assembly.cgroups)
		(void)cgroups_get(g->tools->assembly.cgroups, s->cgroup_id);
	if (g->tools->assembly.environment)
		(void)environment_get(g->tools->assembly.environment, s->pid, s->process_start_ns, s->exe);
	if (window_add(g->window, s) == 0 && window_n_processes(g->window) > g->n_perf_maps)
		open_perf_maps(g);
}

static uint64_t cost_ns(const struct gather *g)
{
	return g->tools->cost_ns ? g->tools->cost_ns(g->tools->userdata) : 0;
}

static uint64_t lost(const struct gather *g)
{
	struct source_stats stats;

	source_stats(g->instance, &stats);
	return stats.lost;
}

static size_t n_values(const struct source *s)
{
	size_t n = 0;

	while (n < SAMPLE_VALUES_MAX && s->types[n].type)
		n++;
	return n;
}

static void begin(struct gather *g)
{
	g->end_wall_ns = g->end_ns = 0;
	g->start_wall_ns = clock_now_ns(CLOCK_REALTIME);
	g->start_ns = clock_now_ns(CLOCK_MONOTONIC);
	g->start_cost_ns = cost_ns(g);
	g->start_lost = lost(g);
}

int gather_new(const struct gather_tools *tools, const struct source *source, const struct source_params *params,
        struct gather **ret)
{
	_cleanup_(gather_freep) struct gather *g = calloc(1, sizeof(*g));
	int r;

	assert(tools && source && params && ret);

	if (!g)
		return -ENOMEM;
	g->tools = tools;
	g->hold = code_hold(tools->assembly.code);
	r = window_new(n_values(source), WINDOW_BYTES_MAX, &g->window);
	if (r < 0)
		return r;
	r = source_open(source, params, on_sample, g, &g->instance);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(g);
	return 0;
}

struct gather *gather_free(struct gather *g)
{
	if (!g)
		return NULL;
	source_close(g->instance);
	for (uint32_t i = 0; i < g->n_perf_maps; i++)
		close_fd(g->perf_maps[i]);
	free(g->perf_maps);
	window_free(g->window);
	code_release(g->tools->assembly.code, g->hold);
	free(g);
	return NULL;
}

int gather_attach(struct gather *g)
{
	int r;

	begin(g);
	r = source_attach(g->instance);
	g->is_attached = r >= 0;
	return r;
}

int gather_drain(struct gather *g)
{
	int n = source_drain(g->instance, DRAIN_BATCH);

	return n < 0 ? n : n == DRAIN_BATCH;
}

void gather_end(struct gather *g)
{
	g->end_wall_ns = clock_now_ns(CLOCK_REALTIME);
	g->end_ns = clock_now_ns(CLOCK_MONOTONIC);
}

unsigned gather_unfinished(const struct gather *g)
{
	return source_unfinished(g->instance);
}

/* What waits in the ring and what the source holds back belongs to the window that ends. */
static void drain_all(struct gather *g)
{
	for (unsigned i = 0; i < DRAINS_AT_END && gather_drain(g) > 0; i++)
		;
	(void)source_flush(g->instance);
}

int gather_cut(struct gather *g, uint64_t timeout_ns, assembly_done_t done, void *userdata, struct assembly **ret)
{
	_cleanup_(window_freep) struct window *next = NULL, *full = NULL;
	const struct window_counts *counts;
	struct window_facts facts;
	int *perf_maps, r;
	uint64_t hold;

	assert(g->is_attached);

	drain_all(g);
	facts = (struct window_facts){
		.source = source_of(g->instance),
		.period = source_period(g->instance),
		.rate = source_rate(g->instance),
		.start_ns = g->start_wall_ns,
		.duration_ns = (g->end_ns ? g->end_ns : clock_now_ns(CLOCK_MONOTONIC)) - g->start_ns,
		.lost = lost(g) - g->start_lost,
		.cost_cpu_ns = cost_ns(g) - g->start_cost_ns,
	};
	facts.n_notes = source_notes(g->instance, facts.notes);
	counts = window_counts(g->window);
	if (counts->samples + counts->lost + facts.lost == 0) {
		begin(g);
		return -ENODATA;
	}
	r = window_new(window_n_values(g->window), WINDOW_BYTES_MAX, &next);
	if (r < 0)
		return r;
	full = TAKE_PTR(g->window);
	g->window = TAKE_PTR(next);
	perf_maps = TAKE_PTR(g->perf_maps);
	g->n_perf_maps = g->room_perf_maps = g->n_open = 0;
	hold = g->hold;
	g->hold = code_hold(g->tools->assembly.code);
	begin(g);
	return assembly_start(
	        &g->tools->assembly, &facts, TAKE_PTR(full), perf_maps, hold, timeout_ns, done, userdata, ret);
}

struct source_instance *gather_instance(const struct gather *g)
{
	return g->instance;
}

const struct source *gather_source(const struct gather *g)
{
	return source_of(g->instance);
}

const struct window *gather_window(const struct gather *g)
{
	return g->window;
}

uint64_t gather_start_ns(const struct gather *g)
{
	return g->start_wall_ns;
}
