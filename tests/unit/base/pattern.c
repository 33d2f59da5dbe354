#include "tests/unit/unit.h"
#include "base/pattern.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define HEX4 "[0-9a-f]{4}"

static bool matches(const char *pattern, bool whole, const char *text)
{
	char why[PATTERN_WHY_MAX] = "";
	regex_t compiled;
	bool found;

	if (pattern_compile(pattern, whole, &compiled, why) < 0)
		fail_msg("%s: %s", pattern, why);
	found = regexec(&compiled, text, 0, NULL, 0) == 0;
	regfree(&compiled);
	return found;
}

static void what_people_write_is_taken(void **state)
{
	(void)state;
	assert_true(matches("nginx.*", true, "nginx.service"));
	assert_false(matches("nginx", true, "nginx.service"));
	assert_true(matches("nginx", false, "the nginx.service"));
	assert_true(matches("a|b", true, "b"));
	assert_false(matches("a|b", true, "ab"));
	assert_true(matches("", true, ""));
	assert_false(matches("", true, "x"));
	assert_true(matches("[]a]{2}", true, "a]"));
	assert_true(matches("[[:digit:]{}]{1,3}(\\.[0-9]{1,3}){3}", true, "10.0.0.255"));
	assert_true(matches(
	        "[0-9a-f]{8}-" HEX4 "-" HEX4 "-" HEX4 "-[0-9a-f]{12}", true, "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"));
	assert_true(matches("[0-9a-f]{64}", true, "00000000000000000000000000000000000000000000000000000000000000ff"));
	assert_true(matches("\\(\\[\\{", true, "([{"));
}

static void what_costs_too_much_is_refused(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = { { "(a)\\1", -EINVAL }, { "(", -EINVAL }, { "[a", -EINVAL }, { "a{1", -EINVAL },
		{ "((a{100}){100}){100}", -E2BIG }, { "(a?){2000}", -E2BIG }, { "a{99999999999999999999}", -E2BIG },
		{ "a{0,99999}", -E2BIG }, { "a++++++++++++++++++++++++", -E2BIG }, { "a***", -E2BIG },
		{ "a{2}*?", -E2BIG },
		{ "((((((((((((((((((((((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*", -E2BIG } };
	char why[PATTERN_WHY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		regex_t untouched;

		why[0] = 0;
		if (pattern_compile(cases[i].text, true, &untouched, why) != cases[i].r || !why[0])
			fail_msg("%s: %s", cases[i].text, why);
	}
}

/* The worst that is let through: seconds of CPU would be an attack. */
static void what_is_taken_is_quick(void **state)
{
	static const char *const patterns[] = { "(a?){400}",
		("((((((((((((((((((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)"
		 "*)*)*)*)*)*)*)*)*)*)*)*)*"),
		"(a{0,3}|.*b){100}" };
	char text[1025];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		clock_t start = clock();

		(void)matches(patterns[i], true, text);
		if (clock() - start > 5 * CLOCKS_PER_SEC)
			fail_msg("%s took %.1f s", patterns[i], (double)(clock() - start) / CLOCKS_PER_SEC);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_people_write_is_taken),
	cmocka_unit_test(what_costs_too_much_is_refused),
	cmocka_unit_test(what_is_taken_is_quick),
};

UNIT_MAIN(tests)
