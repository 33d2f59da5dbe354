/* Resident bytes by stack: which call brought in the pages that a process holds now.
 *
 * Memory is sampled in space, not in time. Of the pages of a process a fixed 1 in 2^shift is watched
 * (MEMORY_PAGE_WATCHED in bpf/abi.h): every fault on a watched page is seen, none on others. So each watched page has a
 * known last toucher, however often it is unmapped and touched again, and nothing need be traced of munmap, madvise,
 * brk, mremap, exec or exit: at the end of a window the kernel's own page tables (/proc/PID/pagemap) say which of them
 * are still there, and each stands for 2^shift pages. The estimate is unbiased over the hash that chooses pages, and
 * nearly exact for large areas, as the same number of pages is watched in each 2 MiB. Watched pages that came in with a
 * neighbour's fault (a file's pages around it, a large folio, a huge page) belong to that fault: the program says how
 * far it may have reached.
 *
 * Each process has a shift of its own: one that faults fast is watched more coarsely. A larger shift watches a subset,
 * so with the first fault that comes with it the others of the process's pages, whose next toucher would be missed, are
 * forgotten and those that stay weigh more. A smaller one leaves what is held as it is.
 *
 * How much a process has in all is known: /proc/PID/statm has private memory and file pages. Where it began under
 * watch, its pages are weighted anew to make up these two sums (ratio estimator with known totals; Cochran, Sampling
 * Techniques, chapter 6), unless what is missing or too much is more than chance explains: three standard errors of as
 * many independent pages. Then pages came in without a fault (MAP_POPULATE, mlock, direct I/O, a parent from before),
 * or none of few was watched: they are told as a sample without a stack, truncated for "no fault seen".
 *
 * No event loop, no logging; one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/sample.h"

struct resident;

struct resident_limits {
	uint32_t pages; /* watched pages that are there */
	uint32_t stacks;
	size_t stack_bytes;
};
#define RESIDENT_LIMITS_DEFAULT ((struct resident_limits){ .pages = 12288, .stacks = 4096, .stack_bytes = 1536u << 10 })

int resident_new(const struct resident_limits *limits, struct resident **ret);
struct resident *resident_free(struct resident *r);
DEFINE_CLEANUP(struct resident *, resident_free)

/* From this moment on (CLOCK_BOOTTIME) every fault is seen: of processes that start later all is known. */
void resident_begin(struct resident *r, uint64_t boot_ns);

/* One fault at an address, seen while 1 in 2^shift of the process's pages was watched. */
struct resident_fault {
	uint64_t address;
	unsigned shift, reach; /* MEMORY_REACH_* */
	bool once;             /* the shift is not the process's own, only this fault's */
};

/* s is borrowed. -ENOSPC: a limit, and the fault is counted as dropped. */
int resident_touch(struct resident *r, const struct sample *s, const struct resident_fault *f);

/* A child has begun with a copy of its parent's memory. */
int resident_fork(struct resident *r, uint32_t parent, uint32_t child, uint64_t child_start_ns);

/* From now on at least 2^shift for all: forgets pages that are no longer watched, but for one of a process that has no
 * other, and weighs the others anew. Stacks that hold nothing any more go with them. */
void resident_coarsen(struct resident *r, unsigned shift);

bool resident_is_crowded(const struct resident *r); /* three quarters of a limit are taken */
bool resident_is_full(const struct resident *r);    /* nearly all of it is */
bool resident_is_roomy(const struct resident *r);   /* if all were watched twice as finely, they were not */

/* Forgets what is of processes that are gone, as the next report would. proc_dirfd: an open /proc. */
int resident_forget_gone(struct resident *r, int proc_dirfd);

/* Looks which pages are still there and forgets the others. Calls each with a stack (borrowed, values unset; without
 * frames where it is not known) and the bytes that it holds. proc_dirfd: an open /proc. Returns the number of pages
 * that are left, or negative errno. */
typedef void (*resident_each_t)(void *userdata, struct sample *s, uint64_t bytes);
int resident_report(struct resident *r, int proc_dirfd, resident_each_t each, void *userdata);

/* After a report: the same of a process that it did not tell, as no fault of it was ever sampled (it is small, and many
 * others were busy), if it began under watch. The sample has neither executable nor cgroup. */
void resident_tell_unseen(const struct resident *r, int proc_dirfd, uint32_t pid, resident_each_t each, void *userdata);

struct resident_stats {
	uint32_t pages, stacks;
	uint64_t bytes;   /* memory that this takes */
	uint64_t dropped; /* faults and copies for which there was no room */
	/* by the last report: bytes that a page stood for, the most and the mean; 0: there was none */
	uint64_t page_bytes_max, page_bytes_mean;
};
void resident_stats(const struct resident *r, struct resident_stats *ret);
