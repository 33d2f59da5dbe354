#include "tests/unit/unit.h"
#include "daemon/extents.h"

static void first_fit(void **state)
{
	_cleanup_(extents_freep) struct extents *e = NULL;
	uint32_t a, b, c;

	(void)state;
	assert_int_equal(extents_new(200, &e), 0);
	assert_int_equal(extents_take(e, 100, &a), 0);
	assert_int_equal(extents_take(e, 70, &b), 0);
	assert_int_equal(a, 0);
	assert_int_equal(b, 100);
	c = 4711;
	assert_int_equal(extents_take(e, 31, &c), -ENOSPC);
	assert_int_equal(c, 4711);
	assert_int_equal(extents_take(e, 30, &c), 0);
	assert_int_equal(c, 170);
	assert_int_equal(extents_used(e), 200);
	extents_give(e, a, 100);
	assert_int_equal(extents_take(e, 1, &a), 0);
	assert_int_equal(a, 0);
	assert_int_equal(extents_used(e), 101);
}

/* Against a plain array of bytes, 20,000 steps. */
static void agrees_with_a_model(void **state)
{
	enum { UNITS = 300, RUNS = 64 };
	_cleanup_(extents_freep) struct extents *e = NULL;
	struct {
		uint32_t first, n;
	} runs[RUNS] = { 0 };
	char model[UNITS] = { 0 };
	uint32_t random = 1, used = 0;

	(void)state;
	assert_int_equal(extents_new(UNITS, &e), 0);
	for (int step = 0; step < 20000; step++) {
		uint32_t slot, first = 0;

		random = random * 1664525 + 1013904223;
		slot = (random >> 8) % RUNS;
		if (runs[slot].n) {
			extents_give(e, runs[slot].first, runs[slot].n);
			for (uint32_t i = 0; i < runs[slot].n; i++)
				model[runs[slot].first + i] = 0;
			used -= runs[slot].n;
			runs[slot].n = 0;
		} else if (extents_take(e, 1 + (random >> 20) % 20, &first) == 0) {
			runs[slot].first = first;
			runs[slot].n = 1 + (random >> 20) % 20;
			for (uint32_t i = 0; i < runs[slot].n; i++) {
				assert_int_equal(model[first + i], 0);
				model[first + i] = 1;
			}
			used += runs[slot].n;
		} else {
			uint32_t run = 0, longest = 0;

			for (uint32_t i = 0; i < UNITS; i++) {
				run = model[i] ? 0 : run + 1;
				longest = run > longest ? run : longest;
			}
			assert_true(longest < 1 + (random >> 20) % 20);
		}
		assert_int_equal(extents_used(e), used);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(first_fit),
	cmocka_unit_test(agrees_with_a_model),
};

UNIT_MAIN(tests)
