#include "profile/chance.h"

#include <math.h>
#include "base/cleanup.h"
#include "tests/unit/unit.h"

static void assert_near(double got, double want)
{
	if (!(fabs(got - want) <= 1e-6 * fmax(want, 1e-12)))
		fail_msg("%.10g is not %.10g", got, want);
}

/* Reference values: printed by R 4 (pnorm, pt, binom.test, fisher.test) and by closed forms. */
static void chance_agrees_with_known_values(void **state)
{
	(void)state;
	assert_near(chance_normal(1.959963984540054), 0.05);
	assert_near(chance_normal(0), 1);
	assert_near(chance_normal(-5), 5.733031437583892e-07);
	assert_near(chance_student(1, 1), 0.5);                               /* Cauchy */
	assert_near(chance_student(2.0, 2), 2 * (0.5 - 2.0 / (2 * sqrt(6)))); /* closed form for df 2 */
	assert_near(chance_student(2.228138851964939, 10), 0.05);
	assert_near(chance_binomial_half(0, 10), 2.0 / 1024);
	assert_near(chance_binomial_half(2, 10), 2.0 * (1 + 10 + 45) / 1024);
	assert_near(chance_binomial_half(5, 10), 1);
	/* the lady tasting tea: 3 of 4 against 1 of 4 */
	assert_near(chance_fisher(3, 4, 1, 4), 34.0 / 70);
	assert_near(chance_fisher(4, 4, 0, 4), 2.0 / 70);
	/* 2 of 15 against 10 of 13: margins 12 and 16; sum of the tables not likelier than the one seen */
	assert_true(chance_fisher(2, 15, 10, 13) > 0.001 && chance_fisher(2, 15, 10, 13) < 0.0025);
}

static void chance_is_never_out_of_range(void **state)
{
	(void)state;
	assert_true(chance_normal(NAN) >= 0 && chance_normal(INFINITY) == 0);
	assert_true(chance_student(INFINITY, 3) >= 0);
	assert_true(chance_fisher(0, 0, 0, 0) == 1);
	assert_true(chance_fisher(5, 3, 0, 4) == 1);
	assert_true(chance_fisher(0, 1000000000, 3, 1000000000) <= 1);
	assert_true(chance_fisher(1000000, 1000000000, 0, 5) <= 1);
	assert_true(chance_binomial_half(0, 0) == 1);
}

/* A sum over all tables by brute force. */
static double fisher_slow(uint64_t x1, uint64_t n1, uint64_t x2, uint64_t n2)
{
	double k = (double)(x1 + x2), sum = 0, whole = 0, seen = 0;

	for (int pass = 0; pass < 2; pass++)
		for (uint64_t x = 0; x <= n1 && x <= x1 + x2; x++) {
			double a = (double)n1, b = (double)n2, i = (double)x, term;

			if (k - i > b)
				continue;
			term = exp(lgamma(a + 1) - lgamma(i + 1) - lgamma(a - i + 1) + lgamma(b + 1) -
			           lgamma(k - i + 1) - lgamma(b - k + i + 1) - lgamma(a + b + 1) + lgamma(k + 1) +
			           lgamma(a + b - k + 1));
			if (pass == 0 && x == x1)
				seen = term;
			whole += pass == 0 ? term : 0;
			sum += pass == 1 && term <= seen * (1 + 1e-7) ? term : 0;
		}
	return sum / whole;
}

static void chance_fisher_agrees_with_brute_force(void **state)
{
	(void)state;
	for (uint64_t x1 = 0; x1 <= 12; x1++)
		for (uint64_t x2 = 0; x2 <= 12; x2++)
			assert_near(chance_fisher(x1, 40, x2, 70), fisher_slow(x1, 40, x2, 70));
	assert_near(chance_fisher(3, 1000, 400, 9000), fisher_slow(3, 1000, 400, 9000));
}

static void chance_adjust_is_benjamini_and_hochberg(void **state)
{
	double p[] = { 0.01, 0.04, 0.03, 0.5 };
	size_t order[ARRAY_SIZE(p)];

	(void)state;
	chance_adjust(p, ARRAY_SIZE(p), order);
	assert_near(p[0], 0.04);
	assert_near(p[2], 0.04 * 4 / 3);
	assert_near(p[1], 0.04 * 4 / 3);
	assert_near(p[3], 0.5);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(chance_agrees_with_known_values),
	cmocka_unit_test(chance_is_never_out_of_range),
	cmocka_unit_test(chance_fisher_agrees_with_brute_force),
	cmocka_unit_test(chance_adjust_is_benjamini_and_hochberg),
};

UNIT_MAIN(tests)
