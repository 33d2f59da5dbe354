/* How likely a difference is by chance alone: two-sided p values, 1 where nothing can be said, never NaN. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* P(|Z| >= |z|), standard normal. */
double chance_normal(double z);
/* P(|T| >= |t|), Student's t with df > 0 degrees of freedom. */
double chance_student(double t, double df);
/* x of n trials with probability 1/2. Exact; n is small (time grows with it). */
double chance_binomial_half(uint64_t x, uint64_t n);
/* Fisher's exact test of x1 of n1 against x2 of n2: all tables with these margins that are not likelier than the one
 * seen. Terms below 1e-18 of the largest are left out. */
double chance_fisher(uint64_t x1, uint64_t n1, uint64_t x2, uint64_t n2);

/* Benjamini and Hochberg: in place, p values to q values. order is room for n numbers. */
void chance_adjust(double *p, size_t n, size_t *order);
