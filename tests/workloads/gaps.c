/* What a sample costs the program that it interrupts: DEPTH frames deep without frame pointers, the clock is read in a
 * loop, and each gap between two readings that is longer than GAP_NS is printed, one number of nanoseconds a line.
 * Timer ticks are among them: compare with a run under no profiler. gaps SECONDS [DEPTH] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GAP_NS 1000u
#define GAPS_MAX 1000000u

static double seconds;
static uint32_t gaps[GAPS_MAX], n_gaps;

static uint64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

__attribute__((noinline, noclone)) static void watch_clock(void)
{
	uint64_t end = now(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)(seconds * 1e9), last = now(CLOCK_MONOTONIC);

	for (;;) {
		uint64_t t = now(CLOCK_MONOTONIC);

		if (t - last > GAP_NS && n_gaps < GAPS_MAX) {
			gaps[n_gaps++] = t - last > UINT32_MAX ? UINT32_MAX : (uint32_t)(t - last);
			if (now(CLOCK_THREAD_CPUTIME_ID) >= end)
				return;
			t = now(CLOCK_MONOTONIC); /* the system call is no gap */
		}
		last = t;
	}
}

__attribute__((noinline, noclone)) static int descend(int n)
{
	int r;

	if (n <= 1) {
		watch_clock();
		return 1;
	}
	r = descend(n - 1) + 1;
	__asm__ volatile("" : "+r"(r)); /* not a tail call */
	return r;
}

int main(int argc, char **argv)
{
	int depth = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20;

	seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
	if (descend(depth) != depth)
		return 1;
	for (uint32_t i = 0; i < n_gaps; i++)
		printf("%u\n", gaps[i]);
	return 0;
}
