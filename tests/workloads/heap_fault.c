/* What a probed program may do to its probes: heap_fault WHAT [N].
 *
 *   steady N    allocates and frees 2,000 times a second for N seconds
 *   exec N      its first thread calls exec N times, then steady 3
 *   texec N     the same by another thread
 *   fork N      N children, which allocate, run on for up to 3 ms and end
 *   many N      N children, which allocate 20 times a second; ends when its standard input does
 *   threads N   N threads that allocate 1,000 blocks of 100 bytes each, after 2 s and little by little
 *   start N     the same from the beginning
 *   keep N      2 children that keep N blocks each, one in 500 us of CPU time; ends when both have them
 *
 * Exits 0 when all went well for it and for its children. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **arguments;

static void rest_us(long us)
{
	const struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	(void)nanosleep(&ts, NULL);
}

__attribute__((noinline, noclone)) static void *block(size_t size)
{
	void *p = malloc(size);

	if (!p)
		abort();
	memset(p, 0x5a, size);
	return p;
}

static int steady(long seconds)
{
	for (long i = 0; i < seconds * 2000; i++) {
		free(block(1024));
		rest_us(450);
	}
	return 0;
}

static void again(long n)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%ld", n);
	for (int i = 0; i < 20; i++)
		free(block(512));
	(void)execl(arguments[0], arguments[0], arguments[1], text, (char *)NULL);
	_exit(1);
}

static void *again_in_thread(void *n)
{
	again(*(long *)n);
	return NULL;
}

static int exec_chain(long n, int by_thread)
{
	pthread_t thread;

	if (n == 0)
		return steady(3);
	n--;
	if (!by_thread)
		again(n);
	if (pthread_create(&thread, NULL, again_in_thread, &n) == 0)
		(void)pthread_join(thread, NULL);
	return 1;
}

static int wait_for(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

static int forks(long n)
{
	int bad = 0;

	for (long i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0) {
			for (int k = 0; k < 20; k++)
				free(block(2048));
			rest_us(i % 4 * 1000);
			_exit(0);
		}
		bad += wait_for(pid);
		free(block(100));
	}
	(void)printf("%ld children, %d failed\n", n, bad);
	return bad != 0;
}

static pid_t child(long (*run)(long, int), long n, int fd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(getppid() == parent ? (int)run(n, fd) : 1);
	}
	return pid;
}

static long slow_child(long n, int fd)
{
	(void)n;
	(void)fd;
	for (;;) {
		free(block(4096));
		rest_us(50000);
	}
}

static int many(long n)
{
	char byte;
	int dead = 0, status;

	for (long i = 0; i < n; i++)
		if (child(slow_child, 0, -1) < 0)
			return 1;
	(void)printf("started\n");
	(void)fflush(stdout);
	(void)!read(STDIN_FILENO, &byte, 1);
	while (waitpid(-1, &status, WNOHANG) > 0)
		dead++;
	(void)printf("%d died\n", dead);
	return dead != 0; /* the others end with this one */
}

static double cpu_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static long keep_child(long n, int fd)
{
	double next = cpu_us();

	for (long i = 0; i < n; i++) {
		(void)block(200);
		for (next += 500; cpu_us() < next;)
			;
	}
	(void)!write(fd, "x", 1);
	for (;;)
		(void)pause();
}

static int keep(long n)
{
	int fds[2], bad = 0;
	pid_t pids[2];
	char bytes[2];

	if (pipe(fds) < 0)
		return 1;
	for (int i = 0; i < 2; i++)
		pids[i] = child(keep_child, n, fds[1]);
	for (int i = 0; i < 2; i++)
		bad += read(fds[0], bytes, 1) != 1;
	rest_us(300000);
	for (int i = 0; i < 2; i++) {
		bad += kill(pids[i], SIGKILL) < 0;
		(void)waitpid(pids[i], NULL, 0);
	}
	return bad != 0;
}

static void *turn(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++) {
		free(block(100));
		if (i % 5 == 0)
			rest_us(5000);
	}
	return NULL;
}

static int threads(long n, int at_once)
{
	pthread_t list[64];

	if (!at_once)
		rest_us(2000000); /* until the probes are in */
	for (long i = 0; i < n && i < 64; i++)
		if (pthread_create(&list[i], NULL, turn, NULL) != 0)
			return 1;
	for (long i = 0; i < n && i < 64; i++)
		(void)pthread_join(list[i], NULL);
	(void)printf("%ld blocks\n", n * 1000);
	return 0;
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? strtol(argv[2], NULL, 10) : 0;

	arguments = argv;
	if (argc < 3)
		return 2;
	if (strcmp(argv[1], "steady") == 0)
		return steady(n);
	if (strcmp(argv[1], "exec") == 0 || strcmp(argv[1], "texec") == 0)
		return exec_chain(n, argv[1][0] == 't');
	if (strcmp(argv[1], "fork") == 0)
		return forks(n);
	if (strcmp(argv[1], "many") == 0)
		return many(n);
	if (strcmp(argv[1], "keep") == 0)
		return keep(n);
	if (strcmp(argv[1], "threads") == 0 || strcmp(argv[1], "start") == 0)
		return threads(n, argv[1][0] == 's');
	return 2;
}
