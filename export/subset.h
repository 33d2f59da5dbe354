/* Some samples of a profile as a profile of their own, with only the labels that are asked for. */
#pragma once
#include <stdint.h>
#include "profile/profile.h"

/* keep: label keys, NULL at the end; NULL: none. Samples that differ in nothing else become one. */
int subset_make(
        const struct profile *p, const uint32_t *samples, uint32_t n, const char *const *keep, struct profile **ret);
