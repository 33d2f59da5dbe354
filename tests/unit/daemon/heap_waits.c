#include "tests/unit/unit.h"
#include "daemon/heap_waits.h"

#define MS 1000000ull

static void one_that_never_sleeps_wants_a_cpu(void **state)
{
	struct heap_waits w = { 0 };
	struct proc_thread t = { .tid = 7, .ran_ns = 1000 * MS, .waited_ns = 9000 * MS };

	(void)state;
	/* from its start on */
	assert_int_equal(heap_waits_follow(&w, &t, 1, 5000 * MS, 15000 * MS), 9000 * MS);
	t.ran_ns += 25 * MS;
	t.waited_ns += 225 * MS;
	assert_int_equal(heap_waits_follow(&w, &t, 1, 5000 * MS, 15250 * MS), 225 * MS);
	/* a wait is told when it is over: longer than since the last look */
	t.ran_ns += 25 * MS;
	t.waited_ns += 300 * MS;
	assert_int_equal(heap_waits_follow(&w, &t, 1, 5000 * MS, 15500 * MS), 225 * MS);
	/* waits still, or sleeps */
	assert_int_equal(heap_waits_follow(&w, &t, 1, 5000 * MS, 15750 * MS), 0);
}

static void one_that_mostly_sleeps_wants_little(void **state)
{
	struct heap_waits w = { 0 };
	struct proc_thread t = { .tid = 7 };

	(void)state;
	(void)heap_waits_follow(&w, &t, 1, 1, 1000 * MS);
	t.ran_ns += 50 * MS;
	t.waited_ns += 500 * MS; /* and slept for 450: it would have run for 50 of 500 */
	assert_int_equal(heap_waits_follow(&w, &t, 1, 1, 2000 * MS), 50 * MS);
}

static void threads_want_each_for_itself(void **state)
{
	struct proc_thread t[HEAP_WAITS_THREADS_MAX] = { 0 };
	struct heap_waits w = { 0 };

	(void)state;
	for (int i = 0; i < HEAP_WAITS_THREADS_MAX; i++)
		t[i].tid = i + 1;
	(void)heap_waits_follow(&w, t, HEAP_WAITS_THREADS_MAX - 1, 1, 1000 * MS);
	t[40].ran_ns += 100 * MS;
	t[40].waited_ns += 900 * MS;
	t[HEAP_WAITS_THREADS_MAX - 1].ran_ns = 999 * MS; /* a new one: not known for how long */
	assert_int_equal(heap_waits_follow(&w, t, HEAP_WAITS_THREADS_MAX, 1, 2000 * MS), 900 * MS);
	/* others have ended, and the order is another one */
	t[0] = t[40];
	t[0].ran_ns += 500 * MS;
	t[0].waited_ns += 500 * MS;
	assert_int_equal(heap_waits_follow(&w, t, 1, 1, 3000 * MS), 500 * MS);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(one_that_never_sleeps_wants_a_cpu),
	cmocka_unit_test(one_that_mostly_sleeps_wants_little),
	cmocka_unit_test(threads_want_each_for_itself),
};

UNIT_MAIN(tests)
