#include "ctl/daemon.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"

#define LINE_MAX_BYTES (8u << 20)
#define READ_BYTES 65536
#define FDS_WAITING_MAX 16
#define PRIVATE_FD 3

struct daemon {
	int fd;
	pid_t pid; /* of a private one, 0 else */
	uint64_t last_id;
	char *bytes; /* received, not yet taken */
	size_t n_bytes, room;
	int fds[FDS_WAITING_MAX]; /* received, not yet taken, in order */
	size_t n_fds;
};

/* ---- a way to it ------------------------------------------------------------------------------------------------- */

static int daemon_new(int fd, pid_t pid, struct daemon **ret)
{
	struct daemon *d = calloc(1, sizeof(*d));

	if (!d) {
		close_fd(fd);
		return -ENOMEM;
	}
	d->fd = fd;
	d->pid = pid;
	*ret = d;
	return 0;
}

int daemon_connect(const char *path, struct daemon **ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return daemon_new(TAKE_FD(fd), 0, ret);
}

/* In the build tree beside our folder, else where it is installed. */
static void find_emberd(char path[PATH_MAX])
{
	char self[PATH_MAX - 64], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash) {
			*slash = '\0';
			(void)snprintf(path, PATH_MAX, "%s/../daemon/emberd", self);
			if (access(path, X_OK) == 0)
				return;
		}
	}
	(void)snprintf(path, PATH_MAX, "%s/emberd", EMBER_SBINDIR);
}

static void run_emberd(const char *path, int fd)
{
	char number[16];
	sigset_t none;

	/* A Ctrl-C is for us: the recording still has to be fetched. */
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd == PRIVATE_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, PRIVATE_FD) < 0)
		_exit(127);
	(void)snprintf(number, sizeof(number), "%d", PRIVATE_FD);
	(void)execl(path, "emberd", "--private", number, (char *)NULL);
	(void)log_err(-errno, "cannot run %s", path);
	_exit(127);
}

int daemon_reach(const char *path, struct daemon **ret)
{
	int r = daemon_connect(path, ret);

	if (r == -ENOENT || r == -ECONNREFUSED)
		return log_err(0, "no emberd is running (nobody listens at %s); start it with 'systemctl start emberd'",
		               path),
		       r;
	return r < 0 ? log_err(r, "cannot reach emberd at %s; run as root", path) : 0;
}

int daemon_spawn(struct daemon **ret)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	char path[PATH_MAX];
	int fds[2];
	pid_t pid;

	find_emberd(path);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_emberd(path, theirs);
	return daemon_new(TAKE_FD(ours), pid, ret);
}

int daemon_open(const char *path, struct daemon **ret)
{
	int r = daemon_connect(path, ret);

	if (r == -ENOENT || r == -ECONNREFUSED) {
		r = daemon_spawn(ret);
		return r < 0 ? log_err(r, "cannot start an emberd") : 0;
	}
	if (r == -EACCES || r == -EPERM)
		return log_err(r, "cannot reach emberd at %s; run as root", path);
	return r < 0 ? log_err(r, "cannot reach emberd at %s", path) : 0;
}

struct daemon *daemon_free(struct daemon *d)
{
	if (!d)
		return NULL;
	close_fd(d->fd);
	if (d->pid > 0)
		while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
			;
	for (size_t i = 0; i < d->n_fds; i++)
		close_fd(d->fds[i]);
	free(d->bytes);
	free(d);
	return NULL;
}

