/* Memory whose toucher is known: memory_known SECONDS. hold_mapped() keeps 96 MiB of private memory, hold_malloced() 32
 * MiB in small blocks, churn_cache() keeps a cache of 64 MiB turning over, drop_later() touches 48 MiB and gives it
 * back after a second, and grow_table() leaks 1 MiB a second (a tenth each 100 ms). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MIB ((size_t)1 << 20)
#define CACHE_SLOTS 1024
#define CACHE_BLOCK (64 * 1024)

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

/* The touching is inlined, so each of these is a leaf of its own. */
static inline __attribute__((always_inline)) void touch(volatile char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 1;
}

__attribute__((noinline, noclone)) static void *hold_mapped(size_t bytes)
{
	char *p = map(bytes);

	touch(p, bytes);
	__asm__ volatile("" ::: "memory");
	return p;
}

__attribute__((noinline, noclone)) static void hold_malloced(size_t bytes)
{
	for (size_t done = 0; done < bytes; done += 1024) {
		char *p = malloc(1000);

		if (!p)
			abort();
		p[0] = p[999] = 1;
		__asm__ volatile("" : : "r"(p) : "memory");
	}
}

__attribute__((noinline, noclone)) static void churn_cache(unsigned round)
{
	static char *slots[CACHE_SLOTS];

	for (unsigned i = round % 10; i < CACHE_SLOTS; i += 10) {
		if (slots[i])
			munmap(slots[i], CACHE_BLOCK);
		slots[i] = map(CACHE_BLOCK);
		touch(slots[i], CACHE_BLOCK);
	}
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline, noclone)) static void *drop_later(size_t bytes)
{
	char *p = map(bytes);

	touch(p, bytes);
	__asm__ volatile("" ::: "memory");
	return p;
}

__attribute__((noinline, noclone)) static void grow_table(void)
{
	char *p = map(MIB / 10 / 4096 * 4096);

	touch(p, MIB / 10 / 4096 * 4096);
	__asm__ volatile("" : : "r"(p) : "memory");
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 5;
	void *dropped = drop_later(48 * MIB);

	hold_mapped(96 * MIB);
	hold_malloced(32 * MIB);
	for (unsigned round = 0; round < seconds * 10; round++) {
		churn_cache(round);
		grow_table();
		if (round == 10)
			munmap(dropped, 48 * MIB);
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	return 0;
}
