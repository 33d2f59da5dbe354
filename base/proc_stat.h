/* /proc/PID/stat and schedstat: the fields that emberd looks at. */
#pragma once
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proc_stat {
	uint32_t parent;
	uint64_t user_ns, system_ns; /* CPU time, to a tick of the clock */
	uint64_t start_ns;           /* since boot, to a tick */
	uint64_t rss_bytes;
};

/* path: "1234/stat" below dirfd, or absolute. -ESRCH: the process is gone; -EBADMSG. */
int proc_stat_read(int dirfd, const char *path, struct proc_stat *ret);
/* When a process began, since boot, to a tick of the clock. */
int proc_start_ns(int pid, uint64_t *ret);
/* The next process of an open /proc; 0: there are no more, or proc is NULL. */
int proc_next(DIR *proc);

struct proc_thread {
	int tid;
	uint64_t ran_ns, waited_ns; /* waited: ready to run while others had the CPUs */
};
/* The first max of its threads. Returns how many; -ESRCH: it is gone; -ENOENT: the kernel does not tell. */
int proc_threads_read(int pid, struct proc_thread *ret, size_t max);
/* The name of a process as it is now, without its last newline; "" where it is gone. */
#define PROC_COMM_MAX 16
void proc_comm(int pid, char ret[PROC_COMM_MAX]);
/* Whether it is the process that began then, which is told to the nanosecond: PIDs are used again. */
bool proc_stat_began_at(const struct proc_stat *s, uint64_t start_ns);
