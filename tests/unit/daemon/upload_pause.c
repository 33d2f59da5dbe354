#include "tests/unit/unit.h"
#include "daemon/upload_pause.h"

#include "base/cleanup.h"
#include "base/clock.h"

#define HOUR (3600 * NS_PER_SEC)
#define WALL (1800000000 * NS_PER_SEC)

static const struct upload_pause pause_of_600_s = { 600 * NS_PER_SEC, { WALL, 50 * NS_PER_SEC, 7 } };

static uint64_t left_s(struct upload_pause p, uint64_t wall_ns, uint64_t boottime_ns, uint64_t boot_id)
{
	const struct upload_moment now = { wall_ns, boottime_ns, boot_id };
	uint64_t left = upload_pause_left_ns(&p, &now);

	assert_true(left <= UPLOAD_PAUSE_MAX_NS);
	return left / NS_PER_SEC;
}

static void in_one_boot_no_clock_that_is_set_counts(void **state)
{
	static const uint64_t walls[] = { 0, WALL - 90 * HOUR, WALL, WALL + 90 * HOUR, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(walls); i++) {
		assert_int_equal(left_s(pause_of_600_s, walls[i], 50 * NS_PER_SEC, 7), 600);
		assert_int_equal(left_s(pause_of_600_s, walls[i], 150 * NS_PER_SEC, 7), 500);
		assert_int_equal(left_s(pause_of_600_s, walls[i], 650 * NS_PER_SEC, 7), 0);
		assert_int_equal(left_s(pause_of_600_s, walls[i], 9999 * NS_PER_SEC, 7), 0);
	}
}

static void after_a_boot_the_wall_clock_counts(void **state)
{
	struct upload_pause unknown = pause_of_600_s;

	(void)state;
	assert_int_equal(left_s(pause_of_600_s, WALL + 100 * NS_PER_SEC, 5 * NS_PER_SEC, 8), 500);
	assert_int_equal(left_s(pause_of_600_s, WALL + 601 * NS_PER_SEC, 9999 * NS_PER_SEC, 8), 0);
	assert_int_equal(left_s(pause_of_600_s, WALL - 9 * HOUR, 5 * NS_PER_SEC, 8), 600); /* set back */
	assert_int_equal(left_s(pause_of_600_s, 0, 0, 8), 600);
	unknown.begun.boot_id = 0; /* two boots that cannot be told are not one */
	assert_int_equal(left_s(unknown, WALL + 100 * NS_PER_SEC, 9999 * NS_PER_SEC, 0), 500);
}

static void garbage_is_bounded(void **state)
{
	static const uint64_t odd[] = { 0, 1, 7, HOUR, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX };

	(void)state;
	assert_int_equal(left_s((struct upload_pause){ 0 }, WALL, 1, 7), 0);
	for (size_t i = 0; i < 7 * 7 * 7 * 7; i++) {
		struct upload_pause p = { odd[i % 7], { odd[i / 7 % 7], odd[i / 49 % 7], odd[i / 343] } };

		assert_true(left_s(p, WALL, 5 * NS_PER_SEC, 7) <= UPLOAD_PAUSE_MAX_NS / NS_PER_SEC);
		assert_true(left_s(p, 0, 0, 0) <= p.ns / NS_PER_SEC);
	}
}

static void now_is_now(void **state)
{
	const struct upload_moment now = upload_moment_now();

	(void)state;
	assert_true(now.wall_ns > WALL / 2 && now.boottime_ns);
	assert_true(now.boot_id && now.boot_id == clock_boot_id() && now.boot_id <= INT64_MAX);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(in_one_boot_no_clock_that_is_set_counts),
	cmocka_unit_test(after_a_boot_the_wall_clock_counts),
	cmocka_unit_test(garbage_is_bounded),
	cmocka_unit_test(now_is_now),
};

UNIT_MAIN(tests)