int daemon_fd(const struct daemon *d)
{
	return d->fd;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

void daemon_message_done(struct daemon_message *m)
{
	json_decref(m->body);
	free(m->error);
	close_fd(m->fd);
	*m = DAEMON_MESSAGE;
}

int daemon_send(struct daemon *d, const char *method, json_t *params, uint64_t *ret_id)
{
	json_t *request = json_pack("{sIssso}", "id", (json_int_t)++d->last_id, "method", method, "params",
	        params ? params : json_object());
	_cleanup_free_ char *text = request ? json_dumps(request, JSON_COMPACT) : NULL, *line = NULL;

	json_decref(request);
	if (!text || asprintf(&line, "%s\n", text) < 0) {
		line = NULL;
		return -ENOMEM;
	}
	*ret_id = d->last_id;
	for (size_t at = 0, n = strlen(line); at < n;) {
		ssize_t sent = send(d->fd, line + at, n - at, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EPIPE ? -ECONNRESET : -errno;
		at += (size_t)sent;
	}
	return 0;
}

bool daemon_has_message(struct daemon *d)
{
	return d->n_bytes > 0 && memchr(d->bytes, '\n', d->n_bytes);
}

static int read_more(struct daemon *d)
{
	size_t n_fds = 0;
	ssize_t n;

	if (d->room - d->n_bytes < READ_BYTES) {
		size_t room = MAX(d->room * 2, (size_t)READ_BYTES * 2);
		char *bytes = room > LINE_MAX_BYTES ? NULL : realloc(d->bytes, room);

		if (!bytes)
			return room > LINE_MAX_BYTES ? -E2BIG : -ENOMEM;
		d->bytes = bytes;
		d->room = room;
	}
	n = socket_recv_fds(
	        d->fd, d->bytes + d->n_bytes, READ_BYTES, d->fds + d->n_fds, FDS_WAITING_MAX - d->n_fds, &n_fds);
	if (n < 0)
		return n == -EINTR ? 0 : (int)n;
	d->n_bytes += (size_t)n;
	d->n_fds += n_fds;
	return n == 0 ? -ECONNRESET : 0;
}

static int take_fd(struct daemon *d)
{
	int fd = d->n_fds ? d->fds[0] : -1;

	if (d->n_fds)
		memmove(d->fds, d->fds + 1, --d->n_fds * sizeof(*d->fds));
	return fd;
}

static int take_message(struct daemon *d, json_t *line, struct daemon_message *ret)
{
	json_t *result = json_object_get(line, "result"), *event = json_object_get(line, "event");
	const char *error = json_string_value(json_object_get(line, "error"));

	*ret = DAEMON_MESSAGE;
	ret->id = (uint64_t)json_integer_value(json_object_get(line, "id"));
	if (error) {
		ret->kind = DAEMON_ERROR;
		ret->error = strdup(error);
		return ret->error ? 0 : -ENOMEM;
	}
	if (!result && !event)
		return -EBADMSG;
	ret->kind = result ? DAEMON_RESULT : DAEMON_EVENT;
	ret->body = json_incref(result ? result : event);
	if (json_is_true(json_object_get(line, "fd")))
		ret->fd = take_fd(d);
	return 0;
}

int daemon_receive(struct daemon *d, struct daemon_message *ret)
{
	json_t *line;
	size_t n;
	int r;

	while (!daemon_has_message(d)) {
		r = read_more(d);
		if (r < 0)
			return r;
	}
	n = (size_t)((char *)memchr(d->bytes, '\n', d->n_bytes) - d->bytes);
	line = json_loadb(d->bytes, n, 0, NULL);
	d->n_bytes -= n + 1;
	memmove(d->bytes, d->bytes + n + 1, d->n_bytes);
	r = json_is_object(line) ? take_message(d, line, ret) : -EBADMSG;
	json_decref(line);
	return r;
}

int daemon_log_gone(const struct daemon *d, int r)
{
	/* A private one that could not start has said why. */
	if (r == -ECONNRESET && d->pid > 0)
		return r;
	return log_err(r, "the connection to emberd failed");
}

int daemon_call(struct daemon *d, const char *method, json_t *params, json_t **ret)
{
	_cleanup_message_ struct daemon_message m = DAEMON_MESSAGE;
	uint64_t id;
	int r = daemon_send(d, method, params, &id);

	if (r >= 0)
		r = daemon_receive(d, &m);
	if (r < 0)
		return daemon_log_gone(d, r);
	if (m.kind != DAEMON_RESULT)
		return log_err(0, "emberd: %s", m.error ? m.error : "an unexpected answer"), -EREMOTEIO;
	if (ret)
		*ret = json_incref(m.body);
	return 0;
}
