/* What a process has mapped and what of it is in memory, by kind of mapping: /proc/PID/smaps. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"

enum smaps_kind {
	SMAPS_HEAP,      /* what brk gave */
	SMAPS_ANONYMOUS, /* mmap without a file: an allocator's, threads' stacks */
	SMAPS_STACK,     /* of the first thread */
	SMAPS_SHARED,    /* memory shared with others: /dev/shm, memfd, System V */
	SMAPS_FILE,
	SMAPS_KERNEL, /* vDSO and the like */
	SMAPS_KINDS,
};
const char *smaps_kind_name(enum smaps_kind kind); /* "heap", "anonymous", ... */

struct smaps_bytes {
	uint64_t mapped, resident, private, swapped;
	uint64_t mappings; /* how many */
};

#define SMAPS_FILES_MAX 16384u

/* One file, or all mappings of another kind. */
struct smaps_group {
	enum smaps_kind kind;
	char *name; /* path, "[heap]", "anonymous", ...; any bytes */
	struct smaps_bytes bytes;
};

struct smaps {
	struct smaps_group *groups; /* most resident first */
	size_t n;
	struct smaps_bytes all, of[SMAPS_KINDS];
};

/* -ESRCH; -EACCES, -EPERM: not ours to look at; -E2BIG: SMAPS_FILES_MAX. ret is filled only on success. */
int smaps_read(pid_t pid, struct smaps *ret);
void smaps_done(struct smaps *s);
