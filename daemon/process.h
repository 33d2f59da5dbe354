/* Whether /proc/PID still is the process that a record told of: PIDs are used again. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* proc_dirfd: /proc/PID. start_ns: task_struct.start_boottime; 0: unknown, any will do. */
bool process_is_same(int proc_dirfd, uint64_t start_ns);

/* A descriptor of the directory PID below dirfd (/proc; AT_FDCWD: /proc by name) that belongs to the caller; -ESRCH
 * where it is gone or another process by now. */
int process_open(int dirfd, uint32_t pid, uint64_t start_ns);
