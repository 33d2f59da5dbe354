#include "tests/unit/unit.h"
#include "daemon/heap_unseen.h"

static void note(struct heap_unseen *u, int n, double weight)
{
	for (int i = 0; i < n; i++)
		heap_unseen_note(u, weight);
}

static bool close_window(struct heap_unseen *u, uint64_t frees, int64_t *ret, int64_t *ret_error)
{
	bool is_told = heap_unseen_frees(u, frees, ret, ret_error);

	heap_unseen_begin_window(u, frees);
	return is_told;
}

static void frees_of_what_was_not_seen_are_told(void **state)
{
	struct heap_unseen u;
	int64_t frees, error;

	(void)state;
	heap_unseen_open(&u, 1000);
	note(&u, 60, 10);
	assert_true(close_window(&u, 1900, &frees, &error)); /* 600 of 900 were seen: sqrt(60 * 10 * 9) */
	assert_int_equal(frees, 300);
	assert_int_equal(error, 73);
	note(&u, 22, 10); /* more than there were in the next one, by chance: told, so that sums have no bias */
	assert_true(close_window(&u, 2100, &frees, &error));
	assert_int_equal(frees, -20);
	assert_true(close_window(&u, 2105, &frees, &error)); /* none was sampled */
	assert_int_equal(frees, 5);
	assert_int_equal(error, 0);
}

static void what_sampling_alone_may_have_made_is_not(void **state)
{
	struct heap_unseen u;
	int64_t frees, error;

	(void)state;
	heap_unseen_open(&u, 0);
	note(&u, 4, 8000); /* 32,000 +- 16,000 */
	assert_false(close_window(&u, 60000, &frees, &error));
	note(&u, 4, 8000); /* 66,000 +- 22,600 with these */
	assert_true(close_window(&u, 60000 + 70000, &frees, &error));
	note(&u, 16, 8000); /* as many as they stand for: by and by it is nothing to speak of */
	assert_false(close_window(&u, 130000 + 128000, &frees, &error));
}

static void what_is_known_by_every_object_has_no_error(void **state)
{
	struct heap_unseen u;
	int64_t frees, error;

	(void)state;
	heap_unseen_open(&u, 0);
	note(&u, 10, 1);
	heap_unseen_note(&u, 0); /* its sample was not known */
	assert_false(close_window(&u, 10, &frees, &error));
	assert_true(close_window(&u, 11, &frees, &error));
	assert_int_equal(frees, 1);
	assert_int_equal(error, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(frees_of_what_was_not_seen_are_told),
	cmocka_unit_test(what_sampling_alone_may_have_made_is_not),
	cmocka_unit_test(what_is_known_by_every_object_has_no_error),
};

UNIT_MAIN(tests)
