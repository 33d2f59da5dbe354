#include "daemon/heap_calibrate.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "bpf/abi.h"
#include "daemon/features.h"
#include "daemon/uprobe.h"
#include "symbolizer/protocol.h"

#define SAMPLE_NS 12000.0 /* a stack, and its way through the ring (bench/heap) */
/* Of a hit's price: by how much more the code after it can be slowed than our own (bench/heap-bias). */
#define USER_ERROR_SHARE 0.1
/* And so much of it at least (bench/heap-bias), if it is as much for our own. */
#define USER_LEAST_SHARE 0.03
#define CALLS 16384
#define SPINS 8000000 /* some milliseconds */
#define TRIES 5       /* a CPU is slower at times, for some hundred milliseconds: the least counts */
#define TICK_NS 100000
#define TICK_SHARE_MAX 0.9
#define KNOWN_NS_MAX (3600 * NS_PER_SEC)
#define BLOCKS 256            /* that are in use at a time */
#define INTERRUPTED_NS 10000u /* something else ran in between */
#define PLAUSIBLE_NS_MIN 50.0
#define PLAUSIBLE_NS_MAX 100000.0
#define USER_SHARE_MAX 0.5 /* of a hit's price */
/* Of a hit's price: what the first instructions after it wait for, up to where our process can read a clock
 * (bench/heap-bias). */
#define FIRST_SHARE 0.02

/* Begins like an allocator: with a push, which the kernel emulates. */
void heap_calibrate_call(uint64_t size);
#if defined(__x86_64__)
__asm__(".text\n.type heap_calibrate_call, @function\nheap_calibrate_call:\n\t.cfi_startproc\n\tpush %rbx\n"
        "\t.cfi_adjust_cfa_offset 8\n\tpop %rbx\n\t.cfi_adjust_cfa_offset -8\n\tret\n\t.cfi_endproc\n"
        ".size heap_calibrate_call, . - heap_calibrate_call\n");
#else
__attribute__((noinline)) void heap_calibrate_call(uint64_t size)
{
	__asm__ volatile("" : : "r"(size));
}
#endif

/* What the child measures. */
struct times {
	double call_ns;  /* a call of the function and what comes after it, by CPU time */
	double after_ns; /* what a program does until it calls it again: a free, an allocation, a little memory touched
	                  */
	double spin_ns;  /* the same work each time, by CPU time */
};

static void time_calls(struct times *ret)
{
	void *blocks[BLOCKS] = { 0 };
	uint64_t begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID), after = 0, n = 0;
	uint32_t x = 2463534242u;

	for (int i = 0; i < CALLS; i++) {
		uint64_t start, took;
		void **block;

		x = x * 1664525u + 1013904223u;
		block = &blocks[x >> 16 & (BLOCKS - 1)];
		heap_calibrate_call(x >> 24);
		start = clock_now_ns(CLOCK_MONOTONIC);
		free(*block);
		*block = calloc(1, 16 + (x >> 24));
		took = clock_now_ns(CLOCK_MONOTONIC) - start;
		if (took < INTERRUPTED_NS) {
			after += took;
			n++;
		}
	}
	ret->call_ns = (double)(clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / CALLS;
	ret->after_ns = n ? (double)after / (double)n : 0;
	for (int i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

static void time_spin(struct times *ret)
{
	uint64_t begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
	uint32_t x = 1;

	for (int i = 0; i < SPINS; i++)
		__asm__ volatile("" : "+r"(x)); /* no memory, whose speed depends on where it lies */
	ret->spin_ns = (double)(clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin);
}

/* One measurement for each byte that comes in. */
_Noreturn static void child(int fd)
{
	char byte;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(fd, &byte, 1) == 1) {
		struct times t;

		time_calls(&t);
		time_spin(&t);
		if (write(fd, &t, sizeof(t)) != sizeof(t))
			break;
	}
	_exit(0);
}

static int ask(int fd, struct times *ret)
{
	int r = fd_write_full(fd, "x", 1);

	return r < 0 ? r : fd_read_full(fd, ret, sizeof(*ret));
}

/* File offset of the function in our own executable, by our own mappings. */
static int own_offset(uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	uint64_t address = (uint64_t)(uintptr_t)heap_calibrate_call, start, end, offset;
	char *rest = NULL;
	int r;

	r = file_read_all(AT_FDCWD, "/proc/self/maps", 1 << 20, &text, NULL);
	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &offset) == 3 &&
		        start <= address && address < end) {
			*ret = address - start + offset;
			return 0;
		}
	return -ENOENT;
}

/* Ticks of one process alone, so that no CPU is disturbed but the one that it runs on. */
static int attach_ticks(const struct bpf_program *program, pid_t pid, struct bpf_link **ret)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = TICK_NS,
		.disabled = 1,
	};
	_cleanup_close_ int fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *link;

	if (fd < 0)
		return -errno;
	link = bpf_program__attach_perf_event(program, fd);
	if (!link)
		return -errno;
	(void)TAKE_FD(fd); /* the link closes it */
	*ret = link;
	return 0;
}

