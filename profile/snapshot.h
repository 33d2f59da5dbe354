/* Values that say how much there is, not how much there was: "inuse_space", "resident". Each window states them anew,
 * so windows that are merged add up to so many times as much. Files keep the sums, which are exact and can be merged
 * further; the ledger keeps how many windows they are of (LEDGER_WINDOWS). What is shown to a person is the average. */
#pragma once
#include <stdbool.h>
#include "profile/profile.h"

/* By the names that pprof and this project give such sample types: "inuse_..." and "resident...". */
bool snapshot_is(const char *sample_type);
/* Divides the values of such types by the number of windows, rounded to the nearest. Nothing where that is not known.
 */
void snapshot_average(struct profile *p);
