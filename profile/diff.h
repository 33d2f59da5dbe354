/* What changed between two profiles (or two runs of windows), by function, line, file, process, ..., and for each
 * whether the change is more than chance.
 *
 * Two questions:
 *   normalize = false: did the value itself change (nanoseconds, bytes)? For profiles of equal length.
 *   normalize = true:  did its share of the whole change? For profiles of different length or load.
 *
 * How chance is judged. A profile is a sample: had we sampled again, each row would hold a somewhat other value.
 * 1. Samples are taken as independent draws with weights (compound Poisson). A row's value V has the variance sum(w^2),
 *    which top.h gathers; V / (sum(w^2)/V) is its effective count: the plain count where all samples weigh the same.
 * 2. Under the hypothesis "nothing changed" both sides are pooled. normalize: two-proportion z test, variance
 *    p(1-p) * w * (1/N1 + 1/N2) with the pooled share p and the weight w pooled over the row and its complement; where
 *    fewer than 10 samples are expected in a cell, Fisher's exact test on effective counts. Else: two Poisson
 *    rates: given the sum of both, one side is binomial with 1/2: exact below 100, normal approximation above.
 * 3. Real samples come in bursts, so they are not independent and 1. claims too much (overdispersion). Where both sides
 *    consist of several windows (parts) and together have at least DIFF_SPREAD_DF degrees of freedom, the spread of
 *    each row between the windows of a side is measured, and where it is larger than 1. says, it is used, with
 * Student's t of those degrees of freedom. With one profile a side there is nothing to measure it by: the verdict then
 * knows sampling noise only, not how much two runs of the same program differ, and .knows_spread is false so that the
 *    reader is told.
 * 4. A thousand functions are a thousand tests. Rows with fewer than DIFF_EFFECTIVE_MIN effective samples on both sides
 *    together are not tested (too few). Over the others Benjamini and Hochberg's procedure keeps the false discovery
 *    rate at .level: of all changes called more than chance at most that share is expected to be chance. Flat and cum
 *    are two families. q is the smallest level at which the row would be called so. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/profile.h"
#include "profile/top.h"

struct diff;

#define DIFF_LEVEL 0.05
#define DIFF_EFFECTIVE_MIN 6
#define DIFF_SPREAD_DF 4

enum diff_verdict {
	DIFF_TOO_FEW, /* too few samples to say */
	DIFF_CHANCE,  /* may well be chance */
	DIFF_GREW,    /* more than chance */
	DIFF_SHRANK,
};

enum diff_order {
	DIFF_BY_CHANGE,   /* largest absolute change first */
	DIFF_BY_EVIDENCE, /* least q first, then p, then change: what to look at first; growth before shrinking */
};

/* One side: profiles of the same types, added up. Several are windows of equal meaning, as a store holds them. */
struct diff_side {
	const struct profile *const *parts;
	size_t n_parts;
	uint32_t value_index;
};

struct diff_options {
	enum top_by by;
	enum top_sort sort; /* whose change is meant by .order */
	enum diff_order order;
	bool normalize;
	double level; /* 0: DIFF_LEVEL */
};

struct diff_change {
	struct top_value value[2];
	double share[2]; /* of the side's total */
	double change;   /* normalize: of shares, after - before; else of values */
	double p, q;     /* 1 where not tested */
	enum diff_verdict verdict;
};

struct diff_row {
	const char *key;
	size_t key_size;
	const char *name, *file, *mapping;
	int64_t line;
	enum frame_kind kind;
	struct diff_change flat, cum;
};

struct diff_summary {
	struct top_value total[2];
	size_t n_tested;   /* rows with enough samples, of the family that .sort names */
	size_t n_changed;  /* of them more than chance */
	bool knows_spread; /* judged by the spread between windows, too */
	bool normalize;
	double level;
};

/* Rows ordered as asked. *ret borrows nothing. -EINVAL: no such value index or no part; -ENOMEM; -ENOSPC. */
int diff_build(const struct diff_side *before, const struct diff_side *after, const struct diff_options *options,
        struct diff **ret);
struct diff *diff_free(struct diff *d);
DEFINE_CLEANUP(struct diff *, diff_free)

size_t diff_n_rows(const struct diff *d);
const struct diff_row *diff_row(const struct diff *d, size_t i);
void diff_summary(const struct diff *d, struct diff_summary *ret);
int diff_find(const struct diff *d, const char *key, size_t key_size, size_t *ret);

/* "grew", "shrank", "may be chance", "too few samples". */
const char *diff_verdict_text(enum diff_verdict v);
