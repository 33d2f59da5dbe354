/* A profile in several: the samples are shared out, nothing of them is lost, what they do not reach stays away. */
#pragma once
#include <stdbool.h>
#include "profile/profile.h"

/* A new profile with samples first..first+n of p. Comments (the ledger) go along where with_comments: into one part
 * only, so that the ledgers of all parts add up. */
int split_copy(const struct profile *p, uint32_t first, uint32_t n, bool with_comments, struct profile **ret);

/* The same samples, in order of their stacks from the root, and with them all that they reach: neighbours then have
 * most of their bytes in common, which takes a seventh off the compressed file. */
int split_sorted(const struct profile *p, struct profile **ret);
