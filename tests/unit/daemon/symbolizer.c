/* The real client against the real child, $SYMBOLIZER. */
#include "tests/unit/unit.h"
#include "daemon/symbolizer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/clock.h"
#include "base/fd.h"
#include "symbolizer/answer.h"

#define SELF "/proc/self/exe"

struct got {
	sd_event *event;
	int n, order[64], result;
	struct symbolizer_identity identity;
	uint32_t n_rows;
	uint64_t bytes;
};

static void on_identity(void *userdata, int result, const void *answer, size_t bytes)
{
	struct got *g = userdata;

	g->order[g->n++] = SYMBOLIZER_IDENTIFY;
	g->result = result;
	if (result == 0)
		assert_int_equal(answer_identity(answer, bytes, &g->identity), 0);
}

static void on_rows(void *userdata, int result, const void *answer, size_t bytes)
{
	struct got *g = userdata;
	struct answer_rows v;

	g->order[g->n++] = SYMBOLIZER_ROWS;
	g->result = result;
	if (result == 0) {
		assert_int_equal(answer_rows(answer, bytes, &v), 0);
		g->n_rows = v.n_rows;
	} else {
		assert_null(answer);
	}
}

static struct symbolizer *start_with(sd_event *event, const char *executable, uint64_t timeout_ns, uint64_t idle_ns)
{
	struct symbolizer *s;

	assert_int_equal(symbolizer_new(event,
	                         &(struct symbolizer_config){
	                                 .executable = executable,
	                                 .idle_ns = idle_ns,
	                                 .timeout_ns = timeout_ns,
	                                 .memory_max = 512 << 20,
	                         },
	                         &s),
	        0);
	return s;
}

static struct symbolizer *start(sd_event *event)
{
	return start_with(event, getenv("SYMBOLIZER"), 20 * NS_PER_SEC, 20 * NS_PER_SEC);
}

static int open_self(void)
{
	int fd = open(SELF, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Runs the loop until n answers are there. */
static void wait_for(struct got *g, int n)
{
	while (g->n < n)
		assert_true(sd_event_run(g->event, 30ull * 1000 * 1000) > 0);
}

static void wait_until_no_child(sd_event *event, const struct symbolizer *s)
{
	struct symbolizer_stats stats;

	do {
		assert_true(sd_event_run(event, 10ull * 1000 * 1000) > 0);
		symbolizer_stats(s, &stats);
	} while (stats.pid);
}

static void identifies_and_makes_rows(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer_stats stats;
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start(g.event);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	assert_int_equal(g.n, 0); /* never from inside the call */
	wait_for(&g, 1);
	assert_int_equal(g.result, 0);
	assert_true(g.identity.build_id_size == 20 || g.identity.build_id_size == 0);
	assert_true(g.identity.n_segments >= 1);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_rows, &g), 0);
	wait_for(&g, 2);
	assert_int_equal(g.result, 0);
	assert_true(g.n_rows > 100);
	symbolizer_stats(s, &stats);
	assert_int_equal(stats.starts, 1);
	assert_int_equal(stats.requests, 2);
	assert_int_equal(stats.failures, 0);
	assert_true(stats.pid > 0);
	assert_true(stats.cpu_ns > 0);
	symbolizer_free(s);
	assert_int_equal(kill(stats.pid, 0), -1); /* reaped */
	sd_event_unref(g.event);
}

static void identify_goes_before_rows(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start(g.event);
	for (int i = 0; i < 5; i++)
		assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_rows, &g), 0);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 6);
	assert_int_equal(g.order[0], SYMBOLIZER_IDENTIFY);
	for (int i = 1; i < 6; i++)
		assert_int_equal(g.order[i], SYMBOLIZER_ROWS);
	symbolizer_free(s);
	sd_event_unref(g.event);
}

static void child_ends_when_idle_and_comes_back(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer_stats stats;
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start_with(g.event, getenv("SYMBOLIZER"), 20 * NS_PER_SEC, 50 * NS_PER_MS);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 1);
	wait_until_no_child(g.event, s);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 2);
	assert_int_equal(g.result, 0);
	symbolizer_stats(s, &stats);
	assert_int_equal(stats.starts, 2);
	assert_int_equal(stats.kills, 0);
	symbolizer_free(s);
	sd_event_unref(g.event);
}

/* A child that is stopped stands for one that hangs: the wall clock ends it. */
static void hung_child_is_killed_and_the_next_request_answered(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer_stats stats;
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start_with(g.event, getenv("SYMBOLIZER"), NS_PER_SEC, 20 * NS_PER_SEC);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 1);
	symbolizer_stats(s, &stats);
	assert_int_equal(kill(stats.pid, SIGSTOP), 0);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_rows, &g), 0);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_rows, &g), 0);
	wait_for(&g, 2);
	assert_int_equal(g.result, -EOWNERDEAD);
	wait_for(&g, 3);
	assert_int_equal(g.result, 0);
	symbolizer_stats(s, &stats);
	assert_int_equal(stats.kills, 1);
	assert_int_equal(stats.starts, 2);
	symbolizer_free(s);
	sd_event_unref(g.event);
}

