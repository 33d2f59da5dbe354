#include "tests/unit/unit.h"
#include "store/selection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 2026-11-22 10:30:00 UTC; the zone is two hours ahead. */
#define NOW_NS 1795343400000000000ll
#define SECOND 1000000000ll

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = { { "now", NOW_NS }, { "-1h", NOW_NS - 3600 * SECOND }, { "-90m", NOW_NS - 5400 * SECOND },
		{ "+5s", NOW_NS + 5 * SECOND }, { "@1795343400", NOW_NS }, { "2026-11-22 12:30", NOW_NS },
		{ "2026-11-22T12:30:00", NOW_NS }, { "2026-11-22T10:30:00Z", NOW_NS }, { "12:30", NOW_NS },
		{ "10:30Z", NOW_NS }, { "today", NOW_NS - 45000 * SECOND }, { "2026-11-22", NOW_NS - 45000 * SECOND },
		{ "yesterday", NOW_NS - (45000 + 86400) * SECOND } };
	static const char *const bad[] = { "", "yesteryear", "-", "-1y", "1h", "2026-13-01", "2026-11-22 25:00",
		"2026-11-22x", "@", "@-5", "@1e300", "-99999999999d", "12:30 ", "1969-01-01" };
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(selection_parse_time(cases[i].text, NOW_NS, &ns), 0);
		assert_int_equal(ns, cases[i].ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(selection_parse_time(bad[i], NOW_NS, &ns), -EINVAL);
}

static void ranges(void **state)
{
	int64_t from, to;

	(void)state;
	assert_int_equal(selection_parse_range("-2h..-1h", NOW_NS, &from, &to), 0);
	assert_int_equal(from, NOW_NS - 7200 * SECOND);
	assert_int_equal(to, NOW_NS - 3600 * SECOND);
	assert_int_equal(selection_parse_range("..", NOW_NS, &from, &to), 0);
	assert_int_equal(from, NOW_NS - 3600 * SECOND);
	assert_int_equal(to, NOW_NS);
	assert_int_equal(selection_parse_range("-1h..-2h", NOW_NS, &from, &to), -ERANGE);
	assert_int_equal(selection_parse_range("-1h", NOW_NS, &from, &to), -EINVAL);
}

/* On 25 October 2026 at 03:00 CEST the clock goes back to 02:00 CET, on 29 March it leaves 02:00 to 03:00 out. */
static void clocks_set_back(void **state)
{
	char text[SELECTION_TIME_MAX];
	int64_t summer, winter, ns;

	(void)state;
	(void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	assert_int_equal(selection_parse_time("2026-10-25 02:30 CEST", NOW_NS, &summer), 0);
	assert_int_equal(selection_parse_time("2026-10-25 02:30 CET", NOW_NS, &winter), 0);
	assert_int_equal(winter - summer, 3600 * SECOND);
	assert_int_equal(selection_parse_time("2026-10-25T00:30Z", NOW_NS, &ns), 0);
	assert_int_equal(ns, summer);
	assert_int_equal(selection_parse_time("2026-10-25 02:30", NOW_NS, &ns), 0);
	assert_true(ns == summer || ns == winter);
	assert_string_equal(selection_format_time(text, summer), "2026-10-25 02:30:00 CEST");
	assert_string_equal(selection_format_time(text, winter), "2026-10-25 02:30:00 CET");
	assert_string_equal(selection_format_time(text, winter + 3600 * SECOND), "2026-10-25 03:30:00");
	assert_int_equal(selection_parse_time("2026-03-29 02:30", NOW_NS, &ns), 0);
	assert_int_equal(selection_parse_time("2026-10-25 02:30 XYZ", NOW_NS, &ns), -EINVAL);
	/* a day of 25 hours */
	assert_int_equal(selection_parse_time("2026-10-25", NOW_NS, &summer), 0);
	assert_int_equal(selection_parse_time("2026-10-26", NOW_NS, &winter), 0);
	assert_int_equal(winter - summer, 25 * 3600 * SECOND);
	(void)setenv("TZ", "TST-2", 1);
	tzset();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(times),
	cmocka_unit_test(ranges),
	cmocka_unit_test(clocks_set_back),
};

int main(int argc, char **argv)
{
	(void)setenv("TZ", "TST-2", 1);
	tzset();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
