#include "tests/unit/unit.h"
#include "export/grpc.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"

static void messages(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER(1000), scratch = BUFFER(1000);
	const void *message;
	size_t n;

	(void)state;
	assert_int_equal(grpc_take_message(&b, 0, &scratch, &message, &n), 0);
	assert_int_equal(n, 0);
	assert_non_null(buffer_extend(&b, GRPC_HEAD_BYTES));
	grpc_put_head(b.data, 0, 3);
	assert_int_equal(grpc_take_message(&b, 0, &scratch, &message, &n), -EBADMSG); /* cut short */
	assert_int_equal(buffer_append(&b, "abc", 3), 0);
	assert_int_equal(grpc_take_message(&b, 0, &scratch, &message, &n), 0);
	assert_int_equal(n, 3);
	assert_true(grpc_is_message(&b));
	assert_true(!grpc_is_message(&scratch)); /* nothing is none */
	grpc_put_head(b.data, 0, 2);
	assert_true(!grpc_is_message(&b)); /* more than one */
	grpc_put_head(b.data, 0, 4);
	assert_true(!grpc_is_message(&b)); /* not yet whole */
	grpc_put_head(b.data, 0, 3);
	assert_memory_equal(message, "abc", 3);
	b.data[0] = 1;
	assert_int_equal(grpc_take_message(&b, 0, &scratch, &message, &n), -EBADMSG); /* nobody said gzip */
	assert_true(grpc_take_message(&b, 1, &scratch, &message, &n) < 0);            /* and it is none */
	grpc_put_head(b.data, 0, UINT32_MAX);
	assert_int_equal(grpc_take_message(&b, 0, &scratch, &message, &n), -EBADMSG);
}

static void texts(void **state)
{
	char text[16];

	(void)state;
	grpc_decode_message("a%20b%0a%zz%", text, sizeof(text));
	assert_string_equal(text, "a b %zz%");
	grpc_decode_message("01234567890123456789", text, sizeof(text));
	assert_string_equal(text, "012345678901234");
}

static void retry_info(void **state)
{
	/* Status{code 8, details: Any{".../google.rpc.RetryInfo", {delay {9 s, 500 ns}}}} */
	static const char good[] = "CAgaMwooa"; /* cut short */
	static const char whole[] =
	        "CAgSBHdhaXQaMwoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIHCgUICRD0Aw==";
	uint64_t ns = 1;

	(void)state;
	assert_int_equal(grpc_find_retry_delay("", &ns), -ENOENT);
	assert_int_equal(grpc_find_retry_delay("****", &ns), -ENOENT);
	assert_int_equal(grpc_find_retry_delay(good, &ns), -ENOENT);
	assert_int_equal(grpc_find_retry_delay(whole, &ns), 0);
	assert_int_equal(ns, 9 * NS_PER_SEC + 500);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(messages),
	cmocka_unit_test(texts),
	cmocka_unit_test(retry_info),
};

UNIT_MAIN(tests)
