/* Clocks in nanoseconds. */
#pragma once
#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS 1000000ull

uint64_t clock_now_ns(clockid_t id);
/* Another one after each boot, 63 bits; 0 where it cannot be told. */
uint64_t clock_boot_id(void);

/* A time of a file, a reading of a clock. */
static inline uint64_t clock_timespec_ns(struct timespec ts)
{
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* CLOCK_REALTIME - CLOCK_BOOTTIME/MONOTONIC now: add it to a kernel time stamp of that clock to get wall time. */
int64_t clock_wall_offset_ns(clockid_t id);
