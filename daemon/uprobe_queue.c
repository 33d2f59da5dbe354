#include "daemon/uprobe_queue.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>

#define THREADS_MAX 8

STAILQ_HEAD(jobs, uprobe_job);

struct uprobe_queue {
	sd_event_source *source;
	int event_fd;
	size_t n, max; /* the loop's own */
	pthread_mutex_t mutex;
	pthread_cond_t came, went;
	/* under the mutex */
	struct jobs waiting, finished;
	bool is_ending;
	pthread_t threads[THREADS_MAX];
	unsigned n_threads;
};

static void tell(struct uprobe_queue *q)
{
	const uint64_t one = 1;

	while (write(q->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static struct uprobe_job *next_job(struct uprobe_queue *q)
{
	struct uprobe_job *job;

	while (STAILQ_EMPTY(&q->waiting) && !q->is_ending)
		(void)pthread_cond_wait(&q->came, &q->mutex);
	job = STAILQ_FIRST(&q->waiting);
	if (job)
		STAILQ_REMOVE_HEAD(&q->waiting, link);
	return job;
}

static void *run(void *userdata)
{
	struct uprobe_queue *q = userdata;
	struct uprobe_job *job;

	(void)pthread_mutex_lock(&q->mutex);
	while ((job = next_job(q))) {
		(void)pthread_mutex_unlock(&q->mutex);
		job->work(job->userdata);
		(void)pthread_mutex_lock(&q->mutex);
		STAILQ_INSERT_TAIL(&q->finished, job, link);
		(void)pthread_cond_signal(&q->went);
		tell(q);
	}
	(void)pthread_mutex_unlock(&q->mutex);
	return NULL;
}

static struct uprobe_job *take_finished(struct uprobe_queue *q, bool wait)
{
	struct uprobe_job *job;

	(void)pthread_mutex_lock(&q->mutex);
	while (wait && STAILQ_EMPTY(&q->finished))
		(void)pthread_cond_wait(&q->went, &q->mutex);
	job = STAILQ_FIRST(&q->finished);
	if (job)
		STAILQ_REMOVE_HEAD(&q->finished, link);
	(void)pthread_mutex_unlock(&q->mutex);
	return job;
}

static bool finish_one(struct uprobe_queue *q, bool wait)
{
	struct uprobe_job *job = take_finished(q, wait);

	if (!job)
		return false;
	q->n--;
	job->done(job->userdata);
	return true;
}

static int on_finished(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
	uint64_t n;

	(void)s;
	(void)events;
	(void)!read(fd, &n, sizeof(n)); /* before the list is looked at: what comes later tells again */
	while (finish_one(userdata, false))
		;
	return 0;
}

/* Signals are the loop's. */
static int start_threads(struct uprobe_queue *q, unsigned n)
{
	sigset_t all, old;
	int r = 0;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	while (r == 0 && q->n_threads < n) {
		r = pthread_create(&q->threads[q->n_threads], NULL, run, q);
		q->n_threads += r == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return q->n_threads ? 0 : -r; /* fewer do as well */
}

int uprobe_queue_new(sd_event *loop, unsigned n_threads, size_t max_jobs, struct uprobe_queue **ret)
{
	_cleanup_(uprobe_queue_freep) struct uprobe_queue *q = NULL;
	int r;

	assert(loop);
	assert(n_threads > 0 && n_threads <= THREADS_MAX);
	assert(ret);

	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	STAILQ_INIT(&q->waiting);
	STAILQ_INIT(&q->finished);
	(void)pthread_mutex_init(&q->mutex, NULL); /* as these are, none can fail */
	(void)pthread_cond_init(&q->came, NULL);
	(void)pthread_cond_init(&q->went, NULL);
	q->max = max_jobs;
	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->event_fd < 0)
		return -errno;
	r = sd_event_add_io(loop, &q->source, q->event_fd, EPOLLIN, on_finished, q);
	if (r >= 0)
		r = start_threads(q, n_threads);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(q);
	return 0;
}

int uprobe_queue_push(struct uprobe_queue *q, struct uprobe_job *job)
{
	assert(job->work);
	assert(job->done);

	if (q->n >= q->max)
		return -EAGAIN;
	q->n++;
	(void)pthread_mutex_lock(&q->mutex);
	STAILQ_INSERT_TAIL(&q->waiting, job, link);
	(void)pthread_cond_signal(&q->came);
	(void)pthread_mutex_unlock(&q->mutex);
	return 0;
}

size_t uprobe_queue_waiting(const struct uprobe_queue *q)
{
	return q->n;
}

void uprobe_queue_finish(struct uprobe_queue *q)
{
	while (q->n > 0)
		(void)finish_one(q, true);
}

struct uprobe_queue *uprobe_queue_free(struct uprobe_queue *q)
{
	if (!q)
		return NULL;
	uprobe_queue_finish(q);
	(void)pthread_mutex_lock(&q->mutex);
	q->is_ending = true;
	(void)pthread_cond_broadcast(&q->came);
	(void)pthread_mutex_unlock(&q->mutex);
	for (unsigned i = 0; i < q->n_threads; i++)
		(void)pthread_join(q->threads[i], NULL);
	(void)sd_event_source_disable_unref(q->source);
	(void)close_fd(q->event_fd);
	(void)pthread_cond_destroy(&q->went);
	(void)pthread_cond_destroy(&q->came);
	(void)pthread_mutex_destroy(&q->mutex);
	free(q);
	return NULL;
}
