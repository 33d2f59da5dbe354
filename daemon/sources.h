/* What the sources themselves share: the instance, and the steps that every one of them takes. */
#pragma once
#include <bpf/libbpf.h>
#include "daemon/source.h"
#include "daemon/unfinished.h"

extern const struct source cpu_source;
extern const struct source heap_source;
extern const struct source memory_source;

#define SOURCE_RING_BYTES_DEFAULT (512u * 1024)
#define SOURCE_RING_BYTES_ON_DEMAND (1u << 20) /* many copies of stacks in its first moments */
#define SOURCE_COSTS 256
#define SOURCE_COSTS_HALVE 20000 /* samples; so old ones fade */

struct source_instance {
	const struct source *source;
	struct source_params params; /* params.targets is valid during source_open only */
	source_sample_t sample;
	void *userdata;

	/* set by source->open through source_load */
	struct bpf_object *obj; /* borrowed from the skeleton */
	struct bpf_link *fork_link, *exit_link;
	struct ring_buffer *ring;
	sd_event_source *wake; /* of the ring */
	struct unfinished *unfinished;
	int counters_fd;
	void *implementation;

	int64_t wall_offset_ns; /* CLOCK_BOOTTIME -> wall time, as of the last drain */
	uint64_t period, rate;
	unsigned room; /* records that this drain may still handle */
	uint64_t delivered, truncated, malformed;
	uint32_t costs[SOURCE_COSTS]; /* samples by microseconds, the last for all above; halved when they are many */
	uint32_t n_costs;
	struct user_frame frames[STACK_USER_FRAMES_MAX];
};

/* Between a skeleton's open and load: shares the unwinder's maps, sizes ring and map of PIDs, fills the constants,
 * loads, opens the ring. Both are the skeleton's (its .skeleton, &rodata->constants); loading by way of it lets .data
 * and .bss be written afterwards. Programs called select_fork and select_exit are loaded only where PIDs are selected.
 */
int source_load(struct source_instance *i, struct bpf_object_skeleton *skeleton, struct source_constants *constants);
