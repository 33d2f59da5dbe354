#include "tests/unit/unit.h"
#include "tests/unit/store/scene.h"
#include "base/clock.h"
#include "store/age.h"
#include "store/handle.h"
#include "store/rebuild.h"
#include "store/retention.h"

#include <fcntl.h>

#define DAY_NS 86400000000000ll
#define HOUR_NS 3600000000000ll

static int set_up(void **state)
{
	*state = scene_directory();
	return 0;
}

static int tear_down(void **state)
{
	scene_remove(*state);
	free(*state);
	return 0;
}

/* One window a day, the newest now. */
static void put_days(struct store *s, int n)
{
	int64_t now = (int64_t)clock_now_ns(CLOCK_REALTIME);
	struct rebuild_result found;

	for (int i = 0; i < n; i++) {
		_cleanup_(profile_freep) struct profile *p = scene_profile(now - i * DAY_NS);

		scene_sample(p, "f", "redis", 1, 2, 1);
		assert_int_equal(store_put(s, "cpu", NULL, p, NULL), 0);
	}
	/* files that are found are as old as they say */
	assert_int_equal(store_rebuild(s, true, NULL, &found), 0);
	assert_int_equal(found.n_added, n);
}

static uint64_t count_rows(struct store *s, uint64_t *bytes)
{
	struct index_sums sums;

	assert_int_equal(index_sum(s->index, NULL, &sums), 0);
	if (bytes)
		*bytes = sums.bytes[STORE_WINDOW];
	return sums.n_files[STORE_WINDOW];
}

static void removes_what_is_too_old(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct retention_result result;

	put_days(s, 20);
	assert_int_equal(store_retain(s, &(struct retention_options){ .age_ns = 14 * DAY_NS + HOUR_NS }, &result), 0);
	assert_int_equal(result.n_old, 5);
	assert_int_equal(count_rows(s, NULL), 15);
	assert_int_equal(store_retain(s, &(struct retention_options){ .age_ns = 14 * DAY_NS + HOUR_NS }, &result), 0);
	assert_int_equal(result.n_old, 0);
}

static void removes_what_is_too_much(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct retention_result result;
	uint64_t bytes, left;

	put_days(s, 10);
	(void)count_rows(s, &bytes);
	assert_int_equal(store_retain(s, &(struct retention_options){ .max_bytes = 1ull << 30 }, &result), 0);
	assert_int_equal(result.n_over, 0);
	assert_int_equal(
	        store_retain(s, &(struct retention_options){ .max_bytes = result.bytes_kept - bytes / 2 }, &result), 0);
	assert_in_range(result.n_over, 5, 6);
	(void)count_rows(s, &left);
	assert_int_equal(left + result.bytes, bytes);
	assert_true(result.last_ns < (int64_t)clock_now_ns(CLOCK_REALTIME) - 3 * DAY_NS);
}

/* All of the disk asked for: the last hour stays, and the caller is told. */
static void keeps_the_last_hour_on_a_full_disk(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct retention_result result;

	put_days(s, 10);
	assert_int_equal(store_retain(s, &(struct retention_options){ .min_free_disk = 1 }, &result), 0);
	assert_int_equal(result.n_full, 9);
	assert_int_equal(count_rows(s, NULL), 1);
	assert_true(result.is_short_of_disk);
}

static void a_clock_that_jumps_ahead_ages_nothing(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	int64_t start = (int64_t)clock_now_ns(CLOCK_REALTIME) - 400 * DAY_NS, age;

	assert_int_equal(age_advance(s->index, start, 0, 7), 0);
	/* a minute later all is well, then the clock says a year later for an hour */
	assert_int_equal(age_advance(s->index, start + 60000000000ll, 60000000000ll, 7), 0);
	assert_int_equal(index_get_number(s->index, "age_ns", &age), 0);
	assert_int_equal(age, start + 60000000000ll);
	assert_int_equal(age_advance(s->index, start + 365 * DAY_NS, HOUR_NS, 7), 0);
	assert_int_equal(index_get_number(s->index, "age_ns", &age), 0);
	assert_in_range((age - start) / HOUR_NS, 23, 24);
	/* set right again: never back */
	assert_int_equal(age_advance(s->index, start + 2 * HOUR_NS, 2 * HOUR_NS, 7), 0);
	assert_int_equal(index_get_number(s->index, "age_ns", &age), 0);
	assert_in_range((age - start) / HOUR_NS, 23, 24);
	/* a reboot: no time is known to have passed */
	assert_int_equal(age_advance(s->index, start + 300 * DAY_NS, HOUR_NS / 2, 8), 0);
	assert_int_equal(index_get_number(s->index, "age_ns", &age), 0);
	assert_in_range((age - start) / HOUR_NS, 23, 24);
}

static void a_clock_never_set_is_not_believed(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	_cleanup_(profile_freep) struct profile *p = scene_profile(5000000000ll); /* 1970 */
	struct retention_result result;
	int64_t now = (int64_t)clock_now_ns(CLOCK_REALTIME), age;

	scene_sample(p, "f", "redis", 1, 2, 1);
	assert_int_equal(age_advance(s->index, 5000000000ll, 1, 7), 0);
	assert_int_equal(age_advance(s->index, now, 2, 7), 0);
	assert_int_equal(index_get_number(s->index, "age_ns", &age), 0);
	assert_int_equal(age, now);
	assert_int_equal(store_put(s, "cpu", NULL, p, NULL), 0);
	assert_int_equal(store_retain(s, &(struct retention_options){ .age_ns = DAY_NS }, &result), 0);
	assert_int_equal(result.n_old, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static const struct CMUnitTest tests[] = {
	CASE(removes_what_is_too_old),
	CASE(removes_what_is_too_much),
	CASE(keeps_the_last_hour_on_a_full_disk),
	CASE(a_clock_that_jumps_ahead_ages_nothing),
	CASE(a_clock_never_set_is_not_believed),
};

UNIT_MAIN(tests)
