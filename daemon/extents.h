/* First-fit room in a fixed range of units: which runs of units are free. Used for pages of rows and their slots. */
#pragma once
#include <stdint.h>
#include "base/cleanup.h"

struct extents;

int extents_new(uint32_t n_units, struct extents **ret);
struct extents *extents_free(struct extents *e);
DEFINE_CLEANUP(struct extents *, extents_free)

/* -ENOSPC where no run of n free units is left. */
int extents_take(struct extents *e, uint32_t n, uint32_t *ret_first);
void extents_give(struct extents *e, uint32_t first, uint32_t n);
uint32_t extents_used(const struct extents *e);
uint32_t extents_room(const struct extents *e); /* units in all */
