#include "tests/unit/unit.h"
#include "base/units.h"

#include <errno.h>
#include <math.h>

static void sizes(void **state)
{
	uint64_t v = 1;

	(void)state;
	assert_int_equal(units_parse_size("512K", &v), 0);
	assert_int_equal(v, 512 * 1024);
	assert_int_equal(units_parse_size("7", &v), 0);
	assert_int_equal(v, 7);
	assert_int_equal(units_parse_size("16777216T", &v), -ERANGE);
	assert_int_equal(units_parse_size("-1", &v), -EINVAL);
	assert_int_equal(units_parse_size("1Q", &v), -EINVAL);
	assert_int_equal(units_parse_size("", &v), -EINVAL);
	assert_int_equal(v, 7);
}

static void times(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(units_parse_time("14d", &v), 0);
	assert_int_equal(v, 14ull * 86400 * 1000000000);
	assert_int_equal(units_parse_time("10ms", &v), 0);
	assert_int_equal(v, 10000000);
	assert_int_equal(units_parse_time("60", &v), 0);
	assert_int_equal(v, 60000000000ull);
}

static void percents(void **state)
{
	double v = 0;

	(void)state;
	assert_int_equal(units_parse_percent("0.5%", &v), 0);
	assert_true(fabs(v - 0.005) < 1e-12);
	assert_int_equal(units_parse_percent("0.5", &v), -EINVAL);
}

static void formats(void **state)
{
	char b[UNITS_TEXT_MAX];

	(void)state;
	assert_string_equal(units_format_size(b, 1536), "1.50 KiB");
	assert_string_equal(units_format_time(b, 340000000), "340 ms");
	assert_string_equal(units_format_value(b, -2048, "bytes"), "-2 KiB");
	assert_string_equal(units_format_value(b, INT64_MIN, "count"), "-9223372036854775808");
	assert_string_equal(units_format_count(b, 0), "0");
	assert_string_equal(units_format_count(b, 999), "999");
	assert_string_equal(units_format_count(b, -1234567), "-1,234,567");
	assert_string_equal(units_format_count(b, INT64_MIN), "-9,223,372,036,854,775,808");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(sizes),
	cmocka_unit_test(times),
	cmocka_unit_test(percents),
	cmocka_unit_test(formats),
};

UNIT_MAIN(tests)
