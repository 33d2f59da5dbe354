/* What a process inside the sandbox can and cannot do. Each try is a process of its own: the sandbox cannot be left. */
#include "tests/unit/unit.h"
#include "symbolizer/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED (-1)
#define FILE_BYTES (1u << 20)

static int scratch = -1; /* a memfd that was opened before */

/* The exit status of f run inside the sandbox, or KILLED where the sandbox ended it. */
static int inside(int (*f)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(&(struct sandbox_limits){ .file_bytes = FILE_BYTES, .cpu_seconds = 1 }) < 0)
			_exit(99);
		_exit(f());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_true(WTERMSIG(status) == SIGSYS);
		return KILLED;
	}
	return WEXITSTATUS(status);
}

static int nothing(void)
{
	return 7;
}

static int errno_of(long r)
{
	return r < 0 ? errno : 0;
}

static int open_file(void)
{
	return errno_of(open("/etc/passwd", O_RDONLY));
}

static int create_file(void)
{
	return errno_of(open("/tmp/ember-sandbox-escape", O_WRONLY | O_CREAT, 0600));
}

static int open_by_old_call(void)
{
	return errno_of(syscall(SYS_open, "/etc/passwd", O_RDONLY));
}

static int read_link(void)
{
	char text[64];

	return errno_of(readlink("/proc/self/exe", text, sizeof(text)));
}

static int open_by_new_call(void)
{
	uint64_t how[3] = { 0 };

	return errno_of(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof(how)));
}

static int make_socket(void)
{
	return errno_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int make_unix_socket(void)
{
	int pair[2];

	return errno_of(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static int exec_program(void)
{
	char *argv[] = { "/bin/true", NULL };

	return errno_of(execv(argv[0], argv));
}

static int start_process(void)
{
	return errno_of(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static int signal_parent(void)
{
	return errno_of(kill(1, 0));
}

static int trace(void)
{
	return errno_of(ptrace(PTRACE_ATTACH, 1, NULL, NULL));
}

static int make_memfd(void)
{
	return errno_of(memfd_create("x", 0));
}

static int use_bpf(void)
{
	return errno_of(syscall(SYS_bpf, 0, NULL, 0));
}

static int change_limits(void)
{
	struct rlimit l;

	return errno_of(getrlimit(RLIMIT_CPU, &l));
}

static int map_executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}

static int protect_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? 98 : errno_of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int map_shared(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, scratch, 0) == MAP_FAILED ? errno : 0;
}

static int change_mode(void)
{
	return errno_of(fchmod(scratch, 0777));
}

static int write_what_was_given(void)
{
	return pwrite(scratch, "x", 1, 0) == 1 ? 7 : 1;
}

static int write_too_much(void)
{
	return pwrite(scratch, "x", 1, FILE_BYTES) == 1 ? 0 : errno;
}

static int map_private(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, scratch, 0);

	return p == MAP_FAILED ? errno : 7;
}

static int allocate(void)
{
	char *p = malloc(8 << 20), *q;

	if (!p)
		return 1;
	memset(p, 1, 8 << 20);
	q = realloc(p, 16 << 20);
	if (!q)
		return 2;
	free(q);
	return 7;
}

static void honest_work_goes_on(void **state)
{
	(void)state;
	assert_int_equal(inside(nothing), 7);
	assert_int_equal(inside(write_what_was_given), 7);
	assert_int_equal(inside(map_private), 7);
	assert_int_equal(inside(allocate), 7);
}

static void files_seem_not_to_exist(void **state)
{
	(void)state;
	assert_int_equal(inside(open_file), ENOENT);
	assert_int_equal(inside(open_by_old_call), ENOENT);
	assert_int_equal(inside(create_file), ENOENT);
	assert_int_equal(inside(read_link), ENOENT);
	assert_int_equal(access("/tmp/ember-sandbox-escape", F_OK), -1);
	assert_int_equal(inside(open_by_new_call), KILLED);
}

static void everything_else_kills(void **state)
{
	int (*const tries[])(void) = { make_socket, make_unix_socket, exec_program, start_process, signal_parent, trace,
		make_memfd, use_bpf, change_limits, change_mode };

	(void)state;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		assert_int_equal(inside(tries[i]), KILLED);
}

static void memory_is_neither_executable_nor_shared(void **state)
{
	(void)state;
	assert_int_equal(inside(map_executable), KILLED);
	assert_int_equal(inside(protect_executable), KILLED);
	assert_int_equal(inside(map_shared), KILLED);
}

static void answers_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(inside(write_too_much), EFBIG);
}

static uint64_t status_number(const char *text, const char *key, int base)
{
	const char *at = strstr(text, key);

	assert_non_null(at);
	return strtoull(at + strlen(key), NULL, base);
}

/* Looked at from outside, while the sandboxed process waits for the pipe to close. */
static void nothing_is_left(void **state)
{
	char path[64], text[8192];
	int ready[2], hold[2], fd, status;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(hold[1]);
		if (sandbox_enter(&(struct sandbox_limits){ .file_bytes = FILE_BYTES, .cpu_seconds = 1 }) < 0)
			_exit(99);
		if (write(ready[1], "x", 1) != 1)
			_exit(98);
		_exit(read(hold[0], text, 1) == 0 ? 7 : 97);
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], text, 1), 1);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = 0;
	assert_int_equal(status_number(text, "CapPrm:", 16), 0);
	assert_int_equal(status_number(text, "CapEff:", 16), 0);
	assert_int_equal(status_number(text, "CapInh:", 16), 0);
	assert_int_equal(status_number(text, "CapAmb:", 16), 0);
	if (geteuid() == 0)
		assert_int_equal(status_number(text, "CapBnd:", 16), 0);
	assert_int_equal(status_number(text, "NoNewPrivs:", 10), 1);
	assert_int_equal(status_number(text, "Seccomp:", 10), 2);
	(void)close(fd);
	(void)close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	(void)close(ready[0]);
	(void)close(hold[0]);
}

static int spin(void)
{
	for (volatile uint64_t i = 0;; i++)
		;
	return 0;
}

static void cpu_time_ends(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(&(struct sandbox_limits){ .file_bytes = FILE_BYTES, .cpu_seconds = 1 }) < 0)
			_exit(99);
		_exit(spin());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGXCPU);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(honest_work_goes_on),
	cmocka_unit_test(files_seem_not_to_exist),
	cmocka_unit_test(everything_else_kills),
	cmocka_unit_test(memory_is_neither_executable_nor_shared),
	cmocka_unit_test(answers_are_bounded),
	cmocka_unit_test(nothing_is_left),
	cmocka_unit_test(cpu_time_ends),
};

int main(int argc, char **argv)
{
	scratch = memfd_create("scratch", 0);
	if (scratch < 0 || ftruncate(scratch, 4096) < 0)
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
