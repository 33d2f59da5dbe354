/* Allocations that are known: heap_known SECONDS RATE THREADS [PAUSE]. Each thread allocates RATE times a second (0: as
 * fast as it can) from four places, whose shares of the bytes are known by construction; a part of each is freed at
 * once, a part after 10 s (not as fast as it can), a part never (up to NEVER_MAX objects a thread). Prints what was
 * really allocated and what is still there, by place:
 *
 *   NAME alloc_objects alloc_bytes inuse_bytes
 *
 * and then sleeps for PAUSE seconds, so that it can still be looked at. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEPT_MAX (1 << 16)
#define NEVER_MAX (1 << 14)
#define LATER_NS 10000000000ull

struct place {
	const char *name;
	_Atomic uint64_t objects, bytes, in_use;
};

static struct place places[] = { { .name = "small_strings" }, { .name = "medium_buffers" }, { .name = "big_blocks" },
	{ .name = "leaky_records" } };
static double seconds;
static unsigned long rate;

struct kept {
	void *p;
	size_t size;
	struct place *place;
	uint64_t at;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static uint32_t next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

#define PLACE(name, index, allocation)                                                                                 \
	__attribute__((noinline, noclone)) static void *name(size_t size)                                              \
	{                                                                                                              \
		void *p = allocation;                                                                                  \
                                                                                                                       \
		if (!p)                                                                                                \
			abort();                                                                                       \
		*(volatile char *)p = 1;                                                                               \
		atomic_fetch_add(&places[index].objects, 1);                                                           \
		atomic_fetch_add(&places[index].bytes, size);                                                          \
		atomic_fetch_add(&places[index].in_use, size);                                                         \
		return p;                                                                                              \
	}

PLACE(small_strings, 0, malloc(size))
PLACE(medium_buffers, 1, calloc(1, size))
PLACE(big_blocks, 2, realloc(NULL, size))
PLACE(leaky_records, 3, malloc(size))

static void give_back(struct kept *k)
{
	atomic_fetch_sub(&k->place->in_use, k->size);
	free(k->p);
	k->p = NULL;
}

static struct kept allocate(uint32_t *x)
{
	uint32_t dice = next(x) % 1000;
	struct kept k = { .at = now_ns() };

	if (dice < 700) {
		k.size = 16 + next(x) % 240;
		k.place = &places[0];
		k.p = small_strings(k.size);
	} else if (dice < 985) {
		k.size = 1024 + next(x) % 31744;
		k.place = &places[1];
		k.p = medium_buffers(k.size);
	} else if (dice < 986) {
		k.size = (1 << 20) + next(x) % (7 << 20);
		k.place = &places[2];
		k.p = big_blocks(k.size);
	} else {
		k.size = 1 << 16;
		k.place = &places[3];
		k.p = leaky_records(k.size);
	}
	return k;
}

static void *work(void *arg)
{
	struct kept *later = calloc(KEPT_MAX, sizeof(*later));
	uint64_t begin = now_ns(), done = 0, first = 0, last = 0, never = 0;
	uint32_t x = 2463534242u + (uint32_t)(uintptr_t)arg * 77777u;

	for (uint64_t t; (t = now_ns() - begin) < (uint64_t)(seconds * 1e9);) {
		if (rate && done >= t / 1e9 * (double)rate) {
			nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
			continue;
		}
		struct kept k = allocate(&x);

		done++;
		for (; first < last && now_ns() - later[first % KEPT_MAX].at > LATER_NS; first++)
			give_back(&later[first % KEPT_MAX]);
		if (k.place == &places[3] && never < NEVER_MAX) {
			never++;
			continue;
		}
		if (rate && done % 10 == 0 && last - first < KEPT_MAX)
			later[last++ % KEPT_MAX] = k;
		else
			give_back(&k);
	}
	for (; first < last; first++)
		give_back(&later[first % KEPT_MAX]);
	free(later);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	int n = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 1;

	if (argc < 4 || n < 1 || n > 64) {
		fprintf(stderr, "usage: heap_known SECONDS RATE THREADS [PAUSE]\n");
		return 2;
	}
	seconds = strtod(argv[1], NULL);
	rate = strtoul(argv[2], NULL, 10);
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) != 0)
			return 1;
	for (int i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		printf("%s %llu %llu %llu\n", places[i].name, (unsigned long long)places[i].objects,
		        (unsigned long long)places[i].bytes, (unsigned long long)places[i].in_use);
	fflush(stdout);
	if (argc > 4)
		sleep((unsigned)strtoul(argv[4], NULL, 10));
	return 0;
}
