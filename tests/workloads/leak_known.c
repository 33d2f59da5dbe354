/* A leak beside a healthy cache: leak_known SECONDS [PERCENT]. leak_records() takes a megabyte a second for ever;
 * fill_cache() holds 200 MB, of which it replaces so much each second (10). All of it is touched. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRY_BYTES (32 << 10)
#define ENTRIES 6400 /* 200 MiB */
#define RECORD_BYTES (16 << 10)
#define STEPS_PER_SECOND 100

static void *entries[ENTRIES];
static unsigned long held;

__attribute__((noinline, noclone)) static void leak_records(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *p = malloc(RECORD_BYTES);

		if (!p)
			abort();
		memset(p, 1, RECORD_BYTES);
		held += (unsigned long)((uintptr_t)p & 1) + 1;
	}
}

__attribute__((noinline, noclone)) static void fill_cache(size_t i)
{
	free(entries[i]);
	entries[i] = malloc(ENTRY_BYTES);
	if (!entries[i])
		abort();
	memset(entries[i], 2, ENTRY_BYTES);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 0, replaced = argc > 2 ? strtod(argv[2], NULL) : 10;
	uint32_t x = 2463534242u;
	double due = 0;
	struct timespec next;

	if (seconds <= 0) {
		fprintf(stderr, "usage: leak_known SECONDS [PERCENT]\n");
		return 2;
	}
	for (size_t i = 0; i < ENTRIES; i++)
		fill_cache(i);
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long step = 0; step < (long)(seconds * STEPS_PER_SECOND); step++) {
		/* as many as come to a megabyte a second */
		leak_records((step + 1) * 64 / STEPS_PER_SECOND - step * 64 / STEPS_PER_SECOND);
		for (due += ENTRIES * replaced / 100 / STEPS_PER_SECOND; due >= 1; due--) {
			x = x * 1664525u + 1013904223u;
			fill_cache((x >> 8) % ENTRIES);
		}
		next.tv_nsec += 1000000000 / STEPS_PER_SECOND;
		if (next.tv_nsec >= 1000000000) {
			next.tv_sec++;
			next.tv_nsec -= 1000000000;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return held == 0;
}
