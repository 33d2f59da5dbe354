#include "profile/trend.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define NORMAL_95 1.959964 /* two-sided */
#define CORRELATION_MAX 0.9

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *sorted, size_t n)
{
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Kendall's S: rising pairs less falling ones; on the way the slopes of all pairs. */
static double all_pairs(const double *times, const double *values, size_t n, double *slopes)
{
	double s = 0;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++) {
			s += (values[k] > values[i]) - (values[k] < values[i]);
			slopes[at++] = (values[k] - values[i]) / (times[k] - times[i]);
		}
	return s;
}

/* Variance of S where there is no trend; runs of equal values lower it. */
static double variance_of_s(const double *values, size_t n)
{
	double sorted[TREND_POINTS_MAX], variance = (double)n * (double)(n - 1) * (double)(2 * n + 5);

	for (size_t i = 0; i < n; i++)
		sorted[i] = values[i];
	qsort(sorted, n, sizeof(*sorted), compare_doubles);
	for (size_t i = 0; i < n;) {
		size_t run = 1;

		while (i + run < n && sorted[i + run] == sorted[i])
			run++;
		variance -= (double)run * (double)(run - 1) * (double)(2 * run + 5);
		i += run;
	}
	return variance / 18;
}

static double neighbour_correlation(const double *times, const double *values, size_t n, double slope)
{
	double residuals[TREND_POINTS_MAX], mean = 0, product = 0, square = 0, largest = 0, r;

	for (size_t i = 0; i < n; i++) {
		residuals[i] = values[i] - slope * times[i];
		mean += residuals[i] / (double)n;
		largest = fmax(largest, fabs(values[i]));
	}
	for (size_t i = 0; i < n; i++) {
		square += (residuals[i] - mean) * (residuals[i] - mean);
		if (i + 1 < n)
			product += (residuals[i] - mean) * (residuals[i + 1] - mean);
	}
	if (square <= (double)n * largest * largest * 1e-18)
		return 0; /* a straight line: what is left is rounding */
	r = product / square;
	return r < 0 ? 0 : fmin(r, CORRELATION_MAX);
}

static double inflation(double r, size_t n)
{
	double sum = 0, power = 1;

	for (size_t k = 1; k < n && power > 1e-6; k++) {
		power *= r;
		sum += (1 - (double)k / (double)n) * power;
	}
	return 1 + 2 * sum;
}

/* The slope whose rank is `rank`, kept inside the list. */
static double ranked(const double *sorted, size_t n, double rank)
{
	if (rank < 0)
		rank = 0;
	return sorted[rank >= (double)n ? n - 1 : (size_t)rank];
}

int trend_fit(const double *times, const double *values, size_t n, struct trend *ret)
{
	const size_t n_pairs = n * (n - 1) / 2;
	_cleanup_free_ double *slopes = NULL;
	double s, variance, z, reach;
	struct trend t;

	if (n < TREND_POINTS_MIN || n > TREND_POINTS_MAX)
		return -EINVAL;
	for (size_t i = 1; i < n; i++)
		if (times[i] <= times[i - 1])
			return -EINVAL;
	slopes = malloc(n_pairs * sizeof(*slopes));
	if (!slopes)
		return -ENOMEM;
	s = all_pairs(times, values, n, slopes);
	qsort(slopes, n_pairs, sizeof(*slopes), compare_doubles);
	t.slope = median(slopes, n_pairs);
	t.correlation = neighbour_correlation(times, values, n, t.slope);
	variance = variance_of_s(values, n) * inflation(t.correlation, n);
	z = variance > 0 && s != 0 ? (s - (s > 0 ? 1 : -1)) / sqrt(variance) : 0;
	t.probability = 0.5 * erfc(z / sqrt(2));
	reach = NORMAL_95 * sqrt(fmax(variance, 0));
	t.slope_low = ranked(slopes, n_pairs, ((double)n_pairs - reach) / 2);
	t.slope_high = ranked(slopes, n_pairs, ((double)n_pairs + reach) / 2);
	*ret = t;
	return 0;
}
