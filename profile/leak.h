/* Leak or not: a verdict on memory in use over time, stack by stack. Pure functions of the profiles; docs/leaks.md has
 * the reasoning in prose.
 *
 * What counts is growth that was not given back. For a series v of bytes in use, the floor at a moment is the least
 * value from then on: what the program has held ever since. Growth is how far the floor rises; onset is when it began
 * to. A stack is called a leak if
 *
 * - it grew by the threshold at least, and by more than four standard errors of what sampling alone can move: bytes
 *   sampled every R bytes on average have an error of sqrt(bytes * R);
 * - no more than a third of it may have come into view only (leak_unseen.h);
 * - it did not give back half as much before (sawtooth, turnover): a ramp after a fall of its size proves nothing;
 * - it still grows: of three equal parts of the time since onset the last gained at least 0.45 of what the first
 * gained, and 15 % of the whole (warm-up slows down and stops);
 * - no single step made more than half of it (a table that was allocated once);
 * - Mann and Kendall's test, corrected for series whose neighbours resemble each other, rules out chance
 *   (profile/trend.h). confidence is 1 - that probability; slope and its 95 % interval are Theil and Sen's.
 *
 * So a verdict needs LEAK_POINTS_MIN points since onset: a leak is named after about ten intervals. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/profile.h"
#include "profile/trend.h"

#define LEAK_POINTS_MIN 8
#define LEAK_OBSERVATIONS_MAX (8u << 20) /* stacks times windows; 16 bytes each */
#define LEAK_THRESHOLD_DEFAULT (8ll << 20)
#define LEAK_PROBABILITY_DEFAULT 0.05 /* the other conditions must hold as well */

enum leak_verdict {
	LEAK_UNKNOWN,  /* fewer than LEAK_POINTS_MIN points, at all or since onset */
	LEAK_STEADY,   /* no growth above threshold and error, or none that chance would not make */
	LEAK_REPLACED, /* may have taken the place of what was there before and not seen */
	LEAK_SAWTOOTH, /* grows and gives back */
	LEAK_WARM_UP,  /* grew, and does so no longer, or ever more slowly */
	LEAK_STEP,     /* one step made it */
	LEAK_GROWING,  /* a leak, as far as can be seen */
};

struct leak_options {
	int64_t threshold;      /* bytes; 0: LEAK_THRESHOLD_DEFAULT */
	double probability;     /* highest that still rules out chance; 0: LEAK_PROBABILITY_DEFAULT */
	double sampling_period; /* mean bytes between samples; 0: everything was counted */
	int64_t baseline;       /* bytes known to be healthy: growth counts from there */
	double replaced;        /* the part of growth, 0 to 1, that may have come into view only */
};

struct leak_result {
	enum leak_verdict verdict;
	int64_t first, last, growth;         /* bytes; growth of the floor */
	uint64_t age_ns;                     /* since onset: as old are the oldest survivors of the growth, at most */
	double slope, slope_low, slope_high; /* bytes per second since onset; 0 where no trend was fitted */
	double confidence;                   /* 0..1; 0 where no trend was fitted */
};

const char *leak_verdict_name(enum leak_verdict v); /* "growing", "warm-up", ... */

/* One series. times_ns rise strictly (-EINVAL). options may be NULL. */
int leak_judge(const uint64_t *times_ns, const int64_t *bytes, size_t n, const struct leak_options *options,
        struct leak_result *ret);

/* ---- a series of profiles ---- */

struct leaks;

/* Series are told apart by stack and labels; labels in drop_labels (keys, NULL at the end, 8 at most, borrowed) do not
 * count: "tid" and "thread" for a verdict by process. value: a sample type such as "inuse_space"; NULL: the first of
 * inuse_space and resident that a profile has. limits may be NULL. */
int leaks_new(
        const char *value, const char *const *drop_labels, const struct profile_limits *limits, struct leaks **ret);
struct leaks *leaks_free(struct leaks *l);
DEFINE_CLEANUP(struct leaks *, leaks_free)

/* The next window: what was in use at time_ns, later than the last one's (-EINVAL). A stack that it does not have has 0
 * bytes; processes whose samples say that they tell survivors only (window_labels.h) are left out of it. -ENOENT: it
 * has no such value; -ENOSPC: LEAK_OBSERVATIONS_MAX. The sampling period is the mean of the profiles', where they are
 * in bytes. */
int leaks_add(struct leaks *l, const struct profile *p, uint64_t time_ns);
/* A window of a time that is known to be healthy; several: the greatest value of each stack counts. Before, between or
 * after the others. */
int leaks_add_baseline(struct leaks *l, const struct profile *p);

struct leak_suspect {
	struct profile_sample key; /* stack and labels in leaks_profile() */
	struct leak_result result;
};

/* All series that grew by the threshold, whatever their verdict: leaks first, then by growth. options->sampling_period
 * 0: that of the profiles; options->baseline and replaced are not looked at. *ret belongs to the caller (free). */
int leaks_judge(struct leaks *l, const struct leak_options *options, struct leak_suspect **ret, size_t *ret_n);
const struct profile *leaks_profile(const struct leaks *l);
