#include "tests/unit/unit.h"
#include "base/intern.h"

#include <stdio.h>

static void put_gives_dense_ids_in_order(void **state)
{
	_cleanup_(intern_freep) struct intern *t = NULL;
	uint32_t id;

	(void)state;
	assert_int_equal(intern_new(100000, 10 << 20, &t), 0);
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 20000; i++) {
			char key[32];
			int n = snprintf(key, sizeof(key), "key %u", i);

			assert_int_equal(intern_put(t, key, (size_t)n, &id), round == 0);
			assert_int_equal(id, i);
		}
	assert_int_equal(intern_count(t), 20000);
}

static void put_refuses_over_limits(void **state)
{
	_cleanup_(intern_freep) struct intern *t = NULL;
	uint32_t id = 77;

	(void)state;
	assert_int_equal(intern_new(2, 5, &t), 0);
	assert_int_equal(intern_put(t, "abc", 3, &id), 1);
	assert_int_equal(intern_put(t, "defg", 4, &id), -ENOSPC);
	assert_int_equal(id, 0);
	assert_int_equal(intern_put(t, "", 0, &id), 1);
	assert_int_equal(intern_put(t, "d", 1, &id), -ENOSPC);
	assert_int_equal(intern_find(t, "abc", 3, &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(intern_find(t, "x", 1, &id), -ENOENT);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(put_gives_dense_ids_in_order),
	cmocka_unit_test(put_refuses_over_limits),
};

UNIT_MAIN(tests)
