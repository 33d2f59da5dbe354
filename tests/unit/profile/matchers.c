#include "tests/unit/profile/sample_profile.h"
#include "profile/matchers.h"
#include "profile/merge.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

static bool match(const char *text, const char *value)
{
	_cleanup_(matchers_freep) struct matchers *m = NULL;

	assert_int_equal(matchers_parse(text, &m, NULL), 0);
	return matchers_match_value(m, 0, value, strlen(value));
}

static void values(void **state)
{
	(void)state;
	assert_true(match("comm=\"redis-server\"", "redis-server"));
	assert_true(match("comm=redis-server", "redis-server"));
	assert_false(match("comm=redis", "redis-server"));
	assert_true(match("comm!=redis", "redis-server"));
	assert_true(match("unit=~\"nginx.*\"", "nginx.service"));
	assert_false(match("unit=~\"nginx\"", "nginx.service"));
	assert_true(match("unit=~\"a|nginx.service\"", "nginx.service"));
	assert_false(match("unit=~\"a|nginx\"", "nginx.service"));
	assert_true(match("unit!~\"a|b\"", "nginx"));
	assert_true(match("x=\"a\\\"b\\\\\"", "a\"b\\"));
	assert_true(match("x=\"\"", ""));
	assert_true(match("x=~\"\"", ""));
}

static void lists(void **state)
{
	_cleanup_(matchers_freep) struct matchers *m = NULL;

	(void)state;
	assert_int_equal(matchers_parse(" a=\"1\" , b!~\"2,3\",c=4,", &m, NULL), 0);
	assert_int_equal(matchers_count(m), 3);
	assert_string_equal(matchers_name(m, 1), "b");
	assert_int_equal(matchers_count(NULL), 0);
	assert_true(match("comm==x", "=x")); /* bare: odd, but plain */
}

static struct profile *empty(void)
{
	struct profile *p = NULL;

	assert_int_equal(profile_new(NULL, &p), 0);
	return p;
}

/* Of one without samples there are no types either. */
static int64_t total(const struct profile *p)
{
	return profile_n_samples(p) ? profile_total(p, 0) : 0;
}

/* The samples of sample_profile() by their first values: app/101 3, app/102 5, app/101 7, idle/0 11. */
static void matchers_choose_samples(void **state)
{
	static const struct {
		const char *text;
		int64_t total;
	} cases[] = {
		{ "", 26 },
		{ "{}", 26 },
		{ "comm=\"app\"", 15 },
		{ "comm=app", 15 },
		{ "{comm=\"app\",}", 15 },
		{ " comm != \"app\" ", 11 },
		{ "comm=~\"a.*\"", 15 },
		{ "comm=~\"p\"", 0 }, /* the whole value */
		{ "comm=~\"a|idle\"", 11 },
		{ "comm=~\"app|idle\"", 26 },
		{ "comm!~\"app\"", 11 },
		{ "comm=~app, tid=102", 5 },
		{ "tid=~\"10[12]\"", 15 },
		{ "tid!=\"101\"", 16 },
		{ "tid=0", 11 },
		{ "unit=\"\"", 26 }, /* a label that is not there is "" */
		{ "unit!=\"\"", 0 },
		{ "unit=~\".+\"", 0 },
		{ "comm=\"a\\\"b\"", 0 },
		{ "comm=\"a,p}p\"", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_profile_ struct profile *p = sample_profile(), *q = empty();
		_cleanup_(matchers_freep) struct matchers *m = NULL;
		struct merge_options options = MERGE_OPTIONS_DEFAULT;
		struct profile_error error = { "" };

		if (matchers_parse(cases[i].text, &m, &error) < 0)
			fail_msg("%s: %s", cases[i].text, error.text);
		options.want = matchers_want;
		options.userdata = m;
		assert_int_equal(profile_merge(q, p, &options, NULL), 0);
		if (total(q) != cases[i].total)
			fail_msg("%s: %lld where %lld is expected", cases[i].text, (long long)total(q),
			        (long long)cases[i].total);
	}
}

static void wrong_matchers_are_explained(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "comm", "comes one of" },
		{ "=x", "label name is missing" },
		{ "comm~x", "comes one of" },
		{ "comm!x", "comes one of" },
		{ "comm=\"x", "no closing quote" },
		{ "comm=\"x\\", "no closing quote" },
		{ "comm=\"x\"y", "comma is missing" },
		{ "comm=\"x\" tid=\"y\"", "comma is missing" },
		{ "{comm=\"x\"", "braces" },
		{ "comm=\"x\"}", "braces" },
		{ "{a=b} c", "braces" },
		{ "comm=~\"(\"", "no regular expression" },
		{ "comm=~\"(a)\\1\"", "back-references" },
		{ "comm=~\"((a{100}){100}){100}\"", "too many repetitions" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct matchers *none = NULL;
		struct profile_error error = { "" };

		assert_true(matchers_parse(cases[i].text, &none, &error) < 0);
		if (!strstr(error.text, cases[i].error))
			fail_msg("%s: %s", cases[i].text, error.text);
		assert_null(none);
	}
}

static void too_many_matchers_are_refused(void **state)
{
	char text[MATCHERS_TEXT_MAX + 2] = "";
	struct matchers *m = NULL;

	(void)state;
	for (int i = 0; i <= MATCHERS_MAX; i++)
		strcat(text, "a=b,");
	assert_int_equal(matchers_parse(text, &m, NULL), -E2BIG);
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(matchers_parse(text, &m, NULL), -E2BIG);
	assert_null(m);
}

static void several_values_of_one_label(void **state)
{
	_cleanup_profile_ struct profile *p = empty();
	const uint32_t key = put_string(p, "tag");
	const struct profile_label labels[] = { { key, PROFILE_NONE, put_string(p, "a") },
		{ key, PROFILE_NONE, put_string(p, "b") } };
	static const struct {
		const char *text;
		bool is_wanted;
	} cases[] = { { "tag=a", true }, { "tag=b", true }, { "tag=c", false }, { "tag!=b", false }, { "tag!=c", true },
		{ "tag!~\"[bc]\"", false }, { "tag=\"\"", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(matchers_freep) struct matchers *m = NULL;

		assert_int_equal(matchers_parse(cases[i].text, &m, NULL), 0);
		assert_int_equal(matchers_want(m, p, labels, 2), cases[i].is_wanted);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(values),
	cmocka_unit_test(lists),
	cmocka_unit_test(matchers_choose_samples),
	cmocka_unit_test(wrong_matchers_are_explained),
	cmocka_unit_test(too_many_matchers_are_refused),
	cmocka_unit_test(several_values_of_one_label),
};

UNIT_MAIN(tests)
