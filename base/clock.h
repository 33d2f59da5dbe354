/* Clocks in nanoseconds. */
#pragma once
#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS 1000000ull

uint64_t clock_now_ns(clockid_t id);

/* CLOCK_REALTIME - CLOCK_BOOTTIME/MONOTONIC now: add it to a kernel time stamp of that clock to get wall time. */
int64_t clock_wall_offset_ns(clockid_t id);
