/* An allocator that samples by itself and tells of it by USDT, as otel_memory:alloc(user, size, weighted_bytes) and
 * free(user): blocks from the C library, one in SAMPLE told, each as SAMPLE of its size. Built as a shared library with
 * late_alloc() and late_free() for heap_late. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/sdt.h>

#define SAMPLE 7 /* whatever is kept is sampled as often as what is not */

struct header {
	uint64_t is_sampled, padding;
};

void *late_alloc(size_t size);
void late_free(void *p);

__attribute__((noinline)) void *late_alloc(size_t size)
{
	static unsigned n;
	struct header *h = malloc(sizeof(*h) + size);

	if (!h)
		return NULL;
	h->is_sampled = n++ % SAMPLE == 0;
	if (h->is_sampled)
		DTRACE_PROBE3(otel_memory, alloc, h + 1, size, size * SAMPLE);
	return h + 1;
}

__attribute__((noinline)) void late_free(void *p)
{
	struct header *h = (struct header *)p - 1;

	if (h->is_sampled)
		DTRACE_PROBE1(otel_memory, free, p);
	free(h);
}
