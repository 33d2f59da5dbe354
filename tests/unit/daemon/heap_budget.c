#include "tests/unit/unit.h"
#include "base/cleanup.h"
#include "daemon/heap_budget.h"

#include <math.h>
#include <stdlib.h>

#define MS 1000000.0

/* A program with bytes_per_ms of its own CPU time and hits_per_ms, run under the budget: while the probes are in, it pays for
 * them. */
struct simulation {
	struct heap_budget budget;
	double own_ms, cost_ms, bytes, estimate, pending, error, in_ms;
};

static void simulate(struct simulation *s, double fraction, double hits_per_ms, double seconds, double noise)
{
	const struct heap_prices prices = { .hit_ns = 1500, .sample_ns = 12000 };
	struct heap_meter now = { 0 };
	double cpu = 0, hits = 0, samples = 0, seen = 0, rate = 1000;

	*s = (struct simulation){ 0 };
	heap_budget_init(&s->budget, fraction, &prices, &now);
	s->budget.is_attached = true;
	while (cpu < seconds * 1000) {
		/* 10 ms of CPU time, of which own is the program's */
		double price = s->budget.is_attached ? hits_per_ms * (1500 + 12000 / 16.0) / MS : 0;
		double own = 10 / (1 + price);

		rate = MAX(rate + (drand48() - 0.5) * noise, 100);
		cpu += 10;
		s->own_ms += own;
		s->cost_ms += 10 - own;
		s->bytes += own * rate;
		if (s->budget.is_attached) {
			hits += own * hits_per_ms;
			samples += own * hits_per_ms / 16;
			seen += own * rate;
			s->pending += own * rate;
			s->in_ms += 10;
		}
		now = (struct heap_meter){ .cpu_ns = (uint64_t)(cpu * MS), .hits = (uint64_t)hits,
			.samples = (uint64_t)samples, .bytes = (uint64_t)seen };
		switch (heap_budget_step(&s->budget, &now)) {
		case HEAP_DETACH:
			s->budget.is_attached = false;
			break;
		case HEAP_ATTACH:
			s->estimate += s->pending * heap_budget_close_stretch(&s->budget);
			s->pending = 0;
			s->budget.is_attached = true;
			break;
		case HEAP_STAY:
			break;
		}
	}
	s->estimate += s->pending * heap_budget_close_stretch(&s->budget);
	s->error = heap_budget_close_window(&s->budget);
}

static void slow_allocators_are_never_detached(void **state)
{
	struct simulation s;

	(void)state;
	simulate(&s, 0.05, 20, 20, 0); /* 20,000 hits a second */
	assert_true(s.in_ms >= 19990);
	assert_true(fabs(s.estimate / s.bytes - 1) < 0.001);
	assert_true(s.error == 0);
}

static void fast_ones_stay_within_the_budget_and_are_scaled_right(void **state)
{
	struct simulation s;

	(void)state;
	srand48(1);
	simulate(&s, 0.03, 2000, 60, 0); /* two million hits a second */
	assert_true(s.in_ms < 10000 && s.in_ms > 100);
	assert_true(s.cost_ms / s.own_ms < 0.03 * 1.5);
	assert_true(s.cost_ms / s.own_ms > 0.01);
	assert_true(fabs(s.estimate / s.bytes - 1) < 0.02);
}

static void the_stated_error_covers_the_real_one(void **state)
{
	int covered = 0;

	(void)state;
	srand48(2);
	for (int run = 0; run < 40; run++) {
		struct simulation s;

		simulate(&s, 0.03, 2000, 60, 200);
		covered += fabs(s.estimate / s.bytes - 1) <= 2 * s.error;
	}
	assert_true(covered >= 34);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(slow_allocators_are_never_detached),
	cmocka_unit_test(fast_ones_stay_within_the_budget_and_are_scaled_right),
	cmocka_unit_test(the_stated_error_covers_the_real_one),
};

UNIT_MAIN(tests)
