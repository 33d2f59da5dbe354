#include "tests/unit/unit.h"
#include <errno.h>
#include <math.h>
#include "profile/trend.h"

static uint64_t state = 88172645463325252ull;

static double uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double)(state >> 11) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform() + 1e-300)) * cos(2 * M_PI * uniform());
}

static void a_straight_line_is_itself(void **s)
{
	double times[8], values[8];
	struct trend t;

	(void)s;
	for (int i = 0; i < 8; i++) {
		times[i] = 5 * i;
		values[i] = 7e9 + 3 * times[i];
	}
	assert_int_equal(trend_fit(times, values, 8, &t), 0);
	assert_true(fabs(t.slope - 3) < 1e-6 && fabs(t.slope_low - 3) < 1e-6 && fabs(t.slope_high - 3) < 1e-6);
	assert_true(t.correlation == 0);
	/* S = 28, variance 8 * 7 * 21 / 18, z = 27 / 8.083 */
	assert_true(fabs(t.probability - 0.5 * erfc(27 / sqrt(8 * 7 * 21 / 18.0) / sqrt(2))) < 1e-9);
}

static void an_outlier_changes_little(void **s)
{
	double times[20], values[20];
	struct trend t;

	(void)s;
	for (int i = 0; i < 20; i++) {
		times[i] = i;
		values[i] = 2 * i;
	}
	values[10] = 1e6;
	assert_int_equal(trend_fit(times, values, 20, &t), 0);
	assert_true(fabs(t.slope - 2) < 1e-9);
	assert_true(t.probability < 0.001);
}

/* Of 2,000 series without a trend about 1 % may pass for one at 0.01; of correlated ones not many more. */
static void chance_is_called_chance(void **s)
{
	static const double memory[] = { 0, 0.5, 0.8 };

	(void)s;
	for (int k = 0; k < 3; k++) {
		int false_alarms = 0;

		for (int run = 0; run < 2000; run++) {
			double times[60], values[60], v = 0;
			struct trend t;

			for (int i = 0; i < 60; i++) {
				times[i] = i;
				values[i] = v = memory[k] * v + normal();
			}
			assert_int_equal(trend_fit(times, values, 60, &t), 0);
			false_alarms += t.probability < 0.01;
		}
		if (false_alarms > (k == 0 ? 35 : 80))
			fail_msg("%d false alarms with a memory of %g", false_alarms, memory[k]);
	}
}

static void the_interval_holds_the_slope(void **s)
{
	int inside = 0;

	(void)s;
	for (int run = 0; run < 500; run++) {
		double times[40], values[40];
		struct trend t;

		for (int i = 0; i < 40; i++) {
			times[i] = i;
			values[i] = 0.1 * i + normal();
		}
		assert_int_equal(trend_fit(times, values, 40, &t), 0);
		inside += t.slope_low <= 0.1 && 0.1 <= t.slope_high;
	}
	assert_in_range(inside, 460, 500);
}

static void wrong_input_is_refused(void **s)
{
	const double times[] = { 0, 1, 1, 2 }, values[] = { 1, 2, 3, 4 };
	static double many[TREND_POINTS_MAX + 1];
	struct trend t;

	(void)s;
	assert_int_equal(trend_fit(times, values, 4, &t), -EINVAL);
	assert_int_equal(trend_fit(times, values, 3, &t), -EINVAL);
	assert_int_equal(trend_fit(many, many, TREND_POINTS_MAX + 1, &t), -EINVAL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_straight_line_is_itself),
	cmocka_unit_test(an_outlier_changes_little),
	cmocka_unit_test(chance_is_called_chance),
	cmocka_unit_test(the_interval_holds_the_slope),
	cmocka_unit_test(wrong_input_is_refused),
};

UNIT_MAIN(tests)
