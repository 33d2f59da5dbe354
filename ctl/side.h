/* One side of a comparison: a file, or a time range of a selection. A range is also had in several parts, so that the
 * comparison can tell how much the same program differs from one part to the next (profile/diff.h). */
#pragma once
#include "ctl/input.h"
#include "profile/diff.h"
#include "profile/profile.h"

#define SIDE_PARTS_MAX 8

struct side {
	struct profile *whole;
	struct profile *parts[SIDE_PARTS_MAX]; /* none: the whole is the only part */
	size_t n_parts;
	uint32_t value_index;
};

/* Both log one line on failure. */
int side_load_file(const struct input *in, const char *file, struct side *ret);
int side_load_range(const struct input *in, const char *range, struct side *ret);
void side_done(struct side *s);

/* Borrows from s. */
struct diff_side side_for_diff(const struct side *s);
