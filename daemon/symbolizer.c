/* One child at a time, one request at a time. The child is only ever ended by SIGKILL: it holds nothing that needs an
 * orderly end. A dead one is reaped when its pidfd says so, so nothing here waits. */
#include "daemon/symbolizer.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/helper.h"
#include "daemon/usage.h"

#define WALL_PER_CPU 4 /* a request may take this many times its CPU limit on a busy host */
#define LARGE_FILE_BYTES (16u << 20)

enum queue_kind { QUEUE_IDENTIFY, QUEUE_SMALL, QUEUE_LARGE, QUEUES };

struct job {
	TAILQ_ENTRY(job) entry;
	struct symbolizer_request request;
	int fds[SYMBOLIZER_FDS_MAX];
	size_t n_fds, answer_position;
	symbolizer_done_t done;
	void *userdata;
};
TAILQ_HEAD(job_list, job);

struct child {
	LIST_ENTRY(child) entry;
	struct symbolizer *owner;
	pid_t pid;
	int pidfd, socket;
	bool is_ready; /* said that it is inside its sandbox */
	sd_event_source *exit_source, *reply_source;
};
LIST_HEAD(child_list, child);

struct symbolizer {
	sd_event *event;
	struct symbolizer_config config;
	char *executable;
	struct child *child;
	struct child_list dying;
	struct job_list queues[QUEUES];
	struct job *current;
	uint64_t started_cpu_ns, started_wall_ns; /* of the current job */
	sd_event_source *timer, *kick;
	struct symbolizer_stats stats;
	uint64_t next_id;
};

static struct job *job_free(struct job *j)
{
	if (!j)
		return NULL;
	for (size_t i = 0; i < j->n_fds; i++)
		(void)close_fd(j->fds[i]);
	free(j);
	return NULL;
}
DEFINE_CLEANUP(struct job *, job_free)

/* ---- the child -------------------------------------------------------------------------------------------------- */

static uint64_t child_cpu_ns(pid_t pid)
{
	clockid_t clock;

	return clock_getcpuclockid(pid, &clock) == 0 ? clock_now_ns(clock) : 0;
}

static void child_release(struct child *c)
{
	sd_event_source_disable_unref(c->exit_source);
	sd_event_source_disable_unref(c->reply_source);
	(void)close_fd(c->pidfd);
	(void)close_fd(c->socket);
	free(c);
}

/* True where it was reaped. */
static bool child_reap(struct symbolizer *s, struct child *c, bool waits)
{
	uint64_t cpu_ns = 0;

	if (!helper_reap(c->pid, waits, NULL, &cpu_ns))
		return false;
	s->stats.cpu_ns += cpu_ns;
	return true;
}

static void child_kill(struct symbolizer *s)
{
	struct child *c = s->child;

	if (!c)
		return;
	(void)kill(c->pid, SIGKILL); /* not reaped yet, so the number is its own */
	c->reply_source = sd_event_source_disable_unref(c->reply_source);
	c->socket = close_fd(c->socket);
	s->child = NULL;
	LIST_INSERT_HEAD(&s->dying, c, entry);
}

static int on_exit_event(sd_event_source *source, int fd, uint32_t events, void *userdata);
static int on_reply_event(sd_event_source *source, int fd, uint32_t events, void *userdata);

static int spawn(const struct symbolizer *s, int socket, struct child *c)
{
	char memory_max[64];
	char *argv[] = { s->executable, memory_max, NULL };

	(void)snprintf(memory_max, sizeof(memory_max), "--memory-max=%llu", (unsigned long long)s->config.memory_max);
	return helper_start(s->executable, argv, socket, &c->pid, &c->pidfd);
}

static int child_watch(struct symbolizer *s, struct child *c)
{
	int r = sd_event_add_io(s->event, &c->reply_source, c->socket, EPOLLIN, on_reply_event, s);

	if (r < 0)
		return r;
	return sd_event_add_io(s->event, &c->exit_source, c->pidfd, EPOLLIN, on_exit_event, c);
}

