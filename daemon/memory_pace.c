#include "daemon/memory_pace.h"

#include <assert.h>

#include "base/cleanup.h"

/* A sample costs some 10 us in the kernel and as much in emberd: 300 a second are 0.3 % of a core in each. */
#define YOUNG_PER_SECOND_MAX 100
#define GROWN_PER_SECOND_MAX 200
#define CALM_PER_SECOND 75
#define CALM_SECONDS 30 /* before more is watched again */

#define YOUNG_SHIFT_MAX 8
/* A program that fills its memory at once still has as many pages watched, or half of them. */
#define SAMPLES_MAX_LEAST 32

void memory_pace_coarsen(struct memory_pace *p)
{
	p->page_shift = MIN(p->page_shift + 1, (uint32_t)MEMORY_SHIFT_MAX);
	p->grown_per_second /= 2; /* as it will be from now on */
	p->calm_seconds = 0;
}

static void spare_young(struct memory_pace *p)
{
	while (p->young_per_second > YOUNG_PER_SECOND_MAX && p->young_shift < YOUNG_SHIFT_MAX) {
		p->young_shift++;
		p->young_per_second /= 2;
	}
}

static void spare_grown(struct memory_pace *p)
{
	if (p->grown_per_second <= GROWN_PER_SECOND_MAX)
		return;
	if (p->samples_max > SAMPLES_MAX_LEAST) {
		p->samples_max /= 2;
		p->grown_per_second /= 2;
	} else {
		memory_pace_coarsen(p);
	}
}

static void refine(struct memory_pace *p, bool is_roomy)
{
	p->calm_seconds = 0;
	if (is_roomy && p->page_shift > MEMORY_SHIFT_MIN)
		p->page_shift--;
	if (p->young_shift > MEMORY_YOUNG_SHIFT_MIN)
		p->young_shift--;
	p->samples_max = MIN(2 * p->samples_max, (uint32_t)MEMORY_PACE_SAMPLES_MAX);
}

void memory_pace_follow(struct memory_pace *p, uint64_t young, uint64_t grown, bool is_roomy)
{
	assert(p);

	p->young_per_second += ((double)young - p->young_per_second) / 10;
	p->grown_per_second += ((double)grown - p->grown_per_second) / 10;
	spare_young(p);
	spare_grown(p);
	p->calm_seconds = young + grown < CALM_PER_SECOND ? p->calm_seconds + 1 : 0;
	if (p->calm_seconds >= CALM_SECONDS)
		refine(p, is_roomy);
}
