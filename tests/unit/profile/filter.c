#include "tests/unit/profile/sample_profile.h"
#include "profile/filter.h"

#define _cleanup_profile_ _cleanup_(profile_freep)
#define _cleanup_filter_ _cleanup_(filter_freep)

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
		_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
		_cleanup_filter_ struct filter *f = NULL;
		struct profile_error error = { "" };

		if (filter_parse(cases[i].text, &f, &error) < 0)
			fail_msg("%s: %s", cases[i].text, error.text);
		assert_int_equal(filter_samples(p, f, &q), 0);
		if (profile_total(q, 0) != cases[i].total)
			fail_msg("%s: %lld where %lld is expected", cases[i].text, (long long)profile_total(q, 0),
			        (long long)cases[i].total);
	}
}

static void wrong_matchers_are_explained(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "comm", "expected NAME=" },
		{ "=x", "expected NAME=" },
		{ "comm~x", "expected NAME=" },
		{ "comm!x", "expected NAME=" },
		{ "comm=\"x", "expected NAME=" },
		{ "comm=\"x\" tid=\"y\"", "expected a comma" },
		{ "{comm=\"x\"", "unbalanced" },
		{ "comm=\"x\"}", "unbalanced" },
		{ "comm=~\"(\"", "regular expression (" },
		{ "comm=~\"(a)\\1\"", "back-references" },
		{ "comm=~\"((a{100}){100}){100}\"", "too many repetitions" },
		{ "comm=~\"a{99999999999999999999}\"", "too many repetitions" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_filter_ struct filter *f = NULL;
		struct profile_error error = { "" };

		assert_true(filter_parse(cases[i].text, &f, &error) < 0);
		if (!strstr(error.text, cases[i].error))
			fail_msg("%s: %s", cases[i].text, error.text);
		assert_null(f);
	}
}

static void too_many_matchers_are_refused(void **state)
{
	char text[2000] = "";
	struct filter *f = NULL;

	(void)state;
	for (int i = 0; i <= FILTER_MATCHERS_MAX; i++)
		strcat(text, "a=b,");
	assert_int_equal(filter_parse(text, &f, NULL), -E2BIG);
}

static void frames_are_hidden_by_name(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL, *none = NULL;
	struct profile_error error;
	size_t n;

	(void)state;
	assert_int_equal(filter_hide_frames(p, "^do_|^main$", NULL, &q, &error), 0);
	assert_int_equal(profile_total(q, 0), 26);
	(void)profile_stack(q, profile_sample(q, 0)->stack, &n);
	assert_int_equal(n, 2);
	(void)profile_stack(q, profile_sample(q, 2)->stack, &n);
	assert_int_equal(n, 0); /* do_syscall_64, main: the sample stays */
	assert_int_equal(filter_hide_frames(p, "[", NULL, &none, &error), -EINVAL);
	assert_null(none);
}

static void one_value_is_kept(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL, *none = NULL;

	(void)state;
	assert_int_equal(filter_keep_value(p, 1, &q), 0);
	assert_int_equal(profile_header(q)->n_sample_types, 1);
	assert_int_equal(profile_total(q, 0), 260000000);
	assert_string_equal(profile_string(q, profile_header(q)->sample_types[0].unit, NULL), "nanoseconds");
	assert_string_equal(profile_string(q, profile_header(q)->default_sample_type, NULL), "cpu");
	assert_int_equal(filter_keep_value(p, 2, &none), -EINVAL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(matchers_choose_samples),
	cmocka_unit_test(wrong_matchers_are_explained),
	cmocka_unit_test(too_many_matchers_are_refused),
	cmocka_unit_test(frames_are_hidden_by_name),
	cmocka_unit_test(one_value_is_kept),
};

UNIT_MAIN(tests)
