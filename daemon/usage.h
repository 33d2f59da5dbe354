/* What processes cost: memory and CPU time as /proc tells. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

struct usage {
	uint64_t rss_bytes;
	uint64_t cpu_ns; /* user and system */
};

/* pid 0: this process. -ESRCH where there is none. */
int usage_of(pid_t pid, struct usage *ret);
/* CPU time of this process alone, cheaply. */
uint64_t usage_own_cpu_ns(void);
