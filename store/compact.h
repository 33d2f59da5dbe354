/* Old windows become hours, old hours become days: one file in place of many, every total and label exact but for the
 * label "tid", which is dropped. A reader sees what was there before or the merged file, never both or neither:
 *
 *	1. the merged file is written, synced and named; its trailer says which files, by name, size and hash, it holds
 *	2. in one transaction the index gets its row and loses theirs
 *	3. they are unlinked
 *
 * A kill after 1 leaves a file that the index does not know (the old ones still answer), after 2 files that it does not
 * know (the new one answers); what is found of either at the next start is told apart by the trailer and made good
 * (store/rebuild.h). A reader who holds the old list finds a file gone, and asks again. */
#pragma once
#include "store/corrupt.h"
#include "store/name.h"
#include "store/rebuild.h"
#include "store/store.h"

#define COMPACT_HOUR_AFTER_S (5 * 60)    /* after its end, for windows that come late */
#define COMPACT_DAY_AFTER_S (14 * 86400) /* so long hours stay hours, so that an hour can be asked for */
#define COMPACT_DAY_EARLY_S (48 * 3600)  /* the same where room is short: a day takes a fifth of its hours */
#define COMPACT_BYTES_MAX (512ull << 20) /* memory of one merged profile */

struct compact_options {
	int64_t now_ns; /* 0: the clock's */
	bool no_days;
	bool is_short_of_room;                 /* days after COMPACT_DAY_EARLY_S */
	const struct store_progress *progress; /* done: files merged */
};

struct compact_result {
	uint64_t n_merged[STORE_LEVELS]; /* files that came into being at each level */
	uint64_t n_files;                /* files they took the place of */
	uint64_t bytes_before, bytes_after;
	struct corrupt corrupt; /* set aside */
};

/* Everything that is ripe. -EAGAIN: another process is at it; -ENODATA: the index must be rebuilt first. -ENOSPC and
 * the like leave everything as it was, but for what had been merged before. */
int store_compact(struct store *s, const struct compact_options *options, struct compact_result *ret);
