/* Processes that live a given time: spawns RATE a second for SECONDS, each an exec of this file that spins for SPIN_MS
 * of CPU time in brief_life(). shortlived SECONDS RATE SPIN_MS; prints how many were started. */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static volatile uint64_t sink;

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

__attribute__((noinline, noclone)) static void brief_life(double ms)
{
	double end = now(CLOCK_PROCESS_CPUTIME_ID) + ms / 1e3;

	while (now(CLOCK_PROCESS_CPUTIME_ID) < end)
		for (unsigned i = 0; i < 20000; i++)
			sink = sink * 6364136223846793005u + 1;
}

static int spawn_one(char *ms)
{
	char *args[] = { "brief", "--live", ms, NULL };
	pid_t pid;

	return posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ);
}

int main(int argc, char **argv)
{
	unsigned long started = 0;
	double begin, rate, seconds;

	if (argc == 3 && strcmp(argv[1], "--live") == 0) {
		brief_life(strtod(argv[2], NULL));
		return 0;
	}
	if (argc != 4) {
		fprintf(stderr, "usage: shortlived SECONDS RATE SPIN_MS\n");
		return 2;
	}
	seconds = strtod(argv[1], NULL);
	rate = strtod(argv[2], NULL);
	begin = now(CLOCK_MONOTONIC);
	for (double t; (t = now(CLOCK_MONOTONIC) - begin) < seconds;) {
		while ((double)started < t * rate && spawn_one(argv[3]) == 0)
			started++;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
	while (wait(NULL) > 0)
		;
	printf("%lu\n", started);
	return 0;
}
