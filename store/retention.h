/* What the store forgets, oldest first: by age, by total bytes and by free disk. Ages are told by the store's own clock
 * (store/age.h), so a wall clock that jumps ahead does not empty the store. A row goes before its file: a kill between
 * leaves a file that the next reconciliation finds again. */
#pragma once
#include "store/name.h"
#include "store/store.h"

/* For the sake of free disk nothing younger goes: where somebody else fills the disk, emptying the store is no help. */
#define RETENTION_FREE_KEEPS_NS 3600000000000ll
/* Of what was set aside as corrupt so much is kept for people to look at. */

struct retention_options {
	uint64_t age_ns;      /* 0: no limit */
	uint64_t max_bytes;   /* 0: no limit */
	double min_free_disk; /* fraction of the file system; 0: no limit */
};

struct retention_result {
	uint64_t n_old, n_over, n_full; /* files removed for age, for total bytes, for free disk */
	uint64_t bytes;
	int64_t first_ns, last_ns; /* what they held: from, to */
	uint64_t n_corrupt;        /* removed from STORE/corrupt */
	uint64_t bytes_kept;       /* what is there now, corrupt files and index included */
	bool is_short_of_disk;     /* the disk is fuller than it may be, and nothing old is left to remove */
};

/* -EAGAIN: another process is at it; -ENODATA: the index must be rebuilt first. */
int store_retain(struct store *s, const struct retention_options *options, struct retention_result *ret);
