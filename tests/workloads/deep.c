/* Recursion DEPTH deep (400 by default) with a spin at the bottom, without frame pointers: each complete stack has
 * DEPTH frames "descend" between spin_bottom and main. deep SECONDS [DEPTH] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;
static double seconds;

static double cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

__attribute__((noinline, noclone)) static void spin_bottom(void)
{
	double end = cpu_now() + seconds;

	while (cpu_now() < end)
		for (unsigned i = 0; i < 3000000; i++)
			sink = sink * 6364136223846793005u + 1;
}

__attribute__((noinline, noclone)) static int descend(int n)
{
	int r;

	if (n <= 1) {
		spin_bottom();
		return 1;
	}
	r = descend(n - 1) + 1;
	__asm__ volatile("" : "+r"(r)); /* not a tail call */
	return r;
}

int main(int argc, char **argv)
{
	int depth = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 400;

	seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
	printf("%d\n", descend(depth));
	return 0;
}
