/* Sums of values that strangers chose: they stay at the ends of the range and never wrap. */
#pragma once
#include <stdint.h>

static inline int64_t sum_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT64_MIN : INT64_MAX) : sum;
}
