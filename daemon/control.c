#include "daemon/control.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/log.h"

#define READS_A_TURN 4

struct answer {
	STAILQ_ENTRY(answer) next;
	int fd; /* -1: none, or already sent */
	size_t size, sent;
	char line[];
};

struct control_call {
	LIST_ENTRY(control_call) next;
	struct client *client;
	json_t *id;
	control_gone_t gone;
	void *gone_userdata;
};

struct client {
	LIST_ENTRY(client) next;
	struct control *control;
	int fd;
	sd_event_source *source;
	char *line; /* CONTROL_LINE_MAX bytes */
	size_t line_size;
	LIST_HEAD(, control_call) calls;
	unsigned n_calls;
	STAILQ_HEAD(, answer) answers;
	size_t unsent;
	bool ended, /* sends no more; goes when it is answered */
	        broken;
	unsigned depth; /* of our own functions at work on it: not freed below them */
	void (*closed)(void *userdata);
	void *closed_userdata;
};

struct control {
	sd_event *event;
	const struct control_method *methods;
	void *userdata;
	LIST_HEAD(, client) clients;
	unsigned n_clients;
	int listen_fd;
	sd_event_source *listen_source;
	char *path;
};

static void call_free(struct control_call *call)
{
	LIST_REMOVE(call, next);
	call->client->n_calls--;
	json_decref(call->id);
	free(call);
}

static void answer_free(struct answer *a)
{
	close_fd(a->fd);
	free(a);
}

static void client_free(struct client *k)
{
	struct control_call *call;
	struct answer *a;

	LIST_REMOVE(k, next);
	k->control->n_clients--;
	while ((call = LIST_FIRST(&k->calls))) {
		control_gone_t gone = call->gone;
		void *userdata = call->gone_userdata;

		call_free(call);
		if (gone)
			gone(userdata);
	}
	while ((a = STAILQ_FIRST(&k->answers))) {
		STAILQ_REMOVE_HEAD(&k->answers, next);
		answer_free(a);
	}
	sd_event_source_disable_unref(k->source);
	close_fd(k->fd);
	free(k->line);
	if (k->closed)
		k->closed(k->closed_userdata);
	free(k);
}

static void client_lines(struct client *k);

/* Frees the client where it is done; not to be touched afterwards. */
static void client_settle(struct client *k)
{
	uint32_t events = 0;

	if (k->depth > 0)
		return;
	k->depth++;
	client_lines(k); /* may have waited for room */
	k->depth--;
	if (k->broken || (k->ended && k->n_calls == 0 && STAILQ_EMPTY(&k->answers))) {
		client_free(k);
		return;
	}
	if (!k->ended && k->n_calls < CONTROL_CALLS_MAX)
		events |= EPOLLIN;
	if (!STAILQ_EMPTY(&k->answers))
		events |= EPOLLOUT;
	if (sd_event_source_set_io_events(k->source, events) < 0)
		client_free(k);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* 1: sent whole; 0: the socket is full; negative errno. */
static int answer_send(struct client *k, struct answer *a)
{
	while (a->sent < a->size) {
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control = { 0 };
		struct iovec iov = { a->line + a->sent, a->size - a->sent };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (a->fd >= 0) {
			struct cmsghdr *c = &control.align;

			m.msg_control = control.bytes;
			m.msg_controllen = sizeof(control.bytes);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(c), &a->fd, sizeof(int));
		}
		n = sendmsg(k->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		a->fd = close_fd(a->fd);
		a->sent += (size_t)n;
		k->unsent -= (size_t)n;
	}
	return 1;
}

static void client_send(struct client *k)
{
	struct answer *a;

	while (!k->broken && (a = STAILQ_FIRST(&k->answers))) {
		int r = answer_send(k, a);

		if (r < 0)
			k->broken = true;
		if (r <= 0)
			return;
		STAILQ_REMOVE_HEAD(&k->answers, next);
		answer_free(a);
	}
}

/* Steals body. */
static void client_queue(struct client *k, json_t *body, int fd)
{
	_cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct answer *a = NULL;
	size_t n = text ? strlen(text) : 0;

	json_decref(body);
	if (text && k->unsent + n < CONTROL_UNSENT_MAX)
		a = malloc(sizeof(*a) + n + 1);
	if (!a) { /* an answer that cannot be given must not be waited for */
		k->broken = true;
		return;
	}
	*a = (struct answer){ .fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3), .size = n + 1 };
	memcpy(a->line, text, n);
	a->line[n] = '\n';
	if (fd >= 0 && a->fd < 0)
		k->broken = true;
	STAILQ_INSERT_TAIL(&k->answers, a, next);
	k->unsent += a->size;
	k->depth++;
	client_send(k);
	k->depth--;
}

