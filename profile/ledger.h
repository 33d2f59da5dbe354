/* The ledger of a profile: what was lost, cut, held back and paid for it, as comments "emberd.NAME=NUMBER". Comments of
 * any other form are free text and none of this file's business.
 *
 * Merging adds numbers up, except rates: NAME "rate_hz" keeps the lowest rate that was in force, and where another one
 * was, "rate_hz_max" the highest. Names that end in "_min" or "_max" keep the least and the greatest. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "profile/profile.h"

#define LEDGER_LOST "lost"                 /* samples that never reached user space */
#define LEDGER_TRUNCATED "truncated"       /* stacks that did not reach their root */
#define LEDGER_THROTTLED "throttled"       /* samples not taken to stay inside the budget */
#define LEDGER_RATE_HZ "rate_hz"           /* in force */
#define LEDGER_COST_CPU_NS "cost_cpu_ns"   /* of the profiler itself */
#define LEDGER_WINDOWS "windows"           /* that were merged into this profile; 1 in each (profile/snapshot.h) */
#define LEDGER_UNSYMBOLIZED "unsymbolized" /* user frames without a name */

#define LEDGER_NAME_MAX 48
#define LEDGER_LINES_KEPT 128 /* of PROFILE_COMMENTS_MAX that free text may not take when profiles are merged */
/* Memory that merging one comment may take beside its text. */
#define LEDGER_MERGE_BYTES 128

/* -ENOENT where the ledger has no such line. */
int ledger_get(const struct profile *p, const char *name, int64_t *ret);
/* -EINVAL: the name is empty, longer than LEDGER_NAME_MAX or not of [A-Za-z0-9_.:-]. */
int ledger_set(struct profile *p, const char *name, int64_t value);
int ledger_add(struct profile *p, const char *name, int64_t value); /* saturating */

/* Takes a comment of another profile: a ledger line by the rules above, free text once; where
 * there is no room, it is left out and counted as "comments_dropped". */
int ledger_merge_comment(struct profile *p, const char *text, size_t size);
/* All comments of src. */
int ledger_merge(struct profile *p, const struct profile *src);

/* Reads "emberd.NAME=NUMBER". -EBADMSG where text is no such line. */
int ledger_parse(const char *text, size_t size, char ret_name[LEDGER_NAME_MAX + 1], int64_t *ret_value);
