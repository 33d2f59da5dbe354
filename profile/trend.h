/* Whether a series of numbers rises, how fast, and how sure that is: without assuming a straight line or a normal
 * distribution, so single outliers change little.
 *
 * The slope is Theil and Sen's: the median of the slopes between all pairs of points; its 95 % interval is Sen's, from
 * the variance of Kendall's S. The probability is that of Mann and Kendall's test (one-sided, normal approximation,
 * corrected for ties): how likely a series without a trend shows at least this many rising pairs. Neighbouring points
 * of a memory series resemble each other, which makes that test too sure of itself: the variance is multiplied by 1 + 2
 * * sum((1 - k/n) * r^k), r being the correlation of the residuals with their neighbours where it is positive. */
#pragma once
#include <stddef.h>

#define TREND_POINTS_MAX 256
#define TREND_POINTS_MIN 4

struct trend {
	double slope, slope_low, slope_high; /* value per unit of time */
	double probability;                  /* of seeing this without a rise: small is sure */
	double correlation;                  /* of neighbouring residuals, 0 to 0.9 */
};

/* times rise strictly. -EINVAL: they do not, or n is out of TREND_POINTS_MIN..MAX; -ENOMEM. */
int trend_fit(const double *times, const double *values, size_t n, struct trend *ret);
