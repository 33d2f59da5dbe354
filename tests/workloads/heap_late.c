/* An allocator that comes late: heap_late WAIT LIBRARY [ROUNDS]. Waits for WAIT seconds, opens LIBRARY, and has its
 * function late_alloc(size) make 20,000 blocks of 1,024 bytes in 4 seconds of CPU time, of which every fourth stays.
 * With ROUNDS it opens and closes the library so often instead, with a few blocks in each. Prints:
 *
 *   late_caller objects bytes inuse_bytes */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef void *(*alloc_t)(size_t);
typedef void (*free_t)(void *);

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

__attribute__((noinline, noclone)) static void *late_caller(alloc_t alloc, size_t size)
{
	void *p = alloc(size);

	if (!p)
		abort();
	*(volatile char *)p = 1;
	return p;
}

static void *open_library(const char *path, alloc_t *alloc, free_t *release)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		(void)fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*alloc = (alloc_t)dlsym(library, "late_alloc");
	*release = (free_t)dlsym(library, "late_free");
	if (!*alloc || !*release)
		exit(1);
	return library;
}

int main(int argc, char **argv)
{
	unsigned long objects = 0, bytes = 0, in_use = 0;
	alloc_t alloc;
	free_t release;

	if (argc < 3)
		return 2;
	for (int i = 0; argc > 3 && i < atoi(argv[3]); i++) {
		void *library = open_library(argv[2], &alloc, &release);

		for (int k = 0; k < 100; k++)
			release(late_caller(alloc, 1024));
		dlclose(library);
	}
	if (argc > 3)
		return 0;
	usleep((useconds_t)(strtod(argv[1], NULL) * 1e6));
	(void)open_library(argv[2], &alloc, &release);
	usleep(500000); /* as a test allows the scan to take */
	for (double begin = cpu_seconds(), t; (t = cpu_seconds() - begin) < 4;) {
		void *p;

		if ((double)objects >= t * 5000)
			continue;
		p = late_caller(alloc, 1024);
		objects++;
		bytes += 1024;
		in_use += 1024;
		if (objects % 4 == 0)
			continue;
		release(p);
		in_use -= 1024;
	}
	(void)printf("late_caller %lu %lu %lu\n", objects, bytes, in_use);
	return 0;
}
