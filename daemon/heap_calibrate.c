#include "daemon/heap_calibrate.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "bpf/abi.h"
#include "symbolizer/protocol.h"

#define CALLS 4000
#define PLAUSIBLE_NS_MIN 50.0
#define PLAUSIBLE_NS_MAX 100000.0

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

/* Nanoseconds a call. */
static double time_calls(void)
{
	uint64_t begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);

	for (int i = 0; i < CALLS; i++)
		heap_calibrate_call(64);
	return (double)(clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / CALLS;
}

/* One measurement for each byte that comes in. */
_Noreturn static void child(int fd)
{
	char byte;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(fd, &byte, 1) == 1) {
		double ns = time_calls();

		if (write(fd, &ns, sizeof(ns)) != sizeof(ns))
			break;
	}
	_exit(0);
}

static int ask(int fd, double *ret_ns)
{
	int r = fd_write_full(fd, "x", 1);

	return r < 0 ? r : fd_read_full(fd, ret_ns, sizeof(*ret_ns));
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

static int measure(const struct heap_programs *programs, pid_t pid, int fd, double *ret_hit_ns)
{
	_cleanup_(uprobe_detachp) struct uprobe *probe = NULL;
	_cleanup_close_ int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	double plain, probed, ns;
	struct uprobe_site site;
	uint64_t offset;
	int r;

	if (exe < 0)
		return -errno;
	r = own_offset(&offset);
	if (r < 0)
		return r;
	r = ask(fd, &plain);
	if (r < 0)
		return r;
	site = (struct uprobe_site){ .offset = offset, .cookie = HEAP_COOKIE(SITE_MALLOC, 0, offset) };
	r = uprobe_attach(programs->call, programs->call_type, 0, exe, pid, &site, 1, &probe);
	if (r >= 0)
		r = ask(fd, &probed);
	if (r < 0)
		return r;
	ns = probed - plain;
	*ret_hit_ns = ns < PLAUSIBLE_NS_MIN ? PLAUSIBLE_NS_MIN : ns > PLAUSIBLE_NS_MAX ? PLAUSIBLE_NS_MAX : ns;
	return 0;
}

int heap_calibrate(const struct heap_programs *programs, int processes_fd, double *ret_hit_ns)
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
	r = heap_process_make_known(&process, processes_fd, 0);
	if (r >= 0)
		r = measure(programs, pid, ours, ret_hit_ns);
	(void)bpf_map_delete_elem(processes_fd, &id);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}
