#include "profile/chance.h"

#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"

static double probability(double p)
{
	return p >= 0 && p <= 1 ? p : p < 0 ? 0 : 1;
}

double chance_normal(double z)
{
	return probability(erfc(fabs(z) * M_SQRT1_2));
}

/* Continued fraction of the incomplete beta function by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
	const double tiny = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1), h;

	d = 1 / (fabs(d) < tiny ? tiny : d);
	h = d;
	for (int m = 1; m <= 300; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double step;

		d = 1 + even * d;
		c = 1 + even / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		h *= d * (fabs(c) < tiny ? tiny : c);
		d = 1 + odd * d;
		c = 1 + odd / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		step = d * (fabs(c) < tiny ? tiny : c);
		h *= step;
		if (fabs(step - 1) < 1e-14)
			break;
	}
	return h;
}

/* Regularized incomplete beta function I_x(a, b). */
static double beta_incomplete(double a, double b, double x)
{
	double front;

	if (x <= 0)
		return 0;
	if (x >= 1)
		return 1;
	front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(a, b, x) / a;
	return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double chance_student(double t, double df)
{
	return probability(beta_incomplete(df / 2, 0.5, df / (df + t * t)));
}

static double log_choose(double n, double k)
{
	return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

double chance_binomial_half(uint64_t x, uint64_t n)
{
	uint64_t low = MIN(x, n - x);
	double sum = 0;

	if (n == 0 || 2 * low == n)
		return 1;
	for (uint64_t i = 0; i <= low; i++)
		sum += exp(log_choose((double)n, (double)i) - (double)n * M_LN2);
	return probability(2 * sum);
}

/* Sums the terms on one side of the mode that are at most limit; all relative to the mode's. */
static double sum_tail(double x, double last, int step, double successes, double n1, double n2, double limit)
{
	double term = 1, sum = 0;

	while (x != last) {
		if (step > 0)
			term *= (successes - x) * (n1 - x) / ((x + 1) * (n2 - successes + x + 1));
		else
			term *= x * (n2 - successes + x) / ((successes - x + 1) * (n1 - x + 1));
		x += step;
		if (term < 1e-18)
			break;
		if (term <= limit)
			sum += term;
	}
	return sum;
}

static double log_table(double x, double successes, double n1, double n2)
{
	return log_choose(n1, x) + log_choose(n2, successes - x);
}

/* The sum of all terms below the mode and above, whatever their size. */
static double sum_all(double mode, double low, double high, double successes, double n1, double n2)
{
	return 1 + sum_tail(mode, high, 1, successes, n1, n2, INFINITY) +
	       sum_tail(mode, low, -1, successes, n1, n2, INFINITY);
}

double chance_fisher(uint64_t x1, uint64_t n1, uint64_t x2, uint64_t n2)
{
	double a = (double)n1, b = (double)n2, successes = (double)x1 + (double)x2;
	double low = fmax(0, successes - b), high = fmin(successes, a), mode, seen, limit, sum;

	if (n1 == 0 || n2 == 0 || x1 > n1 || x2 > n2 || successes == 0)
		return 1;
	mode = fmin(fmax(floor((successes + 1) * (a + 1) / (a + b + 2)), low), high);
	seen = exp(log_table((double)x1, successes, a, b) - log_table(mode, successes, a, b));
	limit = seen * (1 + 1e-7);
	sum = sum_tail(mode, high, 1, successes, a, b, limit) + sum_tail(mode, low, -1, successes, a, b, limit);
	if (limit >= 1)
		sum += 1;
	return probability(fmax(sum, seen) / sum_all(mode, low, high, successes, a, b));
}

static int compare_p(const void *a, const void *b, void *userdata)
{
	const double *p = userdata;
	double x = p[*(const size_t *)a], y = p[*(const size_t *)b];

	return x < y ? -1 : x > y;
}

void chance_adjust(double *p, size_t n, size_t *order)
{
	double least = 1;

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), compare_p, p);
	for (size_t rank = n; rank > 0; rank--) {
		double q = p[order[rank - 1]] * (double)n / (double)rank;

		least = fmin(least, q);
		p[order[rank - 1]] = least;
	}
}
