#include "base/helper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"

static int set_descriptors(posix_spawn_file_actions_t *actions, int socket)
{
	/* dup2() onto itself takes close-on-exec away, too. */
	int r = posix_spawn_file_actions_adddup2(actions, socket, HELPER_SOCKET_FD);

	r = r ? r : posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	r = r ? r : posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
	return r ? r : posix_spawn_file_actions_addclosefrom_np(actions, HELPER_SOCKET_FD + 1);
}

static int set_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawnattr_setsigmask(attributes, &none);
	r = r ? r : posix_spawnattr_setsigdefault(attributes, &all);
	return r ? r : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const char *executable, char *const argv[], int socket, pid_t *ret)
{
	char *envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = set_descriptors(&actions, socket);
		r = r ? r : set_signals(&attributes);
		r = r ? r : posix_spawn(ret, executable, &actions, &attributes, argv, envp);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int helper_start(const char *executable, char *const argv[], int socket, pid_t *ret_pid, int *ret_pidfd)
{
	pid_t pid = 0;
	int pidfd, r;

	assert(ret_pid);
	assert(ret_pidfd);

	r = spawn(executable, argv, socket, &pid);
	if (r < 0)
		return r;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		r = -errno;
		(void)kill(pid, SIGKILL);
		(void)helper_reap(pid, true, NULL, NULL);
		return r;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

static uint64_t timeval_ns(struct timeval t)
{
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_usec * 1000;
}

int helper_reap(pid_t pid, bool waits, int *ret_status, uint64_t *ret_cpu_ns)
{
	struct rusage usage = { 0 };
	int status = 0;
	pid_t reaped;

	do
		reaped = wait4(pid, &status, waits ? 0 : WNOHANG, &usage);
	while (reaped < 0 && errno == EINTR);
	if (reaped == 0)
		return 0;
	if (ret_status)
		*ret_status = status;
	if (ret_cpu_ns)
		*ret_cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
	return 1;
}
