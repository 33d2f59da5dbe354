#include "profile/leak_unseen.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Who frees so much of what it allocates is like a cache. */
#define TURNOVER 0.5
#define STANDARD_ERRORS 2.0

struct series {
	uint32_t process;
	uint32_t windows; /* the last one it was in, and the ones before */
	double first, held, allocated;
};

struct process {
	uint32_t windows;
	double frees, variance;
	uint64_t *gaps; /* a bit for each window */
	size_t n_gaps;  /* words */
	uint32_t first; /* window that is none: all before it are */
};

struct leak_unseen {
	struct series *series;
	struct process *processes;
	size_t n_series, n_processes;
};

int leak_unseen_new(struct leak_unseen **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct leak_unseen *leak_unseen_free(struct leak_unseen *u)
{
	if (!u)
		return NULL;
	for (size_t i = 0; i < u->n_processes; i++)
		free(u->processes[i].gaps);
	free(u->series);
	free(u->processes);
	free(u);
	return NULL;
}

/* Room for element i of an array whose elements begin as zeros. */
static int reach(void **array, size_t *n, size_t i, size_t element)
{
	size_t more = i + i / 2 + 64;
	char *bigger;

	if (i < *n)
		return 0;
	bigger = reallocarray(*array, more, element);
	if (!bigger)
		return -ENOMEM;
	memset(bigger + *n * element, 0, (more - *n) * element);
	*array = bigger;
	*n = more;
	return 0;
}

int leak_unseen_add_gap(struct leak_unseen *u, uint32_t process, uint32_t window)
{
	int r = reach((void **)&u->processes, &u->n_processes, process, sizeof(*u->processes));
	struct process *p;

	if (r < 0)
		return r;
	p = &u->processes[process];
	r = reach((void **)&p->gaps, &p->n_gaps, window / 64, sizeof(*p->gaps));
	if (r < 0)
		return r;
	p->gaps[window / 64] |= 1ull << window % 64;
	p->first += window == p->first;
	return 0;
}

bool leak_unseen_is_gap(const struct leak_unseen *u, uint32_t process, uint32_t window)
{
	const struct process *p = process < u->n_processes ? &u->processes[process] : NULL;

	return p && window / 64 < p->n_gaps && p->gaps[window / 64] >> window % 64 & 1;
}

static uint32_t first_of(const struct leak_unseen *u, uint32_t process)
{
	return process < u->n_processes ? u->processes[process].first : 0;
}

static uint32_t last_of(const struct leak_unseen *u, uint32_t process, uint32_t window)
{
	while (window > 0 && leak_unseen_is_gap(u, process, window))
		window--;
	return window;
}

int leak_unseen_note(struct leak_unseen *u, uint32_t process, uint32_t window, int64_t frees, int64_t error)
{
	int r = reach((void **)&u->processes, &u->n_processes, process, sizeof(*u->processes));
	struct process *p;

	if (r < 0)
		return r;
	p = &u->processes[process];
	if (window == first_of(u, process) || p->windows == window + 1) /* growth counts from the end of the first */
		return 0;
	p->windows = window + 1;
	p->frees += (double)frees;
	p->variance += (double)error * (double)error;
	return 0;
}

int leak_unseen_add(
        struct leak_unseen *u, uint32_t process, uint32_t window, uint32_t series, int64_t held, int64_t allocated)
{
	int r = reach((void **)&u->series, &u->n_series, series, sizeof(*u->series));
	struct series *s;

	if (r < 0)
		return r;
	s = &u->series[series];
	if (s->windows != window + 1)
		s->held = 0;
	s->held += (double)held;
	s->process = process;
	s->windows = window + 1;
	if (window == first_of(u, process))
		s->first = s->held;
	else
		s->allocated += (double)allocated;
	return 0;
}

/* Of a process. */
static double unseen(const struct leak_unseen *u, uint32_t process, double *ret_error)
{
	const struct process none = { 0 }, *p = process < u->n_processes ? &u->processes[process] : &none;

	*ret_error = sqrt(p->variance);
	return p->frees > STANDARD_ERRORS * *ret_error ? p->frees : 0;
}

struct growth {
	uint32_t series, process;
	double objects, turnover;
};

static int compare(const void *a, const void *b)
{
	const struct growth *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return (x->turnover < y->turnover) - (x->turnover > y->turnover);
}

static size_t growing(const struct leak_unseen *u, uint32_t last_window, size_t n, struct growth *ret)
{
	size_t found = 0;

	for (size_t i = 0; i < MIN(n, u->n_series); i++) {
		const struct series *s = &u->series[i];
		double objects = s->windows == last_of(u, s->process, last_window) + 1 ? s->held - s->first : 0, error;

		if (objects > 0 && unseen(u, s->process, &error) > 0)
			ret[found++] = (struct growth){ (uint32_t)i, s->process, objects,
				s->allocated > 0 ? 1 - objects / s->allocated : 0 };
	}
	return found;
}

int leak_unseen_explain(const struct leak_unseen *u, uint32_t last_window, double *ret, size_t n)
{
	_cleanup_free_ struct growth *g = calloc(MAX(n, (size_t)1), sizeof(*g));
	double left = 0, error = 0;
	size_t found;

	if (!g)
		return -ENOMEM;
	memset(ret, 0, n * sizeof(*ret));
	found = growing(u, last_window, n, g);
	qsort(g, found, sizeof(*g), compare);
	for (size_t i = 0; i < found; i++) {
		double taken;

		if (i == 0 || g[i].process != g[i - 1].process)
			left = unseen(u, g[i].process, &error);
		taken = left > STANDARD_ERRORS * error ? MIN(left, g[i].objects) : 0;
		ret[g[i].series] = taken / g[i].objects;
		if (g[i].turnover >= TURNOVER)
			left -= taken;
	}
	return 0;
}
