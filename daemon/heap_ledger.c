#include "daemon/heap_ledger.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "daemon/heap_estimate.h"
#include "daemon/heap_process.h"
#include "daemon/source.h"

void heap_ledger_add_stretch(struct heap_ledger *l, const struct heap_stretch *s)
{
	bool is_whole = s->kind == HEAP_STRETCH_WHOLE;

	l->has_survivors = true;
	l->stretches += s->attached_ns > 0;
	l->whole_stretches += s->attached_ns > 0 && is_whole;
	l->whole_ns += is_whole ? (uint64_t)s->attached_ns : 0;
}

static double error_of(const struct heap_ledger *l, double sampling)
{
	double error = 2 * sampling;

	return l->told_bytes > 0
	               ? hypot(error, sqrt(l->error_bytes2 + l->common_bytes * l->common_bytes) / l->told_bytes)
	               : error;
}

void heap_ledger_take(struct heap_ledger *l, struct heap_process *p)
{
	l->cost_ns += p->budget.cost_ns;
	l->paid_ns += p->budget.paid_ns;
	p->budget.cost_ns = p->budget.paid_ns = p->paid_at_tick = 0;
	l->error_bytes2 += p->error_bytes * p->error_bytes;
	l->common_bytes += p->common_bytes;
	p->error_bytes = p->common_bytes = 0;
}

void heap_ledger_note(struct heap_ledger *l, struct heap_process *p)
{
	l->refused += p->sites.refused;
	l->over += p->sites.files_over;
	if (heap_turn_was_left_out(&p->turn))
		l->waiting++;
	else if (p->last_scan_ns && !p->is_awaited && !heap_process_has_allocator(p))
		l->unknown++;
	else
		l->unprobed += p->last_attach_ns == 0;
}

static void add_lost(void *userdata, const char *name, uint64_t value)
{
	if (strcmp(name, "heap-live-full") == 0 || strcmp(name, "heap-calls-full") == 0)
		*(uint64_t *)userdata += value;
}

uint64_t heap_ledger_lost_calls(struct source_instance *i)
{
	uint64_t lost = 0;

	source_counters(i, add_lost, &lost);
	return lost;
}

unsigned heap_ledger_tell(struct heap_ledger *l, double sampling, uint64_t dropped, struct source_note *ret)
{
	double error = error_of(l, sampling);
	unsigned n = 0;

	ret[n++] =
	        (struct source_note){ "heap.error_permille_max", (uint64_t)lrint(MIN(error, HEAP_ERROR_MAX) * 1000) };
	ret[n++] = (struct source_note){ "heap.error_unknown_max", error > HEAP_ERROR_MAX }; /* too little was seen */
	ret[n++] = (struct source_note){ "heap.probe_cost_ns", (uint64_t)l->cost_ns };
	ret[n++] = (struct source_note){ "heap.probe_budget_ns", (uint64_t)l->paid_ns };
	ret[n++] = (struct source_note){ "heap.duty_stretches", l->stretches };
	if (l->has_survivors) /* in use says what outlived a stretch of this length on average */
		ret[n++] = (struct source_note){ "heap.survivors_of_ms_max",
			l->whole_stretches ? l->whole_ns / l->whole_stretches / NS_PER_MS : 0 };
	ret[n++] = (struct source_note){ "heap.refused_sites_max", l->refused };
	ret[n++] = (struct source_note){ "heap.files_over_limit_max", l->over };
	ret[n++] = (struct source_note){ "heap.without_allocator_max", l->unknown };
	ret[n++] = (struct source_note){ "heap.processes_waiting_max", l->waiting };
	ret[n++] = (struct source_note){ "heap.processes_unprobed_max", l->unprobed };
	ret[n++] = (struct source_note){ "heap.processes_over_limit_max", l->full };
	ret[n++] = (struct source_note){ "heap.objects_dropped_max", dropped };
	*l = (struct heap_ledger){ .full = l->full };
	return n;
}
