/* What a process would have run if it had got a CPU whenever it was ready to: a thread that ran for r, waited for a CPU
 * for w and slept for the rest of a time t would have run for r of t - w, so for r / (t - w) of the time. One that does
 * not sleep wants all of it, however little it gets; one that mostly sleeps wants little, however long it waits each
 * time that it wakes up.
 *
 * Pure: what threads have done in, times out. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/proc_stat.h"

#define HEAP_WAITS_THREADS_MAX 64 /* looked at: 5 to 10 us each */

struct heap_waits {
	struct proc_thread threads[HEAP_WAITS_THREADS_MAX];
	size_t n;
	uint64_t at_ns;
};

/* What the threads are now, of which the same are known from the last time, or all of which began at since_ns if it is
 * the first. Returns by how much they would have run longer since then. */
uint64_t heap_waits_follow(
        struct heap_waits *w, const struct proc_thread *threads, size_t n, uint64_t since_ns, uint64_t now_ns);
