/* One sample as the sources hand it to the windows: addresses only, borrowed memory, valid during the call. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "bpf/abi.h"

#define SAMPLE_VALUES_MAX 4
#define SAMPLE_COMM_MAX 16
#define SAMPLE_LABELS_MAX 2

struct sample_label {
	const char *key; /* a literal; NULL: none */
	int64_t value;
};

struct sample {
	uint64_t time_ns;          /* CLOCK_BOOTTIME or MONOTONIC of the kernel, already turned into wall time */
	uint32_t pid, tid;         /* as users mean them */
	uint64_t process_start_ns; /* start_boottime: tells a reused PID */
	uint64_t cgroup_id;
	uint32_t cpu;
	uint32_t exe;                 /* file index of mm->exe_file; FILE_NONE for kernel threads */
	char comm[SAMPLE_COMM_MAX];   /* of the process (group leader), NUL-terminated, any bytes */
	char thread[SAMPLE_COMM_MAX]; /* of the thread */
	const uint64_t *kernel;       /* leaf first, raw addresses; never leave in a file */
	size_t n_kernel;
	const struct user_frame *user; /* leaf first */
	size_t n_user;
	const char *truncated; /* NULL: the root was reached; else the reason, as in "[truncated: REASON]" */
	struct sample_label labels[SAMPLE_LABELS_MAX]; /* the source's own */
	int64_t values[SAMPLE_VALUES_MAX];             /* as many as the source has sample types */
};
