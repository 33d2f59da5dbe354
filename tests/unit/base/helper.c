#include "tests/unit/unit.h"
#include "base/helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "base/cleanup.h"

/* What the child sees, as one word; 0 where all is as promised. */
static uint32_t child_faults(void)
{
	struct sigaction action;
	sigset_t blocked;
	uint32_t faults = 0;

	faults |= fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0;
	for (int fd = HELPER_SOCKET_FD + 1; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			faults |= 2;
	if (environ[0])
		faults |= 4;
	if (sigprocmask(SIG_SETMASK, NULL, &blocked) < 0 || sigismember(&blocked, SIGTERM))
		faults |= 8;
	if (sigaction(SIGPIPE, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
		faults |= 16;
	return faults;
}

static int be_the_child(void)
{
	uint32_t faults = child_faults();
	char end;

	if (write(HELPER_SOCKET_FD, &faults, sizeof(faults)) != sizeof(faults))
		return 1;
	return read(HELPER_SOCKET_FD, &end, 1) == 0 ? 42 : 1; /* our exit status says that the parent closed */
}

static void child_gets_a_socket_and_nothing_else(void **state)
{
	char *argv[] = { (char *)"unit-base-helper", (char *)"--child", NULL };
	_cleanup_close_ int ours = -1, theirs = -1, leak = open("/dev/null", O_RDONLY), pidfd = -1;
	uint32_t faults = ~0u;
	uint64_t cpu_ns = 0;
	sigset_t term;
	int pair[2], status;
	pid_t pid;

	(void)state;
	assert_true(leak >= HELPER_SOCKET_FD);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	assert_int_equal(sigprocmask(SIG_BLOCK, &term, NULL), 0);
	assert_int_equal(helper_start("/proc/self/exe", argv, theirs, &pid, &pidfd), 0);
	assert_int_equal(recv(ours, &faults, sizeof(faults), 0), sizeof(faults));
	assert_int_equal(faults, 0);
	assert_int_equal(helper_reap(pid, false, &status, &cpu_ns), 0); /* waits for us */
	ours = close_fd(ours);
	assert_int_equal(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, 10000), 1);
	assert_int_equal(helper_reap(pid, true, &status, &cpu_ns), 1);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	assert_true(cpu_ns > 0);
	assert_int_equal(sigprocmask(SIG_UNBLOCK, &term, NULL), 0);
}

static void missing_program_is_an_error(void **state)
{
	char *argv[] = { (char *)"none", NULL };
	int pidfd = -7;
	pid_t pid = -7;

	(void)state;
	assert_int_equal(helper_start("/nonexistent/program", argv, 0, &pid, &pidfd), -ENOENT);
	assert_int_equal(pid, -7);
	assert_int_equal(pidfd, -7);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_gets_a_socket_and_nothing_else),
		cmocka_unit_test(missing_program_is_an_error),
	};

	if (argc > 1 && strcmp(argv[1], "--child") == 0)
		return be_the_child();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
