/* Which files a selection means, before any of them is opened.
 *
 * A window counts where its start lies in [from, to). A merged file counts as a whole: where its middle lies in the
 * range, or where it holds all of the range; so ranges side by side never count a file twice unless both lie in it.
 * What is held of the range by each end is told, and what of it sticks out (struct plan). */
#pragma once
#include "store/handle.h"
#include "store/name.h"
#include "store/selection.h"

/* With its path some 100 bytes a file. */
struct plan_file {
	const char *path; /* the plan's */
	int64_t start_ns, end_ns;
	uint64_t bytes, raw_bytes; /* raw: 0 where only the name is known */
	uint32_t level;
};

struct plan {
	struct plan_file *files;
	size_t n, room;
	struct plan_block *blocks;   /* paths */
	bool has_index;              /* false: told by names alone */
	uint64_t n_passed_over;      /* labels say that nothing in it can match */
	uint64_t n_of[STORE_LEVELS]; /* files that count */
	int64_t first_ns, last_ns;   /* what they hold together: start of the first, end of the last */
	uint64_t bytes, raw_bytes;
	uint64_t hash; /* of all paths: the same plan has the same */
};
#define PLAN_FILES_MAX 2000000u
#define PLAN_INIT ((struct plan){ 0 })

/* -E2BIG: more than PLAN_FILES_MAX. Sorted by start. */
int plan_make(struct store *s, const struct selection *sel, struct plan *ret);
void plan_done(struct plan *p);
#define _cleanup_plan_ _cleanup_(plan_done)

/* Of all files the share of [from, to) that is held, in nanoseconds: intervals that overlap count once. */
int64_t plan_duration(const struct plan *p);
