#include "tests/unit/profile/sample_profile.h"
#include "profile/ledger.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

static int64_t value_of(const struct profile *p, const char *name)
{
	int64_t value = -77;

	(void)ledger_get(p, name, &value);
	return value;
}

static void lines_are_set_added_and_got(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	int64_t value;

	(void)state;
	assert_int_equal(value_of(p, LEDGER_LOST), 2);
	assert_int_equal(ledger_add(p, LEDGER_LOST, 5), 0);
	assert_int_equal(value_of(p, LEDGER_LOST), 7);
	assert_int_equal(ledger_set(p, "truncated.no_rows", 9), 0);
	assert_int_equal(value_of(p, "truncated.no_rows"), 9);
	assert_int_equal(ledger_get(p, LEDGER_TRUNCATED, &value), -ENOENT);
	assert_int_equal(ledger_add(p, LEDGER_LOST, INT64_MAX), 0);
	assert_true(value_of(p, LEDGER_LOST) == INT64_MAX);
	assert_int_equal(profile_n_comments(p), 3);
	assert_string_equal(profile_comment(p, 1), "a note");
	assert_int_equal(ledger_set(p, "", 1), -EINVAL);
	assert_int_equal(ledger_set(p, "a=b", 1), -EINVAL);
}

static void other_comments_are_no_lines(void **state)
{
	static const char *const texts[] = { "", "emberd.", "emberd.=5", "emberd.lost", "emberd.lost=", "emberd.lost=x",
		"emberd.lost=5x", "emberd.lost= 5", "emberd.lost=99999999999999999999", "other.lost=5",
		"emberd.lo st=5" };
	char name[LEDGER_NAME_MAX + 1];
	int64_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(ledger_parse(texts[i], strlen(texts[i]), name, &value), -EBADMSG);
	assert_int_equal(ledger_parse("emberd.x=-5", 11, name, &value), 0);
	assert_int_equal(value, -5);
}

static void merging_adds_counts_and_keeps_the_range_of_rates(void **state)
{
	static const char *const comments[][4] = {
		{ "emberd.lost=1", "emberd.rate_hz=100", "emberd.depth_max=30", "hello" },
		{ "emberd.lost=10", "emberd.rate_hz=100", "emberd.depth_max=20", "hello" },
		{ "emberd.lost=100", "emberd.rate_hz=19", "emberd.depth_max=40", "other" },
	};
	_cleanup_profile_ struct profile *p = NULL, *again = NULL;

	(void)state;
	assert_int_equal(profile_new(NULL, &p), 0);
	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < 4; k++)
			assert_int_equal(ledger_merge_comment(p, comments[i][k], strlen(comments[i][k])), 0);
		assert_int_equal(value_of(p, "rate_hz_max"), i < 2 ? -77 : 100);
	}
	assert_int_equal(value_of(p, "lost"), 111);
	assert_int_equal(value_of(p, "rate_hz"), 19);
	assert_int_equal(value_of(p, "depth_max"), 40);
	assert_int_equal(profile_n_comments(p), 6);
	/* A merged ledger merges on. */
	assert_int_equal(profile_new(NULL, &again), 0);
	assert_int_equal(ledger_set(again, "rate_hz", 49), 0);
	assert_int_equal(ledger_merge(again, p), 0);
	assert_int_equal(value_of(again, "rate_hz"), 19);
	assert_int_equal(value_of(again, "rate_hz_max"), 100);
}

static void too_many_comments_are_counted(void **state)
{
	_cleanup_profile_ struct profile *p = NULL;

	(void)state;
	assert_int_equal(profile_new(NULL, &p), 0);
	for (int i = 0; i < 3000; i++) {
		char text[40];
		int n = snprintf(text, sizeof(text), "%s%d", i % 2 ? "note " : "emberd.line=", i);

		assert_int_equal(ledger_merge_comment(p, text, (size_t)n), 0);
	}
	assert_int_equal(profile_n_comments(p), PROFILE_COMMENTS_MAX - LEDGER_LINES_KEPT + 1);
	assert_int_equal(value_of(p, "comments_dropped"), 1500 - (PROFILE_COMMENTS_MAX - LEDGER_LINES_KEPT - 1));
	assert_int_equal(value_of(p, "line"), 1500 * 1499);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(lines_are_set_added_and_got),
	cmocka_unit_test(other_comments_are_no_lines),
	cmocka_unit_test(merging_adds_counts_and_keeps_the_range_of_rates),
	cmocka_unit_test(too_many_comments_are_counted),
};

UNIT_MAIN(tests)
