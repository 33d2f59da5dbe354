#include "profile/diff.h"

#include <math.h>
#include "tests/unit/profile/stacks.h"

#define FUNCTIONS 60

static struct diff *build_parts(struct profile *const before[], size_t n_before, struct profile *const after[],
        size_t n_after, const struct diff_options *o)
{
	const struct diff_side sides[2] = { { (const struct profile *const *)before, n_before, 1 },
		{ (const struct profile *const *)after, n_after, 1 } };
	struct diff *d = NULL;

	assert_int_equal(diff_build(&sides[0], &sides[1], o, &d), 0);
	return d;
}

static struct diff *build(const char *before, const char *after, const struct diff_options *o)
{
	_cleanup_(profile_freep) struct profile *a = stacks_profile(before), *b = stacks_profile(after);

	return build_parts(&a, 1, &b, 1, o);
}

static const struct diff_row *row(const struct diff *d, const char *name)
{
	for (size_t i = 0; i < diff_n_rows(d); i++)
		if (strcmp(diff_row(d, i)->name, name) == 0)
			return diff_row(d, i);
	fail_msg("no row %s", name);
	return NULL;
}

static const struct diff_options values = { 0 }, shares = { .normalize = true };

static void diff_holds_both_sides(void **state)
{
	_cleanup_(diff_freep) struct diff *d = build("main;a 10\nmain;old 5\n", "main;a 30\nmain;new 10\n", &values);
	struct diff_summary s;

	(void)state;
	diff_summary(d, &s);
	assert_int_equal(s.total[0].count, 15);
	assert_int_equal(s.total[1].count, 40);
	assert_int_equal(row(d, "a")->flat.value[0].count, 10);
	assert_int_equal(row(d, "a")->flat.value[1].count, 30);
	assert_true(row(d, "a")->flat.change == 20. * STACKS_NS);
	assert_int_equal(row(d, "old")->flat.value[1].value, 0);
	assert_int_equal(row(d, "new")->flat.value[0].value, 0);
	assert_int_equal(row(d, "main")->cum.value[1].count, 40);
	assert_string_equal(diff_row(d, 0)->name, "a");
	assert_false(s.knows_spread);
}

static void diff_sees_what_is_more_than_chance(void **state)
{
	_cleanup_(diff_freep) struct diff *d = build("main;a 500\nmain;b 500\nmain;c 3\nmain;d 1000\n",
	        "main;a 700\nmain;b 510\nmain;c 2\nmain;d 790\n", &shares);

	(void)state;
	assert_int_equal(row(d, "a")->flat.verdict, DIFF_GREW);
	assert_int_equal(row(d, "b")->flat.verdict, DIFF_CHANCE);
	assert_int_equal(row(d, "c")->flat.verdict, DIFF_TOO_FEW);
	assert_int_equal(row(d, "d")->flat.verdict, DIFF_SHRANK);
	assert_int_equal(row(d, "main")->cum.verdict, DIFF_CHANCE);
	assert_true(row(d, "a")->flat.q < 1e-6);
}

static void diff_normalized_compares_shares_of_unequal_profiles(void **state)
{
	_cleanup_(diff_freep) struct diff *d = build("a 100\nb 300\n", "a 1000\nb 3000\n", &shares);
	_cleanup_(diff_freep) struct diff *absolute = build("a 100\nb 300\n", "a 1000\nb 3000\n", &values);

	(void)state;
	assert_int_equal(row(d, "a")->flat.verdict, DIFF_CHANCE);
	assert_true(row(d, "a")->flat.change == 0);
	assert_int_equal(row(absolute, "a")->flat.verdict, DIFF_GREW);
}

/* 25 samples in the large profile and none in the small one: expected there is a quarter of a sample. */
static void diff_does_not_see_ghosts_in_a_small_profile(void **state)
{
	_cleanup_(diff_freep) struct diff *d = build("a 100\n", "a 9975\nrare 25\n", &shares);

	(void)state;
	assert_int_equal(row(d, "rare")->flat.verdict, DIFF_CHANCE);
	assert_true(row(d, "rare")->flat.p > 0.5);
}

static void diff_orders_by_evidence(void **state)
{
	const struct diff_options o = { .normalize = true, .order = DIFF_BY_EVIDENCE };
	_cleanup_(diff_freep) struct diff *d =
	        build("a 5000\nb 100\nc 4000\nd 900\n", "a 5200\nb 300\nc 3600\nd 900\n", &o);

	(void)state;
	assert_string_equal(diff_row(d, 0)->name, "b"); /* least change in points, best proof */
	assert_int_equal(diff_row(d, 0)->flat.verdict, DIFF_GREW);
	assert_string_equal(diff_row(d, 1)->name, "a");
	assert_string_equal(diff_row(d, 2)->name, "c"); /* shrank: after what grew */
}

/* ---- calibration: profiles drawn at random from the same distribution ---- */

static uint64_t random_state = 88172645463325252ull;

static double random_unit(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

/* weights: relative frequency of each function. n draws; each draw adds burst samples. */
static struct profile *draw(const double *weights, size_t n, int64_t burst)
{
	struct profile *p = stacks_new();
	int64_t counts[FUNCTIONS] = { 0 };
	double whole = 0;

	for (size_t i = 0; i < FUNCTIONS; i++)
		whole += weights[i];
	for (size_t i = 0; i < n; i++) {
		double at = random_unit() * whole;
		size_t f = 0;

		while (f + 1 < FUNCTIONS && at >= weights[f])
			at -= weights[f++];
		counts[f] += burst;
	}
	for (size_t i = 0; i < FUNCTIONS; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "main;f%zu %lld", i, (long long)counts[i]);
		if (counts[i] > 0)
			stacks_add(p, line);
	}
	return p;
}

