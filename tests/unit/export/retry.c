#include "tests/unit/unit.h"
#include "export/retry.h"

#include <errno.h>
#include "base/cleanup.h"
#include "base/clock.h"

static void pauses_double_with_half_at_random(void **state)
{
	const struct retry_policy p = { NS_PER_SEC, 10 * NS_PER_SEC };

	(void)state;
	assert_int_equal(retry_delay_ns(&p, 1, 0, 0), NS_PER_SEC / 2);
	assert_int_equal(retry_delay_ns(&p, 1, 0, NS_PER_SEC / 2), NS_PER_SEC);
	assert_int_equal(retry_delay_ns(&p, 3, 0, 0), 2 * NS_PER_SEC);
	for (unsigned i = 0; i < 1000; i++)
		assert_in_range(retry_delay_ns(&p, i, 0, i * 7919ull * NS_PER_SEC), NS_PER_SEC / 2, 10 * NS_PER_SEC);
	assert_int_equal(retry_delay_ns(&p, UINT32_MAX, 0, 0), 5 * NS_PER_SEC);
}

static void what_was_asked_for_is_never_undercut(void **state)
{
	const struct retry_policy p = RETRY_POLICY_DEFAULT;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_in_range(retry_delay_ns(&p, 1, 20 * NS_PER_SEC, i * 104729 * NS_PER_MS), 20 * NS_PER_SEC,
		        22 * NS_PER_SEC);
	assert_in_range(
	        retry_delay_ns(&p, 1, UINT64_MAX, UINT64_MAX), RETRY_AFTER_MAX_NS, RETRY_AFTER_MAX_NS / 10 * 11);
}

static void retry_after(void **state)
{
	static const char *const bad[] = { "", "soon", "-1", "1.5", "12x", "Sun, 06 Foo 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 CET", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun," };
	uint64_t ns = 7;

	(void)state;
	assert_int_equal(retry_parse_after("120", 0, &ns), 0);
	assert_int_equal(ns, 120 * NS_PER_SEC);
	assert_int_equal(retry_parse_after(" 0 ", 0, &ns), 0);
	assert_int_equal(ns, 0);
	assert_int_equal(retry_parse_after("999999999999999999999999", 0, &ns), 0);
	assert_int_equal(ns, RETRY_AFTER_MAX_NS);
	assert_int_equal(retry_parse_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 5, &ns), 0);
	assert_int_equal(ns, 5 * NS_PER_SEC);
	assert_int_equal(retry_parse_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 + 5, &ns), 0);
	assert_int_equal(ns, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(retry_parse_after(bad[i], 0, &ns), -EINVAL);
}

static void grpc_without_a_status(void **state)
{
	static const long again[] = { 429, 502, 503, 504 },
	                  refused[] = { 200, 204, 301, 302, 307, 400, 404, 408, 500, 501 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(again); i++)
		assert_int_equal(retry_grpc_http_status(again[i]), EXPORT_RETRY);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_int_equal(retry_grpc_http_status(refused[i]), EXPORT_REFUSED);
	assert_int_equal(retry_grpc_http_status(401), EXPORT_DENIED);
	assert_int_equal(retry_grpc_http_status(403), EXPORT_DENIED);
}

static void grpc_reset(void **state)
{
	(void)state;
	for (uint32_t code = 0; code < 20; code++)
		assert_int_equal(retry_grpc_reset(code), code == 7 || code == 8
		                                                 ? EXPORT_RETRY /* not processed, cancelled */
		                                         : code == 12 ? EXPORT_DENIED
		                                                      : EXPORT_REFUSED);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(pauses_double_with_half_at_random),
	cmocka_unit_test(what_was_asked_for_is_never_undercut),
	cmocka_unit_test(retry_after),
	cmocka_unit_test(grpc_without_a_status),
	cmocka_unit_test(grpc_reset),
};

UNIT_MAIN(tests)
