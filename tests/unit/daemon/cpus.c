#include "tests/unit/unit.h"
#include "daemon/cpus.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void lists(void **state)
{
	bool on[8] = { 0 };

	(void)state;
	assert_int_equal(cpus_parse("0-2,5,7-100\n", on, 8), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(on[i], i <= 2 || i == 5 || i == 7);
	memset(on, 0, sizeof(on));
	assert_int_equal(cpus_parse("", on, 8), 0);
	assert_false(on[0]);
}

static void odd_lists(void **state)
{
	static const char *const odd[] = { "a", "1-", "3-1", "1;2", "-1" };
	bool on[8];

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		assert_int_equal(cpus_parse(odd[i], on, 8), -EBADMSG);
}

static void this_machine(void **state)
{
	bool on[1024] = { 0 };
	long n = 0;

	(void)state;
	assert_int_equal(cpus_online(on, 1024), 0);
	for (int i = 0; i < 1024; i++)
		n += on[i];
	assert_int_equal(n, sysconf(_SC_NPROCESSORS_ONLN));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(lists),
	cmocka_unit_test(odd_lists),
	cmocka_unit_test(this_machine),
};

UNIT_MAIN(tests)