static void set_weights(double weights[FUNCTIONS])
{
	for (size_t i = 0; i < FUNCTIONS; i++)
		weights[i] = 1.0 / (double)(i + 1);
}

static size_t changed(const struct diff *d)
{
	struct diff_summary s;

	diff_summary(d, &s);
	return s.n_changed;
}

/* With nothing changed, a run has any verdict with at most the level's probability: 5 % of 200 is 10; 22 and more have
 * a probability below 0.001. */
static void diff_of_the_same_program_is_chance(void **state)
{
	double weights[FUNCTIONS];
	size_t runs[2] = { 0 };

	(void)state;
	set_weights(weights);
	for (int i = 0; i < 200; i++) {
		_cleanup_(profile_freep) struct profile *a = draw(weights, 1500, 1), *b = draw(weights, 1500, 1);
		_cleanup_(diff_freep) struct diff *d = build_parts(&a, 1, &b, 1, &shares);
		_cleanup_(diff_freep) struct diff *e = build_parts(&a, 1, &b, 1, &values);

		runs[0] += changed(d) > 0;
		runs[1] += changed(e) > 0;
	}
	assert_true(runs[0] < 22);
	assert_true(runs[1] < 22);
}

static void diff_finds_a_real_change_among_many_functions(void **state)
{
	double weights[FUNCTIONS], slower[FUNCTIONS];
	size_t found = 0, others = 0;

	(void)state;
	set_weights(weights);
	set_weights(slower);
	slower[4] *= 1.5; /* of 4.3 % of the whole */
	for (int i = 0; i < 30; i++) {
		_cleanup_(profile_freep) struct profile *a = draw(weights, 6000, 1), *b = draw(slower, 6000, 1);
		_cleanup_(diff_freep) struct diff *d = build_parts(&a, 1, &b, 1, &shares);

		found += row(d, "f4")->flat.verdict == DIFF_GREW;
		others += changed(d) - (row(d, "f4")->flat.verdict == DIFF_GREW);
	}
	assert_true(found >= 28);
	assert_true(others <= 10);
}

/* Samples come in bursts of 20: a single pair of profiles cannot know and sees changes that are none; windows show it.
 */
static void diff_measures_bursts_between_windows(void **state)
{
	double weights[FUNCTIONS];
	size_t runs = 0, blind = 0;

	(void)state;
	set_weights(weights);
	for (int i = 0; i < 60; i++) {
		struct profile *parts[2][8];
		_cleanup_(diff_freep) struct diff *d = NULL, *e = NULL;
		struct diff_summary s;

		for (int k = 0; k < 16; k++)
			parts[k / 8][k % 8] = draw(weights, 100, 20);
		d = build_parts(parts[0], 8, parts[1], 8, &shares);
		e = build_parts(parts[0], 1, parts[1], 1, &shares);
		diff_summary(d, &s);
		assert_true(s.knows_spread);
		runs += changed(d) > 0;
		blind += changed(e) > 0;
		for (int k = 0; k < 16; k++)
			profile_free(parts[k / 8][k % 8]);
	}
	assert_true(blind > 30); /* what overdispersion does to a test that does not know of it */
	assert_true(runs < 15);
}

static void diff_needs_a_part_on_both_sides(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("a 1\n");
	const struct profile *parts[1] = { p };
	const struct diff_side some = { parts, 1, 0 }, none = { parts, 0, 0 }, wrong = { parts, 1, 5 };
	struct diff *d = NULL;

	(void)state;
	assert_int_equal(diff_build(&some, &none, &values, &d), -EINVAL);
	assert_int_equal(diff_build(&some, &wrong, &values, &d), -EINVAL);
	assert_null(d);
}

/* Each side fits, both together do not. */
static void diff_bounds_what_its_rows_keep(void **state)
{
	_cleanup_(profile_freep) struct profile *a = stacks_of_one_file("a", 20000, 4000),
	                                        *b = stacks_of_one_file("b", 20000, 4000);
	const struct profile *parts[2] = { a, b };
	const struct diff_side before = { &parts[0], 1, 0 }, after = { &parts[1], 1, 0 };
	struct diff *d = NULL;

	(void)state;
	assert_int_equal(diff_build(&before, &after, &values, &d), -ENOSPC);
	assert_null(d);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(diff_bounds_what_its_rows_keep),
	cmocka_unit_test(diff_holds_both_sides),
	cmocka_unit_test(diff_sees_what_is_more_than_chance),
	cmocka_unit_test(diff_normalized_compares_shares_of_unequal_profiles),
	cmocka_unit_test(diff_does_not_see_ghosts_in_a_small_profile),
	cmocka_unit_test(diff_orders_by_evidence),
	cmocka_unit_test(diff_of_the_same_program_is_chance),
	cmocka_unit_test(diff_finds_a_real_change_among_many_functions),
	cmocka_unit_test(diff_measures_bursts_between_windows),
	cmocka_unit_test(diff_needs_a_part_on_both_sides),
};

UNIT_MAIN(tests)
