/* Jobs are worked off in threads and come back on the loop; whatever is asked while one is on its way, none is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "daemon/uprobe_queue.h"

#define JOBS 300

struct owner {
	struct uprobe_queue *queue;
	struct uprobe_job job;
	atomic_uint *running;
	atomic_uint *most;
	unsigned worked, came_back, again;
	pthread_t worker;
};

static void wait_us(long us)
{
	const struct timespec ts = { .tv_nsec = us * 1000 };

	(void)nanosleep(&ts, NULL);
}

static void work(void *userdata)
{
	struct owner *o = userdata;
	unsigned now, most;

	now = atomic_fetch_add(o->running, 1) + 1;
	most = atomic_load(o->most);
	while (now > most && !atomic_compare_exchange_weak(o->most, &most, now))
		;
	o->worker = pthread_self();
	o->worked++; /* plainly: while the job is in the queue's hands nobody else has it */
	wait_us(200);
	(void)atomic_fetch_sub(o->running, 1);
}

static void done(void *userdata)
{
	struct owner *o = userdata;

	o->came_back++;
	assert_int_equal(o->worked, o->came_back);
	assert_false(pthread_equal(o->worker, pthread_self()));
	if (o->again > 0) {
		o->again--;
		assert_int_equal(uprobe_queue_push(o->queue, &o->job), 0);
	}
}

static struct owner *make(struct uprobe_queue *q, size_t n, unsigned again, atomic_uint *running, atomic_uint *most)
{
	struct owner *o = calloc(n, sizeof(*o));

	assert_non_null(o);
	for (size_t i = 0; i < n; i++)
		o[i] = (struct owner){ .queue = q,
			.job = { .work = work, .done = done, .userdata = &o[i] },
			.again = again,
			.running = running,
			.most = most };
	return o;
}

static sd_event *new_loop(void)
{
	sd_event *loop = NULL;

	assert_true(sd_event_new(&loop) >= 0);
	return loop;
}

static void queue_returns_each_job_on_the_loop(void **state)
{
	sd_event *loop = new_loop();
	struct uprobe_queue *q = NULL;
	atomic_uint running = 0, most = 0;
	struct owner *o;

	(void)state;
	assert_int_equal(uprobe_queue_new(loop, 3, JOBS, &q), 0);
	o = make(q, JOBS, 2, &running, &most);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(uprobe_queue_push(q, &o[i].job), 0);
	assert_int_equal(uprobe_queue_waiting(q), JOBS);
	while (uprobe_queue_waiting(q) > 0)
		assert_true(sd_event_run(loop, UINT64_MAX) >= 0);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(o[i].came_back, 3);
	assert_true(most >= 1 && most <= 3);
	(void)uprobe_queue_free(q);
	free(o);
	(void)sd_event_unref(loop);
}

static void queue_is_bounded(void **state)
{
	sd_event *loop = new_loop();
	struct uprobe_queue *q = NULL;
	atomic_uint running = 0, most = 0;
	struct owner *o;

	(void)state;
	assert_int_equal(uprobe_queue_new(loop, 1, 4, &q), 0);
	o = make(q, 5, 0, &running, &most);
	for (int i = 0; i < 4; i++)
		assert_int_equal(uprobe_queue_push(q, &o[i].job), 0);
	assert_int_equal(uprobe_queue_push(q, &o[4].job), -EAGAIN); /* done or not: not yet handed back */
	uprobe_queue_finish(q);
	assert_int_equal(uprobe_queue_push(q, &o[4].job), 0);
	uprobe_queue_finish(q);
	for (int i = 0; i < 5; i++)
		assert_int_equal(o[i].came_back, 1);
	assert_int_equal(most, 1);
	(void)uprobe_queue_free(q);
	free(o);
	(void)sd_event_unref(loop);
}

/* As at shutdown: nothing is left half done, and what the jobs' ends ask for is done, too. */
static void queue_works_off_all_when_freed(void **state)
{
	sd_event *loop = new_loop();
	struct uprobe_queue *q = NULL;
	atomic_uint running = 0, most = 0;
	struct owner *o;

	(void)state;
	assert_int_equal(uprobe_queue_new(loop, 2, JOBS, &q), 0);
	o = make(q, JOBS, 1, &running, &most);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(uprobe_queue_push(q, &o[i].job), 0);
	q = uprobe_queue_free(q);
	assert_null(q);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(o[i].worked, 2);
		assert_int_equal(o[i].came_back, 2);
	}
	assert_int_equal(running, 0);
	free(o);
	(void)sd_event_unref(loop);
}

static void queue_that_did_nothing_is_freed(void **state)
{
	sd_event *loop = new_loop();
	struct uprobe_queue *q = NULL;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(uprobe_queue_new(loop, 4, 1, &q), 0);
		q = uprobe_queue_free(q);
	}
	(void)sd_event_unref(loop);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_returns_each_job_on_the_loop),
		cmocka_unit_test(queue_is_bounded),
		cmocka_unit_test(queue_works_off_all_when_freed),
		cmocka_unit_test(queue_that_did_nothing_is_freed),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
