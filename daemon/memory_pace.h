/* How finely memory is watched, on a host that does anything: as finely as some hundred samples a second allow, and as
 * there is room for what is watched. Who causes them gives way first: where young processes come and go, the first
 * faults of all; where a few fault without end, those few; all only where neither helps, or all that is held is too
 * much. So a host that builds software still tells who holds the memory of its database.
 *
 * No I/O, no logging. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "bpf/abi.h"

#define MEMORY_PACE_SAMPLES_MAX 256

struct memory_pace {
	/* as bpf/memory.bpf.c has them */
	uint32_t page_shift, young_shift, samples_max;
	double young_per_second, grown_per_second; /* samples, over the last ten seconds or so */
	unsigned calm_seconds;
};
#define MEMORY_PACE_START                                                                                              \
	((struct memory_pace){ .page_shift = MEMORY_SHIFT_MIN,                                                         \
	        .young_shift = MEMORY_YOUNG_SHIFT_MIN,                                                                 \
	        .samples_max = MEMORY_PACE_SAMPLES_MAX })

/* Each second, with the samples in it: those taken while a process was young (MEMORY_VALUE_ONCE) and all others. */
void memory_pace_follow(struct memory_pace *p, uint64_t young, uint64_t grown, bool is_roomy);

/* There is no room for what is held: all is watched half as finely. */
void memory_pace_coarsen(struct memory_pace *p);