static int child_start(struct symbolizer *s)
{
	_cleanup_close_ int theirs = -1;
	struct child *c;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	theirs = pair[1];
	c = malloc(sizeof(*c));
	if (!c) {
		(void)close_fd(pair[0]);
		return -ENOMEM;
	}
	*c = (struct child){ .owner = s, .pidfd = -1, .socket = pair[0] };
	r = fcntl(theirs, F_SETFL, 0) < 0 ? -errno : spawn(s, theirs, c);
	if (r < 0) {
		child_release(c);
		return r;
	}
	s->stats.starts++;
	r = child_watch(s, c);
	if (r < 0) {
		(void)kill(c->pid, SIGKILL);
		(void)child_reap(s, c, true);
		child_release(c);
		return r;
	}
	s->child = c;
	return 0;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

/* Seals the answer, so that it stays what was checked, and maps it. A child that keeps a writable mapping makes sealing
 * fail: no honest one has any. */
static int map_answer(int fd, uint64_t bytes, const void **ret)
{
	struct stat st;
	void *p;

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (bytes == 0 || bytes > SYMBOLIZER_ANSWER_BYTES_MAX || (uint64_t)st.st_size != bytes)
		return -EBADMSG;
	p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

static void set_timer(struct symbolizer *s, uint64_t ns)
{
	(void)sd_event_source_set_time_relative(s->timer, ns / 1000);
	(void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* Takes the current job off; what comes next is decided by the event loop, after done() had its say. */
static void finish(struct symbolizer *s, int result, const void *answer, size_t bytes)
{
	_cleanup_(job_freep) struct job *j = TAKE_PTR(s->current);

	if (result < 0)
		s->stats.failures++;
	set_timer(s, s->config.idle_ns);
	(void)sd_event_source_set_enabled(s->kick, SD_EVENT_ONESHOT);
	j->done(j->userdata, result, answer, bytes);
}

static void finish_with_reply(struct symbolizer *s, const struct symbolizer_reply *reply)
{
	const void *answer = NULL;
	int r = reply->result;

	if (r == 0) {
		r = map_answer(s->current->fds[s->current->answer_position], reply->answer_bytes, &answer);
		if (r == -EBADMSG) {
			s->stats.kills++;
			child_kill(s);
		}
	} else if (r > 0 || r < -4095) {
		r = -EBADMSG;
	}
	finish(s, r, answer, answer ? reply->answer_bytes : 0);
	if (answer)
		(void)munmap((void *)answer, reply->answer_bytes);
}

/* The child is gone or must go; its current request, if any, is to blame once the child was ready. */
static void child_lost(struct symbolizer *s)
{
	bool was_ready = s->child->is_ready;

	child_kill(s);
	if (s->current)
		finish(s, was_ready ? -EOWNERDEAD : -ECHILD, NULL, 0);
}

static int on_reply_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct symbolizer *s = userdata;
	struct symbolizer_reply reply;
	ssize_t k = socket_recv_fds(fd, &reply, sizeof(reply), NULL, 0, NULL);

	(void)source;
	(void)events;
	if (k == -EAGAIN)
		return 0;
	if (k <= 0) {
		/* Ends by itself: the exit event tells how it went on. */
		s->child->reply_source = sd_event_source_disable_unref(s->child->reply_source);
		child_lost(s);
		return 0;
	}
	if ((size_t)k == sizeof(reply) && reply.id == 0 && !s->child->is_ready) {
		s->child->is_ready = true;
		return 0;
	}
	if ((size_t)k != sizeof(reply) || !s->current || !s->child->is_ready || reply.id != s->current->request.id) {
		s->stats.kills++;
		child_lost(s);
		return 0;
	}
	finish_with_reply(s, &reply);
	return 0;
}

static int on_exit_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct child *c = userdata;
	struct symbolizer *s = c->owner;

	(void)source;
	(void)fd;
	(void)events;
	if (s->child == c)
		child_lost(s); /* now in the list of the dying */
	if (child_reap(s, c, false)) {
		LIST_REMOVE(c, entry);
		child_release(c);
	}
	return 0;
}

static struct job *next_job(struct symbolizer *s)
{
	for (size_t i = 0; i < QUEUES; i++) {
		struct job *j = TAILQ_FIRST(&s->queues[i]);

		if (j) {
			TAILQ_REMOVE(&s->queues[i], j, entry);
			s->stats.queued--;
			return j;
		}
	}
	return NULL;
}

static int send_current(struct symbolizer *s)
{
	int r = s->child ? 0 : child_start(s);

	if (r < 0)
		return r;
	assert(s->child);
	r = socket_send_fds(s->child->socket, &s->current->request, sizeof(s->current->request), s->current->fds,
	        s->current->n_fds);
	if (r < 0)
		return r;
	s->started_cpu_ns = child_cpu_ns(s->child->pid);
	s->started_wall_ns = clock_now_ns(CLOCK_MONOTONIC);
	return 0;
}

static int on_kick(sd_event_source *source, void *userdata)
{
	struct symbolizer *s = userdata;
	int r;

	(void)source;
	if (s->current)
		return 0;
	s->current = next_job(s);
	if (!s->current)
		return 0;
	r = send_current(s);
	if (r == -EPIPE || r == -ECONNRESET || r == -EAGAIN) {
		/* It died while idle (EAGAIN: it does not read): another one gets the request. */
		child_kill(s);
		r = send_current(s);
		if (r == -EPIPE || r == -ECONNRESET)
			r = -ECHILD; /* a new one, which ended before it could be asked: as in child_lost() */
	}
	if (r < 0)
		finish(s, r, NULL, 0);
	else
		set_timer(s, s->config.timeout_ns);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct symbolizer *s = userdata;
	uint64_t cpu_ns, wall_ns;

	(void)source;
	(void)usec;
	if (!s->child)
		return 0;
	if (!s->current) {
		child_kill(s); /* idle for long enough */
		return 0;
	}
	cpu_ns = child_cpu_ns(s->child->pid) - s->started_cpu_ns;
	wall_ns = clock_now_ns(CLOCK_MONOTONIC) - s->started_wall_ns;
	if (cpu_ns < s->config.timeout_ns && wall_ns < WALL_PER_CPU * s->config.timeout_ns) {
		/* A busy host, not a slow request: look again when it could be over. */
		set_timer(s, MAX(s->config.timeout_ns - cpu_ns, 10 * NS_PER_MS));
		return 0;
	}
	s->stats.kills++;
	child_lost(s);
	return 0;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static bool has_queries(enum symbolizer_kind kind)
{
	return kind == SYMBOLIZER_SYMBOLS || kind == SYMBOLIZER_KALLSYMS || kind == SYMBOLIZER_PERF_MAP;
}

static int make_memfd(const char *name, const void *data, size_t bytes, int *ret)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_pwrite_full(fd, data, bytes, 0);
	if (r < 0)
		return r;
	*ret = TAKE_FD(fd);
	return 0;
}

static int add_memfd(struct job *j, const char *name, const void *data, size_t bytes)
{
	int r = make_memfd(name, data, bytes, &j->fds[j->n_fds]);

	if (r == 0)
		j->n_fds++;
	return r;
}

static int add_duplicate(struct job *j, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, HELPER_SOCKET_FD + 1);

	if (copy < 0)
		return -errno;
	j->fds[j->n_fds++] = copy;
	return 0;
}

static enum queue_kind queue_of(const struct job *j)
{
	struct stat st;

	if (j->request.kind == SYMBOLIZER_IDENTIFY)
		return QUEUE_IDENTIFY;
	return fstat(j->fds[0], &st) == 0 && st.st_size > LARGE_FILE_BYTES ? QUEUE_LARGE : QUEUE_SMALL;
}

/* Descriptors in the order of protocol.h. */
static int fill_fds(struct job *j, const int *fds, size_t n_fds, const uint64_t *queries, uint32_t n_queries)
{
	int r = add_duplicate(j, fds[0]);

	if (r == 0 && has_queries(j->request.kind))
		r = add_memfd(j, "symbolizer-queries", queries, n_queries * sizeof(*queries));
	if (r < 0)
		return r;
	j->answer_position = j->n_fds;
	r = add_memfd(j, "symbolizer-answer", NULL, 0);
	for (size_t i = 1; i < n_fds && r == 0; i++)
		r = add_duplicate(j, fds[i]);
	return r;
}

int symbolizer_request(struct symbolizer *s, enum symbolizer_kind kind, uint32_t flags, const int *fds, size_t n_fds,
        const uint64_t *queries, uint32_t n_queries, symbolizer_done_t done, void *userdata)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r;

	assert(s);
	assert(done);
	if (n_fds < 1 || n_fds > 1 + SYMBOLIZER_DEBUG_FILES_MAX || (n_fds > 1 && kind != SYMBOLIZER_SYMBOLS))
		return -EINVAL;
	if (has_queries(kind) ? !queries || !n_queries || n_queries > SYMBOLIZER_QUERIES_MAX : n_queries != 0)
		return -EINVAL;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->request = (struct symbolizer_request){
		.version = SYMBOLIZER_VERSION,
		.kind = kind,
		.id = ++s->next_id,
		.flags = flags,
		.n_queries = n_queries,
	};
	j->done = done;
	j->userdata = userdata;
	r = fill_fds(j, fds, n_fds, queries, n_queries);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(s->kick, SD_EVENT_ONESHOT);
	if (r < 0)
		return r;
	s->stats.requests++;
	s->stats.queued++;
	TAILQ_INSERT_TAIL(&s->queues[queue_of(j)], j, entry);
	(void)TAKE_PTR(j);
	return 0;
}