static void killed_child_costs_one_request(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer_stats stats;
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start(g.event);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 1);
	symbolizer_stats(s, &stats);
	assert_int_equal(kill(stats.pid, SIGSTOP), 0);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_rows, &g), 0);
	for (int i = 0; i < 3; i++)
		(void)sd_event_run(g.event, 1000);
	assert_int_equal(kill(stats.pid, SIGKILL), 0);
	wait_for(&g, 2);
	assert_int_equal(g.result, -EOWNERDEAD);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_rows, &g), 0);
	wait_for(&g, 3);
	assert_int_equal(g.result, 0);
	symbolizer_free(s);
	sd_event_unref(g.event);
}

/* The request after an idle child's death must not be blamed. */
static void child_that_dies_idle_costs_nothing(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer_stats stats;
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start(g.event);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 1);
	symbolizer_stats(s, &stats);
	assert_int_equal(kill(stats.pid, SIGKILL), 0);
	wait_until_no_child(g.event, s);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 2);
	assert_int_equal(g.result, 0);
	symbolizer_free(s);
	sd_event_unref(g.event);
}

static void program_that_is_no_symbolizer_is_told_apart(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start_with(g.event, "/bin/false", NS_PER_SEC, NS_PER_SEC);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 1);
	assert_int_equal(g.result, -ECHILD);
	symbolizer_free(s);
	g.n = 0;
	s = start_with(g.event, "/nonexistent", NS_PER_SEC, NS_PER_SEC);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	wait_for(&g, 1);
	assert_int_equal(g.result, -ENOENT);
	symbolizer_free(s);
	sd_event_unref(g.event);
}

static void what_is_pending_is_cancelled(void **state)
{
	_cleanup_close_ int fd = open_self();
	struct got g = { 0 };
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start(g.event);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_IDENTIFY, 0, &fd, 1, NULL, 0, on_identity, &g), 0);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_rows, &g), 0);
	(void)sd_event_run(g.event, 0);
	symbolizer_free(s);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.result, -ECANCELED);
	sd_event_unref(g.event);
}

static void bad_requests_are_refused(void **state)
{
	_cleanup_close_ int fd = open_self();
	const int three[] = { fd, fd, fd };
	struct got g = { 0 };
	struct symbolizer *s;

	(void)state;
	assert_true(sd_event_new(&g.event) >= 0);
	s = start(g.event);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, three, 3, NULL, 0, on_rows, &g), -EINVAL);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, three, 2, NULL, 0, on_rows, &g), -EINVAL);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_SYMBOLS, 0, three, 1, NULL, 0, on_rows, &g), -EINVAL);
	assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, (int[]){ 9999 }, 1, NULL, 0, on_rows, &g), -EBADF);
	symbolizer_free(s);
	assert_int_equal(g.n, 0);
	sd_event_unref(g.event);
}

static void on_bytes(void *userdata, int result, const void *answer, size_t bytes)
{
	struct got *g = userdata;

	g->n++;
	g->result = result;
	g->bytes = bytes;
	assert_int_equal(answer != NULL, result == 0);
}

/* What $LIAR answers under each of its names. */
static void lies_are_not_believed(void **state)
{
	static const struct {
		const char *name;
		int result;
	} lies[] = {
		{ "honest", 0 },
		{ "wrong-id", -EOWNERDEAD },
		{ "short", -EOWNERDEAD },
		{ "chatty", -EOWNERDEAD },
		{ "no-hello", -ECHILD },
		{ "mapped", -EBADMSG },
		{ "wrong-size", -EBADMSG },
		{ "huge", -EBADMSG },
		{ "empty", -EBADMSG },
		{ "positive", -EBADMSG },
		{ "no-errno", -EBADMSG },
	};
	char directory[] = "/tmp/ember-unit-XXXXXX", path[64];
	const char *liar = getenv("LIAR");
	_cleanup_close_ int fd = open_self();

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_non_null(liar);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct symbolizer *s;
		struct got g = { 0 };

		(void)snprintf(path, sizeof(path), "%s/%s", directory, lies[i].name);
		assert_int_equal(symlink(liar ? liar : "", path), 0);
		assert_true(sd_event_new(&g.event) >= 0);
		s = start_with(g.event, path, 20 * NS_PER_SEC, 20 * NS_PER_SEC);
		for (int k = 1; k <= 2; k++) { /* one lie does not spoil the next request */
			assert_int_equal(symbolizer_request(s, SYMBOLIZER_ROWS, 0, &fd, 1, NULL, 0, on_bytes, &g), 0);
			wait_for(&g, k);
			assert_int_equal(g.result, lies[i].result);
			assert_int_equal(g.bytes, lies[i].result == 0 ? 16 : 0);
		}
		symbolizer_free(s);
		sd_event_unref(g.event);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(directory), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(identifies_and_makes_rows),
	cmocka_unit_test(identify_goes_before_rows),
	cmocka_unit_test(child_ends_when_idle_and_comes_back),
	cmocka_unit_test(hung_child_is_killed_and_the_next_request_answered),
	cmocka_unit_test(killed_child_costs_one_request),
	cmocka_unit_test(child_that_dies_idle_costs_nothing),
	cmocka_unit_test(program_that_is_no_symbolizer_is_told_apart),
	cmocka_unit_test(what_is_pending_is_cancelled),
	cmocka_unit_test(bad_requests_are_refused),
	cmocka_unit_test(lies_are_not_believed),
};

UNIT_MAIN(tests)
