/* Takes every power away from this process that turning bytes into tables does not need. Done once, before the first
 * hostile byte is read, and never undone. What remains: reading and writing descriptors that were handed over, memory
 * that is not executable, exit. Opening a file answers ENOENT; everything else that is not listed kills the process. */
#pragma once
#include <stdint.h>

struct sandbox_limits {
	uint64_t memory_bytes; /* RLIMIT_AS; 0 for none */
	uint64_t file_bytes;   /* largest answer */
	uint64_t cpu_seconds;  /* of the whole process: the end of a child whose parent is gone */
};

/* -errno of the first step that failed: then the caller must not go on. A kernel without Landlock is no failure. */
int sandbox_enter(const struct sandbox_limits *limits);
