/* CPU shares known by construction: every spin_* runs the same loop body of dependent multiplications, so its share of
 * the time is its share of the rounds. Built without frame pointers, so the unwinder is put to work too.
 *
 * shares ROUNDS [THREADS] [PROCESSES]: spin_a 50 %, spin_b 30 %, spin_c 15 %, spin_d 5 %, in each thread of each
 * process. Prints "rounds done" at the end. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS 200000 /* of one unit: well under a sampling period, so that no order of calls can alias with it */
#define THREADS_MAX 64

static unsigned long rounds;

#define SPIN(name)                                                                                                     \
	__attribute__((noinline, noclone, aligned(64))) static uint64_t name(uint64_t x, unsigned units)               \
	{                                                                                                              \
		for (unsigned long i = 0; i < (unsigned long)units * STEPS; i++) {                                     \
			x = x * 6364136223846793005u + 1442695040888963407u;                                           \
			__asm__ volatile("/* " #name " */" : "+r"(x)); /* not one body for all four */                 \
		}                                                                                                      \
		return x;                                                                                              \
	}

SPIN(spin_a)
SPIN(spin_b)
SPIN(spin_c)
SPIN(spin_d)

/* Two levels more, so that the middle of each stack is known: work <- round_of_work <- spin_x. */
__attribute__((noinline, noclone)) static uint64_t round_of_work(uint64_t x)
{
	x = spin_a(x, 10);
	x = spin_b(x, 6);
	x = spin_c(x, 3);
	x = spin_d(x, 1);
	__asm__ volatile("" : "+r"(x));
	return x;
}

static void *work(void *arg)
{
	uint64_t x = (uint64_t)(uintptr_t)arg + 1;

	for (unsigned long i = 0; i < rounds; i++)
		x = round_of_work(x);
	return (void *)(uintptr_t)x;
}

static void run_threads(int n)
{
	pthread_t threads[THREADS_MAX];

	for (int i = 1; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) != 0)
			abort();
	(void)work(NULL);
	for (int i = 1; i < n; i++)
		(void)pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
	int processes = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 1;

	rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
	if (threads < 1 || threads > THREADS_MAX || processes < 1 || processes > 64) {
		fprintf(stderr, "usage: shares ROUNDS [THREADS] [PROCESSES]\n");
		return 2;
	}
	for (int i = 1; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0) {
			run_threads(threads);
			return 0;
		}
	}
	run_threads(threads);
	while (wait(NULL) > 0)
		;
	puts("rounds done");
	return 0;
}
