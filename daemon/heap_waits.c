#include "daemon/heap_waits.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"

/* As it was the last time; NULL: it was not there. Mostly in the same order. */
static const struct proc_thread *before(const struct heap_waits *w, const struct proc_thread *t, size_t at)
{
	if (at < w->n && w->threads[at].tid == t->tid)
		return &w->threads[at];
	for (size_t i = 0; i < w->n; i++)
		if (w->threads[i].tid == t->tid)
			return &w->threads[i];
	return NULL;
}

static double longer(double ran, double waited, double elapsed)
{
	double wanted = elapsed - waited <= ran ? 1 : ran / (elapsed - waited);

	return ran > 0 ? MAX(wanted * elapsed - ran, 0.0) : 0;
}

uint64_t heap_waits_follow(
        struct heap_waits *w, const struct proc_thread *threads, size_t n, uint64_t since_ns, uint64_t now_ns)
{
	const struct proc_thread none = { 0 };
	bool is_first = w->at_ns == 0;
	double elapsed = (double)(now_ns - (is_first ? since_ns : w->at_ns)), sum = 0;

	assert(n <= HEAP_WAITS_THREADS_MAX);

	for (size_t i = 0; i < n; i++) {
		const struct proc_thread *t = &threads[i], *b = is_first ? &none : before(w, t, i);

		if (b && t->ran_ns >= b->ran_ns && t->waited_ns >= b->waited_ns)
			sum += longer((double)(t->ran_ns - b->ran_ns), (double)(t->waited_ns - b->waited_ns), elapsed);
	}
	memcpy(w->threads, threads, n * sizeof(*threads));
	w->n = n;
	w->at_ns = now_ns;
	return (uint64_t)sum;
}
