#include "base/utf8.h"

#include <string.h>
#include "tests/unit/unit.h"

static void utf8_decode_takes_what_is_well_formed(void **state)
{
	static const struct {
		const char *s;
		size_t length;
		uint32_t c;
	} rows[] = {
		{ "a", 1, 'a' },
		{ "\xc3\xa9", 2, 0xe9 },
		{ "\xe2\x82\xac", 3, 0x20ac },
		{ "\xf0\x9f\x94\xa5", 4, 0x1f525 },
		{ "\xef\xbf\xbd", 3, UTF8_REPLACEMENT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char back[4];
		uint32_t c;

		assert_int_equal(utf8_decode(rows[i].s, strlen(rows[i].s), &c), rows[i].length);
		assert_int_equal(c, rows[i].c);
		assert_int_equal(utf8_encode(c, back), rows[i].length);
		assert_memory_equal(back, rows[i].s, rows[i].length);
	}
}

static void utf8_decode_refuses_what_is_not(void **state)
{
	/* stray continuation, overlong '/', overlong NUL, surrogate, above U+10FFFF, cut short, 5-byte form */
	static const char *const rows[] = { "\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xe2\x82", "\xf8\x88\x80\x80\x80", "\xff" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t c;

		assert_int_equal(utf8_decode(rows[i], strlen(rows[i]), &c), 1);
		assert_int_equal(c, UTF8_REPLACEMENT);
	}
}

static void utf8_append_clean_keeps_good_and_replaces_bad(void **state)
{
	_cleanup_buffer_ struct buffer b = BUFFER(64);
	const char in[] = "a\xff\xc3\xa9\xe2\x82z";

	(void)state;
	assert_int_equal(utf8_append_clean(&b, in, sizeof(in) - 1), 0);
	assert_int_equal(b.size, 13);
	assert_memory_equal(b.data, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbdz", 13);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(utf8_decode_takes_what_is_well_formed),
	cmocka_unit_test(utf8_decode_refuses_what_is_not),
	cmocka_unit_test(utf8_append_clean_keeps_good_and_replaces_bad),
};

UNIT_MAIN(tests)