void symbolizer_stats(const struct symbolizer *s, struct symbolizer_stats *ret)
{
	struct usage usage;

	*ret = s->stats;
	if (s->child) {
		ret->pid = s->child->pid;
		if (usage_of(s->child->pid, &usage) == 0)
			ret->rss_bytes = usage.rss_bytes;
		ret->cpu_ns += child_cpu_ns(s->child->pid);
	}
}

int symbolizer_new(sd_event *event, const struct symbolizer_config *config, struct symbolizer **ret)
{
	_cleanup_(symbolizer_freep) struct symbolizer *s = calloc(1, sizeof(*s));
	int r;

	assert(ret);
	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->config = *config;
	LIST_INIT(&s->dying);
	for (size_t i = 0; i < QUEUES; i++)
		TAILQ_INIT(&s->queues[i]);
	s->executable = strdup(config->executable);
	if (!s->executable)
		return -ENOMEM;
	s->config.executable = s->executable;
	r = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, 0, 0, on_timer, s);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = sd_event_add_defer(event, &s->kick, on_kick, s);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(s->kick, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

static void cancel(struct job *j)
{
	if (!j)
		return;
	j->done(j->userdata, -ECANCELED, NULL, 0);
	job_free(j);
}

struct symbolizer *symbolizer_free(struct symbolizer *s)
{
	struct child *c;
	struct job *j;

	if (!s)
		return NULL;
	child_kill(s);
	cancel(TAKE_PTR(s->current));
	while ((j = next_job(s)))
		cancel(j);
	while ((c = LIST_FIRST(&s->dying))) {
		(void)child_reap(s, c, true); /* killed already: this does not take long */
		LIST_REMOVE(c, entry);
		child_release(c);
	}
	sd_event_source_disable_unref(s->timer);
	sd_event_source_disable_unref(s->kick);
	sd_event_unref(s->event);
	free(s->executable);
	free(s);
	return NULL;
}