void control_reply(struct control_call *call, json_t *result, int fd)
{
	struct client *k = call->client;
	json_t *body = json_pack("{sOso}", "id", call->id, "result", result ? result : json_object());

	/* A stream has no message bounds: the line says that a descriptor belongs to it, in order. */
	if (fd >= 0 && body)
		(void)json_object_set_new(body, "fd", json_true());
	client_queue(k, body, fd);
	call_free(call);
	client_settle(k);
}

void control_fail(struct control_call *call, int r, const char *format, ...)
{
	struct client *k = call->client;
	char text[1024];
	json_t *sentence;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	sentence = json_string(text);
	if (!sentence)
		sentence = json_string("failed; the reason is not UTF-8");
	client_queue(k, json_pack("{sOsosi}", "id", call->id, "error", sentence, "errno", r < 0 ? -r : r), -1);
	call_free(call);
	client_settle(k);
}

void control_event(struct control_call *call, json_t *event)
{
	struct client *k = call->client;

	k->depth++; /* the caller still holds the call */
	client_queue(k, json_pack("{sOso}", "id", call->id, "event", event), -1);
	k->depth--;
	if (k->broken) /* noticed at the next turn of the loop */
		(void)sd_event_source_set_io_events(k->source, EPOLLIN | EPOLLOUT);
	else
		client_settle(k);
}

void control_on_gone(struct control_call *call, control_gone_t gone, void *userdata)
{
	call->gone = gone;
	call->gone_userdata = userdata;
}

const void *control_client(const struct control_call *call)
{
	return call->client;
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

/* jansson recurses on nesting; this does not. Brackets in strings count too, which only refuses a little more. */
static bool too_deep(const char *s, size_t n)
{
	unsigned depth = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '{' || s[i] == '[')
			depth++;
		else if ((s[i] == '}' || s[i] == ']') && depth > 0)
			depth--;
		if (depth > CONTROL_DEPTH_MAX)
			return true;
	}
	return false;
}

static void refuse(struct client *k, json_t *id, const char *sentence)
{
	client_queue(k, json_pack("{sOsssi}", "id", id ? id : json_null(), "error", sentence, "errno", EINVAL), -1);
}

static struct control_call *call_new(struct client *k, json_t *id)
{
	struct control_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->client = k;
	call->id = id ? json_incref(id) : json_null();
	LIST_INSERT_HEAD(&k->calls, call, next);
	k->n_calls++;
	return call;
}

static void client_dispatch(struct client *k, json_t *request)
{
	json_t *id = json_object_get(request, "id"), *params = json_object_get(request, "params");
	const char *method = json_string_value(json_object_get(request, "method"));
	struct control *c = k->control;
	struct control_call *call;

	if (!method || (params && !json_is_object(params)) || (id && !json_is_integer(id) && !json_is_string(id))) {
		refuse(k, NULL, "a request is {\"id\": NUMBER, \"method\": NAME, \"params\": {...}}");
		return;
	}
	for (const struct control_method *m = c->methods; m->name; m++) {
		_cleanup_(json_decrefp) json_t *empty = NULL;

		if (strcmp(m->name, method) != 0)
			continue;
		if (!params)
			params = empty = json_object();
		call = params ? call_new(k, id) : NULL;
		if (call)
			m->handle(c->userdata, call, params);
		else
			k->broken = true;
		return;
	}
	refuse(k, id, "no such method");
}

static void client_line(struct client *k, const char *line, size_t n)
{
	json_t *request;
	json_error_t error;

	if (too_deep(line, n)) {
		refuse(k, NULL, "nested too deep");
		return;
	}
	request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(request))
		refuse(k, NULL, "not a JSON object on one line");
	else
		client_dispatch(k, request);
	json_decref(request);
}

/* Handles the whole lines that have come, as long as there is room for their calls. */
static void client_lines(struct client *k)
{
	size_t at = 0;

	while (!k->broken && k->n_calls < CONTROL_CALLS_MAX) {
		const char *end = memchr(k->line + at, '\n', k->line_size - at);

		if (!end)
			break;
		if (end > k->line + at)
			client_line(k, k->line + at, (size_t)(end - k->line) - at);
		at = (size_t)(end - k->line) + 1;
	}
	memmove(k->line, k->line + at, k->line_size - at);
	k->line_size -= at;
	if (k->line_size == CONTROL_LINE_MAX && !memchr(k->line, '\n', k->line_size)) {
		refuse(k, NULL, "the line is too long");
		k->ended = true;
	}
}

