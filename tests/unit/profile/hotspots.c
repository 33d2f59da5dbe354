#include "profile/hotspots.h"

#include "tests/unit/profile/stacks.h"

static void hotspots_are_all_at_or_above_the_threshold(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("main;a 50\nmain;bb 47\nmain;ccc 2\nmain;dddd 1\n");
	_cleanup_(hotspots_freep) struct hotspots *h = NULL;

	(void)state;
	assert_int_equal(hotspots_build(p, 1, 0.02, &h), 0);
	assert_int_equal(hotspots_n(h), 3);
	assert_string_equal(hotspots_get(h, 0)->function, "a");
	assert_string_equal(hotspots_get(h, 2)->function, "ccc");
	assert_string_equal(hotspots_get(h, 2)->file, "src/app.c");
	assert_int_equal(hotspots_get(h, 2)->line, 30);
	assert_int_equal(hotspots_get(h, 2)->samples, 2);
	assert_int_equal(hotspots_get(h, 2)->value, 2 * STACKS_NS);
	assert_true(hotspots_get(h, 0)->percent == 50);
}

static void hotspots_count_what_a_function_spends_itself(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("main;a 1\nmain;b 1\n");
	_cleanup_(hotspots_freep) struct hotspots *h = NULL;

	(void)state;
	assert_int_equal(hotspots_build(p, 0, 0, &h), 0);
	assert_int_equal(hotspots_n(h), 2); /* main has nothing of its own */
}

static void hotspots_of_nothing_are_none(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_new();
	_cleanup_(hotspots_freep) struct hotspots *h = NULL;

	(void)state;
	assert_int_equal(hotspots_build(p, 0, 0, &h), 0);
	assert_int_equal(hotspots_n(h), 0);
	assert_int_equal(hotspots_build(p, 9, 0, &h), -EINVAL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(hotspots_are_all_at_or_above_the_threshold),
	cmocka_unit_test(hotspots_count_what_a_function_spends_itself),
	cmocka_unit_test(hotspots_of_nothing_are_none),
};

UNIT_MAIN(tests)
