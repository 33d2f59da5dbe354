/* Lines of /proc/PID/maps: the executable mappings of one process, as user space sees them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_MAPS_BYTES_MAX (16u << 20)

struct proc_mapping {
	uint64_t start, end;
	uint64_t offset; /* of start in the file */
	uint64_t inode;  /* 0: no file */
	unsigned device_major, device_minor;
	const char *path; /* "" where it has none; borrowed for the call */
};

/* Calls each for every executable mapping, lowest first, until one returns other than 0, which is returned then.
 * -ESRCH: it is gone. */
typedef int (*proc_maps_each_t)(void *userdata, const struct proc_mapping *m);
int proc_maps_read(pid_t pid, proc_maps_each_t each, void *userdata);
