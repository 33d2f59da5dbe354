#include "tests/unit/unit.h"
#include "daemon/memory_pace.h"

static void follow(struct memory_pace *p, unsigned seconds, uint64_t young, uint64_t grown, bool is_roomy)
{
	for (unsigned i = 0; i < seconds; i++)
		memory_pace_follow(p, young >> (p->young_shift - MEMORY_YOUNG_SHIFT_MIN), grown, is_roomy);
}

static void assert_is_finest(const struct memory_pace *p)
{
	assert_int_equal(p->page_shift, MEMORY_SHIFT_MIN);
	assert_int_equal(p->young_shift, MEMORY_YOUNG_SHIFT_MIN);
	assert_int_equal(p->samples_max, MEMORY_PACE_SAMPLES_MAX);
}

static void a_quiet_host_is_watched_as_finely_as_can_be(void **state)
{
	struct memory_pace p = MEMORY_PACE_START;

	(void)state;
	follow(&p, 600, 90, 150, true);
	assert_is_finest(&p);
	p = MEMORY_PACE_START;
	follow(&p, 1, 600, 900, true); /* a burst is no busy host */
	follow(&p, 10, 0, 0, true);
	assert_is_finest(&p);
}

static void programs_that_come_and_go_are_watched_coarsely_alone(void **state)
{
	struct memory_pace p = MEMORY_PACE_START;

	(void)state;
	follow(&p, 60, 3000, 100, true);
	assert_in_range(3000 >> (p.young_shift - MEMORY_YOUNG_SHIFT_MIN), 40, 100);
	assert_int_equal(p.page_shift, MEMORY_SHIFT_MIN);
	assert_int_equal(p.samples_max, MEMORY_PACE_SAMPLES_MAX);
	follow(&p, 300, 0, 0, true);
	assert_is_finest(&p);
}

static void those_that_fault_without_end_give_way_before_all_others(void **state)
{
	struct memory_pace p = MEMORY_PACE_START;

	(void)state;
	for (unsigned i = 0; i < 60; i++) /* three of them, each as much as it may */
		memory_pace_follow(&p, 0, 3 * p.samples_max, true);
	assert_in_range(3 * p.samples_max, 80, 200);
	assert_int_equal(p.page_shift, MEMORY_SHIFT_MIN);
	/* a hundred: all is watched more coarsely, until it is no more than may be */
	for (unsigned i = 0; i < 600; i++)
		memory_pace_follow(&p, 0, 100 * p.samples_max >> (p.page_shift - MEMORY_SHIFT_MIN), true);
	assert_in_range(100 * p.samples_max >> (p.page_shift - MEMORY_SHIFT_MIN), 80, 200);
	assert_true(p.samples_max >= 32);
	follow(&p, 31, 0, 0, false);
	assert_true(p.page_shift > MEMORY_SHIFT_MIN + 1); /* there is no room yet */
	follow(&p, 300, 0, 0, true);
	assert_is_finest(&p);
}

static void no_limit_is_passed(void **state)
{
	struct memory_pace p = MEMORY_PACE_START;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		memory_pace_follow(&p, 1000000, 1000000, false);
		memory_pace_coarsen(&p);
	}
	assert_int_equal(p.page_shift, MEMORY_SHIFT_MAX);
	assert_in_range(p.young_shift, MEMORY_YOUNG_SHIFT_MIN, MEMORY_SHIFT_MAX);
	assert_in_range(p.samples_max, 1, MEMORY_PACE_SAMPLES_MAX);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_quiet_host_is_watched_as_finely_as_can_be),
	cmocka_unit_test(programs_that_come_and_go_are_watched_coarsely_alone),
	cmocka_unit_test(those_that_fault_without_end_give_way_before_all_others),
	cmocka_unit_test(no_limit_is_passed),
};

UNIT_MAIN(tests)