/* What part of the time ticks take: the same work with them and without, one right after the other. */
static int tick_share(const struct bpf_program *program, pid_t pid, int fd, double *ret, struct times *ret_without)
{
	struct bpf_link *ticks = NULL;
	struct times with, without;
	int r;

	r = attach_ticks(program, pid, &ticks);
	if (r >= 0)
		r = ask(fd, &with);
	(void)bpf_link__destroy(ticks);
	if (r >= 0)
		r = ask(fd, &without);
	if (r < 0)
		return r;
	*ret = MIN(MAX(1 - without.spin_ns / with.spin_ns, 0.0), TICK_SHARE_MAX);
	*ret_without = without;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Of calls alone. */
static struct times least_of(const struct times tries[static TRIES])
{
	struct times least = tries[0];

	for (int i = 1; i < TRIES; i++) {
		least.call_ns = MIN(least.call_ns, tries[i].call_ns);
		least.after_ns = MIN(least.after_ns, tries[i].after_ns);
	}
	return least;
}

/* What a tick takes from the program that it comes upon: in virtual machines much more than it should be. And what
 * calls take where there are none. */
static int measure_tick(const struct bpf_program *program, pid_t pid, int fd, double *ret_ns, struct times *ret_plain)
{
	struct times plain[TRIES];
	double shares[TRIES];
	int r = 0;

	for (int i = 0; r >= 0 && i < TRIES; i++)
		r = tick_share(program, pid, fd, &shares[i], &plain[i]);
	if (r < 0)
		return r;
	qsort(shares, TRIES, sizeof(shares[0]), by_value);
	*ret_ns = TICK_NS * shares[TRIES / 2];
	*ret_plain = least_of(plain);
	return 0;
}

static int measure_calls(int fd, struct times *ret)
{
	struct times tries[TRIES];
	int r = 0;

	for (int i = 0; r >= 0 && i < TRIES; i++)
		r = ask(fd, &tries[i]);
	if (r < 0)
		return r;
	*ret = least_of(tries);
	return 0;
}

static int measure(
        const struct heap_programs *programs, pid_t pid, int fd, bool is_stepped, struct heap_calibration *ret)
{
	_cleanup_(uprobe_detachp) struct uprobe *probe = NULL;
	_cleanup_close_ int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct times plain, probed;
	struct uprobe_site site;
	uint64_t offset;
	double ns;
	int r;

	if (exe < 0)
		return -errno;
	r = own_offset(&offset);
	if (r < 0)
		return r;
	offset += is_stepped; /* the pop after the push */
	r = ask(fd, &plain);  /* to warm up */
	if (r >= 0)
		r = measure_tick(programs->tick, pid, fd, &ret->tick_ns, &plain);
	if (r < 0)
		return r;
	site = (struct uprobe_site){ .offset = offset, .cookie = HEAP_COOKIE(SITE_MALLOC, 0, offset) };
	r = uprobe_attach(programs->call, programs->call_type, 0, exe, pid, &site, 1, &probe);
	if (r >= 0)
		r = measure_calls(fd, &probed);
	if (r < 0)
		return r;
	ns = probed.call_ns - plain.call_ns;
	ret->hit_ns = ns < PLAUSIBLE_NS_MIN ? PLAUSIBLE_NS_MIN : MIN(ns, PLAUSIBLE_NS_MAX);
	ret->user_ns = MIN(
	        MAX(probed.after_ns - plain.after_ns, 0.0) + FIRST_SHARE * ret->hit_ns, USER_SHARE_MAX * ret->hit_ns);
	return 0;
}

static int calibrate(
        const struct heap_programs *programs, int processes_fd, bool is_stepped, struct heap_calibration *ret)
{
	struct heap_process process;
	_cleanup_close_ int ours = -1, theirs = -1;
	uint32_t id;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		(void)close_fd(ours);
		child(theirs);
	}
	id = (uint32_t)pid;
	process = (struct heap_process){ .pid = pid };
	r = heap_process_make_known(&process, processes_fd);
	if (r >= 0)
		r = measure(programs, pid, ours, is_stepped, ret);
	(void)bpf_map_delete_elem(processes_fd, &id);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

int heap_calibrate(
        const struct heap_programs *programs, int processes_fd, bool is_stepped, struct heap_calibration *ret)
{
	static struct {
		struct heap_calibration calibration;
		uint64_t at_ns;
	} known[2]; /* of this machine, whoever asks: so each recording does not hold the loop up again */
	uint64_t now = clock_now_ns(CLOCK_BOOTTIME);
	struct heap_calibration c = { 0 };
	int r;

	if (known[is_stepped].at_ns == 0 || now - known[is_stepped].at_ns > KNOWN_NS_MAX) {
		r = calibrate(programs, processes_fd, is_stepped, &c);
		if (r < 0)
			return r;
		known[is_stepped].calibration = c;
		known[is_stepped].at_ns = now;
	}
	*ret = known[is_stepped].calibration;
	return 0;
}

void heap_calibration_prices(const struct heap_calibration *c, const struct heap_ticks *ticks, struct heap_prices *ret)
{
	bool by_instructions = features_has(FEATURE_USER_INSTRUCTIONS); /* probes add none */

	*ret = (struct heap_prices){
		.hit_ns = c->hit_ns,
		.sample_ns = MAX(SAMPLE_NS, c->hit_ns),
		.tick_ns = c->tick_ns,
		.user = { .ns = by_instructions ? 0 : c->user_ns,
		        .error_ns = by_instructions ? 0 : USER_ERROR_SHARE * c->hit_ns,
		        .least_ns = by_instructions ? 0 : MIN(c->user_ns, USER_LEAST_SHARE * c->hit_ns),
		        .tick = heap_ticks_progress_of_many(ticks),
		        .tick_out = heap_ticks_progress_of_few(ticks) },
	};
	log_debug("heap: a hit costs %.0f ns here, the code after it %.0f ns more, a tick %.0f ns", c->hit_ns,
	        c->user_ns, c->tick_ns);
}
