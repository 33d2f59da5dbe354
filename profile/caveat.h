/* What a reader should know of a profile's numbers, in words: the one table of them, by the lines of the ledger that
 * say so. For the line above a table, flame graphs and what a recording says of itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "profile/profile.h"

#define CAVEAT_TEXT_MAX 96

/* So many at first are of any source, the rest what a source has to say besides. */
#define CAVEATS_OF_ALL 4

/* The next one from *at on, which is 0 at first, or CAVEATS_OF_ALL: "1,234 samples lost". False: there is no more. */
bool caveat_next(const struct profile *p, size_t *at, char text[CAVEAT_TEXT_MAX]);
