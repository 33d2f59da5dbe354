#include "daemon/heap_ticks.h"

#include <assert.h>
#include <bpf/libbpf.h>

#include "daemon/cpu_events.h"
#include "daemon/features.h"
#include "bpf/heap.skel.h"

/* By the CPU's clock each takes 1 to 60 us from whatever it comes upon (in virtual machines), so not many more. */
#define TICK_NS 1000000u
#define TICK_INSTRUCTIONS 200000u
#define TICKS_SLOWER 10

struct heap_ticks {
	struct heap_bpf *skel;
	struct cpu_events *events;
	bool is_fast;
	struct tick {
		uint64_t period, progress; /* what one stands for: without what it takes itself */
	} fast, slow;
};

int heap_ticks_new(struct heap_bpf *skel, double own_ns, struct heap_ticks **ret)
{
	_cleanup_(heap_ticks_freep) struct heap_ticks *t = calloc(1, sizeof(*t));
	bool by_instructions = features_has(FEATURE_USER_INSTRUCTIONS);
	uint64_t period = by_instructions ? TICK_INSTRUCTIONS : TICK_NS, own = by_instructions ? 0 : (uint64_t)own_ns;
	const struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = by_instructions ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.config = by_instructions ? PERF_COUNT_HW_INSTRUCTIONS : PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = period * TICKS_SLOWER,
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
	t->fast = (struct tick){ .period = period, .progress = period - own };
	t->slow = (struct tick){ .period = period * TICKS_SLOWER, .progress = period * TICKS_SLOWER - own };
	r = cpu_events_new(skel->progs.heap_tick, &attr, &t->events);
	if (r < 0)
		return r;
	skel->data->tick = t->slow.progress;
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

void heap_ticks_set_fast(struct heap_ticks *t, bool is_fast)
{
	const struct tick *tick = is_fast ? &t->fast : &t->slow;

	if (is_fast == t->is_fast || cpu_events_set_period(t->events, tick->period) < 0)
		return;
	t->skel->data->tick = tick->progress;
	t->is_fast = is_fast;
}

double heap_ticks_progress(const struct heap_ticks *t)
{
	return (double)t->fast.progress;
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
