#include "tests/unit/unit.h"
#include "base/buffer.h"

#include <string.h>

static void append_keeps_to_its_maximum(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER(10);

	(void)state;
	assert_int_equal(buffer_append(&b, "12345678", 8), 0);
	assert_int_equal(buffer_append(&b, "123", 3), -E2BIG);
	assert_int_equal(b.size, 8);
	assert_int_equal(buffer_append(&b, "1", 1), -E2BIG); /* the first failure stays */
}

static void take_string_is_terminated(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER(5);
	_cleanup_free_ char *s = NULL;

	(void)state;
	assert_int_equal(buffer_printf(&b, "%s%d", "abc", 42), 0);
	s = buffer_take_string(&b);
	assert_string_equal(s, "abc42");
	assert_int_equal(b.size, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(append_keeps_to_its_maximum),
	cmocka_unit_test(take_string_is_terminated),
};

UNIT_MAIN(tests)
