/* The map of JIT code that a process wrote for perf: /tmp/perf-PID.map as that process sees /tmp and its own PID. It is
 * a stranger's file: only a regular file of the process's own user (or root), of bounded size, opened without following
 * a link and without waiting for a FIFO, never outside the process's own root. */
#pragma once
#include <stdint.h>
#include "base/cleanup.h"

#define PERF_MAP_BYTES_MAX (64u << 20)

/* A descriptor that belongs to the caller; stays good when the process is gone. start_ns (0: any) is the process's
 * start in CLOCK_BOOTTIME: -ESRCH where the PID is another process's by now. -ENOENT: none; -EPERM: not the process's
 * own file; -EINVAL: no regular file; -E2BIG. */
int perf_map_open(uint32_t pid, uint64_t start_ns);
