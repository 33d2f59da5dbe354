#include "daemon/extents.h"

#include <assert.h>
#include <stdbool.h>

struct extents {
	uint32_t n, used, hint; /* no free unit below hint */
	uint64_t taken[];       /* bit map */
};

static bool is_taken(const struct extents *e, uint32_t unit)
{
	return e->taken[unit / 64] >> (unit % 64) & 1;
}

static void mark(struct extents *e, uint32_t first, uint32_t n, bool taken)
{
	for (uint32_t unit = first; unit < first + n; unit++) {
		uint64_t bit = 1ull << (unit % 64);

		assert(is_taken(e, unit) != taken);
		if (taken)
			e->taken[unit / 64] |= bit;
		else
			e->taken[unit / 64] &= ~bit;
	}
}

int extents_new(uint32_t n_units, struct extents **ret)
{
	struct extents *e = calloc(1, sizeof(*e) + ((size_t)n_units + 63) / 64 * sizeof(uint64_t));

	if (!e)
		return -ENOMEM;
	e->n = n_units;
	*ret = e;
	return 0;
}

struct extents *extents_free(struct extents *e)
{
	free(e);
	return NULL;
}

int extents_take(struct extents *e, uint32_t n, uint32_t *ret_first)
{
	uint32_t run = 0;
	bool skipped = false;

	assert(n > 0);
	for (uint32_t unit = e->hint; unit < e->n; unit++) {
		if (unit % 64 == 0 && e->taken[unit / 64] == UINT64_MAX) {
			unit += 63;
			run = 0;
			continue;
		}
		run = is_taken(e, unit) ? 0 : run + 1;
		if (run == 1 && !skipped) {
			e->hint = unit;
			skipped = true;
		}
		if (run < n)
			continue;
		*ret_first = unit + 1 - n;
		mark(e, *ret_first, n, true);
		e->used += n;
		return 0;
	}
	return -ENOSPC;
}

void extents_give(struct extents *e, uint32_t first, uint32_t n)
{
	assert(first <= e->n && n <= e->n - first);
	mark(e, first, n, false);
	e->used -= n;
	if (first < e->hint)
		e->hint = first;
}

uint32_t extents_used(const struct extents *e)
{
	return e->used;
}

uint32_t extents_room(const struct extents *e)
{
	return e->n;
}
