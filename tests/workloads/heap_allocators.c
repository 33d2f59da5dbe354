/* Each way to allocate, with a known answer, linked to whatever allocator a test chooses: heap_allocators SECONDS. Each
 * place allocates in its turn, some 2,000 times a second of CPU time in all; a fifth of it stays, the rest is freed
 * soon. Prints by place:
 *
 *   NAME alloc_objects alloc_bytes inuse_bytes
 *
 * PREFIX, where it is defined, stands before each function's name. It builds as C and as C++, which adds operators. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
#include <new>
extern "C" {
#endif
#ifdef PREFIX
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define F(name) JOIN(PREFIX, name)
void *F(malloc)(size_t);
void *F(calloc)(size_t, size_t);
void *F(realloc)(void *, size_t);
void *F(aligned_alloc)(size_t, size_t);
void *F(memalign)(size_t, size_t);
void *F(valloc)(size_t);
int F(posix_memalign)(void **, size_t, size_t);
void F(free)(void *);
#else
#define F(name) name
void *reallocarray(void *, size_t, size_t);
void *valloc(size_t);
#endif
#ifdef __cplusplus
}
#endif

#define RATE 2000
#define SOON 8
#define NOINLINE __attribute__((noinline, noclone))

struct block {
	void *p;
	size_t size;
	int is_new; /* 1: operator, 2: array */
};

struct place {
	const char *name;
	void (*allocate)(struct place *, struct block *, size_t size);
	size_t size_max;
	unsigned every; /* rounds */
	uint64_t objects, bytes, in_use, turns;
	struct block soon[SOON];
};

static void count(struct place *p, struct block *b, void *memory, size_t size)
{
	if (!memory)
		abort();
	*(volatile char *)memory = 1;
	p->objects++;
	p->bytes += size;
	p->in_use += size;
	b->p = memory;
	b->size = size;
}

static void give_back(struct place *p, struct block *b)
{
	p->in_use -= b->size;
#ifdef __cplusplus
	if (b->is_new == 1)
		::operator delete(b->p);
	else if (b->is_new == 2)
		::operator delete[](b->p);
	else
#endif
		F(free)(b->p);
	memset(b, 0, sizeof(*b));
}

static NOINLINE void by_malloc(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(malloc)(size), size);
}

static NOINLINE void by_mapping(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(malloc)(size + (256 << 10)), size + (256 << 10));
}

static NOINLINE void by_calloc(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(calloc)(8, size / 8), size / 8 * 8);
}

/* From nothing, then a little more, which mostly goes in place, then a lot, which does not. */
static NOINLINE void by_realloc(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(realloc)(NULL, size), size);
	p->in_use -= b->size;
	count(p, b, F(realloc)(b->p, size + 16), size + 16);
	p->in_use -= b->size;
	count(p, b, F(realloc)(b->p, size * 3), size * 3);
}

static NOINLINE void by_aligned_alloc(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(aligned_alloc)(64, size / 64 * 64 + 64), size / 64 * 64 + 64);
}

static NOINLINE void by_posix_memalign(struct place *p, struct block *b, size_t size)
{
	void *memory = NULL;

	if (F(posix_memalign)(&memory, 256, size) != 0)
		abort();
	count(p, b, memory, size);
}

static NOINLINE void by_memalign(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(memalign)(128, size), size);
}

static NOINLINE void by_small_alignment(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(memalign)(8, size), size);
}

static NOINLINE void by_valloc(struct place *p, struct block *b, size_t size)
{
	count(p, b, F(valloc)(size), size);
}

#ifndef PREFIX
static NOINLINE void by_reallocarray(struct place *p, struct block *b, size_t size)
{
	count(p, b, reallocarray(NULL, 4, size / 4), size / 4 * 4);
}
#endif

#ifdef __cplusplus
static NOINLINE void by_new(struct place *p, struct block *b, size_t size)
{
	count(p, b, ::operator new(size), size);
	b->is_new = 1;
}

static NOINLINE void by_new_array(struct place *p, struct block *b, size_t size)
{
	count(p, b, ::operator new[](size), size);
	b->is_new = 2;
}
#endif

static struct place places[] = {
	{ "by_malloc", by_malloc, 8192, 1 },
	{ "by_mapping", by_mapping, 65536, 32 },
	{ "by_calloc", by_calloc, 8192, 1 },
	{ "by_realloc", by_realloc, 2048, 1 },
	{ "by_aligned_alloc", by_aligned_alloc, 8192, 1 },
	{ "by_posix_memalign", by_posix_memalign, 8192, 1 },
	{ "by_memalign", by_memalign, 8192, 1 },
	{ "by_small_alignment", by_small_alignment, 8192, 1 },
	{ "by_valloc", by_valloc, 8192, 1 },
#ifndef PREFIX
	{ "by_reallocarray", by_reallocarray, 8192, 1 },
#endif
#ifdef __cplusplus
	{ "by_new", by_new, 8192, 1 },
	{ "by_new_array", by_new_array, 8192, 1 },
#endif
};

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint32_t next(void)
{
	static uint32_t x = 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

static void take_turn(struct place *p)
{
	struct block b = { 0 }, *old = &p->soon[p->turns % SOON];

	if (p->turns++ % p->every != 0)
		return;
	p->allocate(p, &b, 256 + next() % (p->size_max - 256));
	if (next() % 5 == 0)
		return; /* stays */
	old = &p->soon[p->turns / p->every % SOON];
	if (old->p)
		give_back(p, old);
	*old = b;
}

int main(int argc, char **argv)
{
	const unsigned n = sizeof(places) / sizeof(places[0]);
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 2, begin;
	uint64_t done = 0;

	usleep(500000); /* probes come in */
	begin = cpu_seconds();
	for (double t; (t = cpu_seconds() - begin) < seconds;) {
		if ((double)done >= t * RATE)
			continue;
		take_turn(&places[done++ % n]);
	}
	for (unsigned i = 0; i < n; i++)
		printf("%s %llu %llu %llu\n", places[i].name, (unsigned long long)places[i].objects,
		        (unsigned long long)places[i].bytes, (unsigned long long)places[i].in_use);
	return 0;
}
