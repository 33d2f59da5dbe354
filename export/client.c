#include "export/client.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/helper.h"

uint64_t export_files_stamp(const struct export_files *files)
{
	uint64_t stamp = 1469598103934665603ull; /* FNV-1a over what stat tells */

	for (size_t i = 0; i < EXPORT_FILES; i++) {
		struct stat st = { 0 };
		uint64_t facts[5] = { i };

		if (files->paths[i] && stat(files->paths[i], &st) == 0) {
			facts[1] = st.st_ino;
			facts[2] = (uint64_t)st.st_size;
			facts[3] = (uint64_t)st.st_mtim.tv_sec;
			facts[4] = (uint64_t)st.st_mtim.tv_nsec;
		}
		for (size_t k = 0; k < sizeof(facts); k++)
			stamp = (stamp ^ ((const uint8_t *)facts)[k]) * 1099511628211ull;
	}
	return stamp;
}

static int send_config(int socket, const char *config, const struct export_files *files, const char **ret_bad)
{
	struct export_hello hello = { .version = EXPORT_VERSION };
	size_t n = strlen(config), n_fds = 0;
	_cleanup_free_ char *message = NULL;
	int fds[EXPORT_FILES], r = 0;

	if (n > EXPORT_CONFIG_BYTES_MAX)
		return -E2BIG;
	message = malloc(sizeof(hello) + n);
	if (!message)
		return -ENOMEM;
	for (size_t i = 0; i < EXPORT_FILES && r >= 0; i++) {
		if (!files->paths[i])
			continue;
		fds[n_fds] = open(files->paths[i], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fds[n_fds] < 0) {
			r = -errno;
			if (ret_bad)
				*ret_bad = files->paths[i];
			break;
		}
		n_fds++;
		hello.files |= 1u << i;
	}
	memcpy(message, &hello, sizeof(hello));
	memcpy(message + sizeof(hello), config, n);
	if (r >= 0)
		r = socket_send_fds(socket, message, sizeof(hello) + n, fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		(void)close_fd(fds[i]);
	return r;
}

int export_child_start(const char *executable, const char *config, const struct export_files *files,
        struct export_child *ret, const char **ret_bad)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	char *argv[] = { (char *)executable, NULL };
	struct export_child c = EXPORT_CHILD_NONE;
	int pair[2], r;

	assert(ret);

	if (ret_bad)
		*ret_bad = NULL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	/* Before the child is there: a file that cannot be opened costs no process. */
	r = send_config(ours, config, files, ret_bad);
	if (r < 0)
		return r;
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = helper_start(executable, argv, theirs, &c.pid, &c.pidfd);
	if (r < 0)
		return r;
	c.socket = TAKE_FD(ours);
	*ret = c;
	return 0;
}

int export_child_send(struct export_child *c, const struct export_job *job, int input, int output)
{
	const int fds[] = { input, output };
	int r = socket_send_fds(c->socket, job, sizeof(*job), fds, output < 0 ? 1 : 2);

	return r == -ECONNRESET ? -EPIPE : r;
}

int export_child_receive(struct export_child *c, struct export_reply *ret)
{
	union {
		struct export_reply reply;
		struct export_progress progress;
	} m;
	ssize_t n;

	do
		n = recv(c->socket, &m, sizeof(m), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return EXPORT_MESSAGE_NONE;
	if (n <= 0)
		return -EPIPE;
	if ((size_t)n == sizeof(m.progress)) {
		*ret = (struct export_reply){
			.id = m.progress.id,
			.parts_done = m.progress.parts_done,
			.requests = m.progress.requests,
			.bytes = m.progress.bytes,
			.samples = m.progress.samples,
			.rejected = m.progress.rejected,
		};
		return EXPORT_MESSAGE_PROGRESS;
	}
	if ((size_t)n != sizeof(m.reply) || m.reply.outcome >= EXPORT_OUTCOMES)
		return -EBADMSG;
	m.reply.error[sizeof(m.reply.error) - 1] = 0;
	*ret = m.reply;
	return EXPORT_MESSAGE_REPLY;
}

int export_child_go_on(struct export_child *c, uint64_t id)
{
	const struct export_go_on message = { .id = id };
	int r = socket_send_fds(c->socket, &message, sizeof(message), NULL, 0);

	return r == -ECONNRESET ? -EPIPE : r;
}

void export_child_close(struct export_child *c, int is_forced)
{
	c->socket = close_fd(c->socket);
	if (c->pid && is_forced)
		(void)kill(c->pid, SIGKILL); /* not reaped yet, so the number is its own */
}

int export_child_reap(struct export_child *c, int *ret_status, uint64_t *ret_cpu_ns)
{
	uint64_t cpu_ns = 0;
	int status = 0;

	if (c->pid && !helper_reap(c->pid, false, &status, &cpu_ns))
		return 0;
	(void)close_fd(c->socket);
	(void)close_fd(c->pidfd);
	*c = EXPORT_CHILD_NONE;
	if (ret_status)
		*ret_status = status;
	if (ret_cpu_ns)
		*ret_cpu_ns = cpu_ns;
	return 1;
}
