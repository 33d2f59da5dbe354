#include "daemon/heap_unseen.h"

#include <math.h>

#include "base/cleanup.h"

#define STANDARD_ERRORS 2.0

void heap_unseen_open(struct heap_unseen *u, uint64_t frees)
{
	*u = (struct heap_unseen){ .frees = frees };
}

/* The variance of a Poisson sample's weight: heap_objects_error(). */
void heap_unseen_note(struct heap_unseen *u, double weight)
{
	u->freed += weight;
	u->variance += weight * MAX(weight - 1, 0.0);
}

static double of_window(const struct heap_unseen *u, uint64_t frees)
{
	return (double)(frees - u->frees) - u->freed;
}

bool heap_unseen_frees(const struct heap_unseen *u, uint64_t frees, int64_t *ret, int64_t *ret_error)
{
	double unseen = of_window(u, frees);

	*ret = (int64_t)llrint(unseen);
	*ret_error = (int64_t)llrint(sqrt(u->variance));
	return u->all + unseen > STANDARD_ERRORS * sqrt(u->all_variance + u->variance);
}

void heap_unseen_begin_window(struct heap_unseen *u, uint64_t frees)
{
	u->all += of_window(u, frees);
	u->all_variance += u->variance;
	u->freed = u->variance = 0;
	u->frees = frees;
}
