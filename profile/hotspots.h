/* Functions that hold at least a given share of a value by themselves (flat), with the source line where most of it
 * is. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "profile/frame.h"
#include "profile/profile.h"

struct hotspots;

struct hotspot {
	const char *function, *file, *mapping; /* file and mapping are "" where not known */
	int64_t line;                          /* 0 where not known */
	int64_t value, samples;
	double percent;
	enum frame_kind kind;
};

/* threshold: a fraction of the total, 0 to 1; rows of exactly that share are in, rows of 0 never. Hottest first. As
 * top_build() on failure. */
int hotspots_build(const struct profile *p, uint32_t value_index, double threshold, struct hotspots **ret);
struct hotspots *hotspots_free(struct hotspots *h);
DEFINE_CLEANUP(struct hotspots *, hotspots_free)

size_t hotspots_n(const struct hotspots *h);
const struct hotspot *hotspots_get(const struct hotspots *h, size_t i);
