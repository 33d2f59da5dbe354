/* Resident bytes by stack: which call brought in the pages that a process holds now.
 *
 * Memory is sampled in space, not in time. The address space of a process is cut into blocks of 64 KiB, and a fixed 1 in
 * 2^shift of them is watched (MEMORY_BLOCK_WATCHED in bpf/abi.h): every fault in a watched block is seen, none elsewhere.
 * So each page of a watched block has a known last toucher, however often it is unmapped and touched again, and nothing
 * need be traced of munmap, madvise, brk, mremap, exec or exit: at the end of a window the kernel's own page tables
 * (/proc/PID/pagemap) say which pages are still there, and each stands for 2^shift of its size. The estimate is unbiased
 * over the hash that chooses blocks, and nearly exact for large areas, as exactly one block in 2^shift is watched in each
 * 2 MiB. A huge page is told by the first fault of its 2 MiB region ("region" below), which is always reported while huge
 * pages are possible, and counted page by page like everything else. Pages that came in with a neighbour's fault
 * (fault-around, large folios) belong to the last fault of their block, or of their region.
 *
 * Not known: pages of processes from before emberd, and pages populated without a fault (MAP_POPULATE, mlock).
 *
 * No event loop, no logging; one thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/sample.h"

struct resident;

struct resident_limits {
	uint32_t blocks; /* watched blocks that hold memory */
	uint32_t stacks;
	size_t stack_bytes;
};
#define RESIDENT_LIMITS_DEFAULT ((struct resident_limits){ .blocks = 12288, .stacks = 8192, .stack_bytes = 3u << 20 })

int resident_new(const struct resident_limits *limits, struct resident **ret);
struct resident *resident_free(struct resident *r);
DEFINE_CLEANUP(struct resident *, resident_free)

/* One fault at an address, seen while 1 in 2^shift blocks was watched; region: the first one in its 2 MiB, which may
 * have become a huge page. s is borrowed. -ENOSPC: a limit, and the fault is counted as dropped. */
int resident_touch(struct resident *r, const struct sample *s, uint64_t address, unsigned shift, int region);

/* A child has begun with a copy of its parent's memory. */
int resident_fork(struct resident *r, uint32_t parent, uint32_t child, uint64_t child_start_ns);

/* From now on at least 2^shift: forgets blocks that are no longer watched and weighs the others anew. */
void resident_coarsen(struct resident *r, unsigned shift);

/* Looks which pages are still there and forgets the others. Calls each with a stack (borrowed, values unset) and the bytes that it
 * holds. proc_dirfd: an open /proc. Returns the number of blocks that are left, or negative errno. */
typedef void (*resident_each_t)(void *userdata, struct sample *s, uint64_t bytes);
int resident_report(struct resident *r, int proc_dirfd, resident_each_t each, void *userdata);

struct resident_stats {
	uint32_t blocks, stacks;
	uint64_t bytes;	  /* memory held */
	uint64_t dropped; /* faults and copies for which there was no room */
};
void resident_stats(const struct resident *r, struct resident_stats *ret);
