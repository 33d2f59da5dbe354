#include "tests/unit/unit.h"
#include "symbolizer/sha256.h"

#include <stdio.h>
#include <string.h>

static void assert_sum(const char *text, size_t repeat, size_t piece, const char *hex)
{
	uint8_t sum[SHA256_BYTES];
	char got[2 * SHA256_BYTES + 1];
	size_t n = strlen(text);
	struct sha256 h;

	sha256_start(&h);
	for (size_t i = 0; i < repeat; i++)
		for (size_t at = 0; at < n; at += piece)
			sha256_add(&h, text + at, n - at < piece ? n - at : piece);
	sha256_end(&h, sum);
	for (size_t i = 0; i < SHA256_BYTES; i++)
		(void)snprintf(got + 2 * i, 3, "%02x", sum[i]);
	assert_string_equal(got, hex);
}

/* FIPS 180-2, appendix B, and RFC 6234. */
static void known_sums(void **state)
{
	(void)state;
	assert_sum("", 1, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sum("abc", 1, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, 5,
	        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_sum("a", 1000000, 1, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	assert_sum("0123456701234567012345670123456701234567012345670123456701234567", 10, 64,
	        "594847328451bdfa85056225462cc1d867d877fb388df0ce35f25ab5562bfbb5");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(known_sums),
};

UNIT_MAIN(tests)
