#include "daemon/heap_ticks.h"

#include <assert.h>
#include <bpf/libbpf.h>

#include "base/clock.h"
#include "daemon/cpu_events.h"
#include "daemon/features.h"
#include "bpf/heap.skel.h"

#define FEW_NS 10000000u
#define SOME_NS 1000000u
#define MANY_NS_MIN 100000u
#define FEW_INSTRUCTIONS 2000000u
#define MANY_INSTRUCTIONS 200000u
/* By the CPU's clock each takes 1 to 60 us from whatever it comes upon (in virtual machines): while many come they take
 * up to this part of the time, and they may come for that part of it, of which so much is saved up. */
#define MANY_SHARE 0.1
#define MANY_TIME_SHARE 0.05
#define MANY_SAVED_NS (0.5 * (double)NS_PER_SEC)

struct heap_ticks {
	struct heap_bpf *skel;
	struct cpu_events *events;
	struct tick {
		uint64_t period, progress; /* what one stands for: without what it takes itself */
	} few, some, many;
	const struct tick *now;
	double saved_ns;
	uint64_t at_ns;
};

static struct tick tick_of(uint64_t period, uint64_t own)
{
	return (struct tick){ .period = period, .progress = period - MIN(own, period / 2) };
}

int heap_ticks_new(struct heap_bpf *skel, double own_ns, struct heap_ticks **ret)
{
	_cleanup_(heap_ticks_freep) struct heap_ticks *t = calloc(1, sizeof(*t));
	bool by_instructions = features_has(FEATURE_USER_INSTRUCTIONS);
	uint64_t own = (uint64_t)own_ns, many = (uint64_t)(own_ns / MANY_SHARE);
	const struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = by_instructions ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.config = by_instructions ? PERF_COUNT_HW_INSTRUCTIONS : PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = by_instructions ? FEW_INSTRUCTIONS : FEW_NS,
		.disabled = 1,
		.exclude_kernel = by_instructions,
		.exclude_hv = by_instructions,
	};
	int r;

	assert(skel);
	assert(ret);

	if (!t)
		return -ENOMEM;
	t->skel = skel;
	if (by_instructions) {
		t->few = tick_of(FEW_INSTRUCTIONS, 0);
		t->some = t->many = tick_of(MANY_INSTRUCTIONS, 0);
	} else {
		t->few = tick_of(FEW_NS, own);
		t->some = tick_of(SOME_NS, own);
		t->many = tick_of(MIN(MAX(many, MANY_NS_MIN), SOME_NS), own);
	}
	t->now = &t->few;
	t->saved_ns = MANY_SAVED_NS;
	t->at_ns = clock_now_ns(CLOCK_MONOTONIC);
	r = cpu_events_new(skel->progs.heap_tick, &attr, &t->events);
	if (r < 0)
		return r;
	skel->data->tick = t->few.progress;
	*ret = TAKE_PTR(t);
	return 0;
}

struct heap_ticks *heap_ticks_free(struct heap_ticks *t)
{
	if (!t)
		return NULL;
	(void)cpu_events_free(t->events);
	free(t);
	return NULL;
}

int heap_ticks_follow(struct heap_ticks *t)
{
	return cpu_events_follow(t->events);
}

static void set(struct heap_ticks *t, const struct tick *tick)
{
	if (tick == t->now || (tick->period != t->now->period && cpu_events_set_period(t->events, tick->period) < 0))
		return;
	t->skel->data->tick = tick->progress;
	t->now = tick;
}

void heap_ticks_want_many(struct heap_ticks *t, bool many)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	double elapsed = (double)(now - t->at_ns);

	t->at_ns = now;
	t->saved_ns = MIN(t->saved_ns + (MANY_TIME_SHARE - (t->now == &t->many)) * elapsed, MANY_SAVED_NS);
	if (!many)
		set(t, &t->few);
	else if (t->now != &t->some) /* those go on until fewer are wanted: not by turns */
		set(t, t->saved_ns > 0 ? &t->many : &t->some);
}

double heap_ticks_progress(const struct heap_ticks *t)
{
	return (double)t->now->progress;
}

double heap_ticks_progress_of_many(const struct heap_ticks *t)
{
	return (double)t->many.progress;
}

double heap_ticks_progress_of_few(const struct heap_ticks *t)
{
	return (double)t->few.progress;
}

static void note_place(struct heap_bpf *skel, const struct site *s)
{
	for (size_t k = 0; k < ARRAY_SIZE(s->after); k++)
		skel->bss->after[(s->after[k] & 0xfff) / 64] |= 1ull << (s->after[k] & 63);
}

void heap_ticks_note_places(struct heap_ticks *t, const struct heap_process *p)
{
	const struct heap_allocator *const *files;
	size_t n_files = heap_process_files(p, &files);

	for (size_t k = 0; k < n_files; k++)
		for (uint32_t n = 0; n < files[k]->n_sites; n++)
			note_place(t->skel, &files[k]->sites[n]);
}