static void client_read(struct client *k)
{
	for (unsigned i = 0; i < READS_A_TURN && !k->broken && !k->ended && k->line_size < CONTROL_LINE_MAX; i++) {
		ssize_t n = recv(k->fd, k->line + k->line_size, CONTROL_LINE_MAX - k->line_size, MSG_DONTWAIT);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			break;
		if (n < 0)
			k->broken = true;
		else if (n == 0)
			k->ended = true;
		else
			k->line_size += (size_t)n;
		client_lines(k);
	}
}

static int on_client(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
	struct client *k = userdata;

	(void)s;
	(void)fd;
	k->depth++;
	if (events & EPOLLOUT)
		client_send(k);
	if (events & EPOLLIN)
		client_read(k);
	/* A peer that is gone for good, not one that only sends no more. */
	if (events & (EPOLLHUP | EPOLLERR))
		k->broken = true;
	k->depth--;
	client_settle(k);
	return 0;
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

int control_serve(struct control *c, int fd, void (*closed)(void *userdata), void *userdata)
{
	struct client *k;
	int r;

	assert(c);

	k = c->n_clients < CONTROL_CLIENTS_MAX ? calloc(1, sizeof(*k)) : NULL;
	if (!k) {
		close_fd(fd);
		return c->n_clients < CONTROL_CLIENTS_MAX ? -ENOMEM : -EUSERS;
	}
	*k = (struct client){ .control = c, .fd = fd };
	LIST_INIT(&k->calls);
	STAILQ_INIT(&k->answers);
	LIST_INSERT_HEAD(&c->clients, k, next);
	c->n_clients++;
	k->line = malloc(CONTROL_LINE_MAX);
	r = k->line ? sd_event_add_io(c->event, &k->source, fd, EPOLLIN, on_client, k) : -ENOMEM;
	if (r < 0) {
		client_free(k);
		return r;
	}
	k->closed = closed;
	k->closed_userdata = userdata;
	return 0;
}

/* The socket's mode keeps others out; this says the same where a file system ignores modes. */
static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static int on_listen(sd_event_source *s, int listen_fd, uint32_t events, void *userdata)
{
	struct control *c = userdata;
	_cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)s;
	(void)events;
	if (fd < 0)
		return 0;
	if (!is_allowed(fd)) {
		static const char refusal[] =
		        "{\"id\":null,\"error\":\"permission denied: run as root\",\"errno\":13}\n";

		(void)!send(fd, refusal, sizeof(refusal) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		return 0;
	}
	if (c->n_clients >= CONTROL_CLIENTS_MAX) {
		static const char refusal[] = "{\"id\":null,\"error\":\"too many clients; try again\",\"errno\":11}\n";

		(void)!send(fd, refusal, sizeof(refusal) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		return 0;
	}
	(void)control_serve(c, TAKE_FD(fd), NULL, NULL);
	return 0;
}

/* A socket file that nobody listens at is left over from a daemon that was killed. */
static int remove_dead_socket(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

int control_listen(struct control *c, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	assert(c);
	assert(path);

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	r = remove_dead_socket(&address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r < 0)
		return r;
	c->path = strdup(path);
	if (!c->path || listen(fd, CONTROL_CLIENTS_MAX) < 0)
		return c->path ? -errno : -ENOMEM;
	r = sd_event_add_io(c->event, &c->listen_source, fd, EPOLLIN, on_listen, c);
	if (r < 0)
		return r;
	c->listen_fd = TAKE_FD(fd);
	return 0;
}

int control_new(sd_event *event, const struct control_method *methods, void *userdata, struct control **ret)
{
	struct control *c;

	assert(event);
	assert(methods);
	assert(ret);

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct control){
		.event = sd_event_ref(event), .methods = methods, .userdata = userdata, .listen_fd = -1
	};
	LIST_INIT(&c->clients);
	*ret = c;
	return 0;
}

struct control *control_free(struct control *c)
{
	struct client *k;

	if (!c)
		return NULL;
	while ((k = LIST_FIRST(&c->clients))) {
		client_send(k);
		client_free(k);
	}
	sd_event_source_disable_unref(c->listen_source);
	close_fd(c->listen_fd);
	if (c->path)
		(void)unlink(c->path);
	free(c->path);
	sd_event_unref(c->event);
	free(c);
	return NULL;
}
