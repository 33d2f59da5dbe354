/* One process whose memory is known by mapping: view_known FILE. It maps FILE and 24 MiB of private memory and touches
 * all of them, says "ready", and then does what each line of standard input says: a number is how many blocks of 32 KiB
 * to take, a block in two milliseconds. After every 50 of them it prints the time of day in nanoseconds and what it
 * holds; at the end it gives back every second block, so that the others keep the heap from shrinking, and prints the
 * same after "done". */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define BLOCK_BYTES (32 << 10)
#define BLOCKS_MAX (1 << 16)
#define PRIVATE_BYTES (24 << 20)
/* Work between allocations: what probing costs is a small part of it. */
#define FILLS 100

static char *blocks[BLOCKS_MAX];

static void tell(const char *what, size_t held)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	printf("%s%lld %zu\n", what, (long long)ts.tv_sec * 1000000000 + ts.tv_nsec, held);
	(void)fflush(stdout);
}

__attribute__((noinline, noclone)) static char *hold_block(void)
{
	char *p = malloc(BLOCK_BYTES);

	if (!p)
		abort();
	for (int i = 0; i < FILLS; i++) {
		memset(p, i, BLOCK_BYTES);
		__asm__ volatile("" : : "r"(p) : "memory");
	}
	return p;
}

static size_t take(long n, size_t held)
{
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long i = 0; i < n; i++) {
		blocks[i] = hold_block();
		held += BLOCK_BYTES;
		if (i % 50 == 0)
			tell("", held);
		next.tv_nsec += 2000000;
		if (next.tv_nsec >= 1000000000) {
			next.tv_sec++;
			next.tv_nsec -= 1000000000;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	for (long i = 0; i < n; i += 2) {
		free(blocks[i]);
		held -= BLOCK_BYTES;
	}
	tell("done ", held);
	return held;
}

/* Touches each page; reads where it may not write. */
static int map(int fd, size_t size, int protection)
{
	volatile char *p = mmap(NULL, size, protection, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	if (p == MAP_FAILED)
		return -1;
	for (size_t i = 0; i < size; i += 4096)
		if (protection & PROT_WRITE)
			p[i] = 1;
		else
			(void)p[i];
	return 0;
}

int main(int argc, char **argv)
{
	int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;
	char line[64];
	size_t held = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || map(fd, (size_t)st.st_size, PROT_READ) < 0 ||
	        map(-1, PRIVATE_BYTES, PROT_READ | PROT_WRITE) < 0) {
		fprintf(stderr, "usage: view_known FILE\n");
		return 2;
	}
	printf("ready\n");
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		long n = strtol(line, NULL, 10);

		if (n > 0 && n <= BLOCKS_MAX)
			held = take(n, held);
	}
	return 0;
}
