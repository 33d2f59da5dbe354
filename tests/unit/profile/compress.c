#include "tests/unit/unit.h"
#include <string.h>
#include "profile/compress.h"

static const enum compression kinds[] = { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

static void round_trips(void **state)
{
	_cleanup_free_ char *text = malloc(1000000);

	(void)state;
	for (size_t i = 0; i < 1000000; i++)
		text[i] = (char)(i * i >> 7);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (size_t n = 0; n <= 1000000; n = n * 10 + 1) {
			_cleanup_buffer_ struct buffer b = BUFFER(2 << 20);
			_cleanup_free_ char *back = NULL;
			size_t size;

			assert_int_equal(compress_bytes(kinds[k], 0, text, n, &b), 0);
			if (kinds[k] != COMPRESSION_NONE)
				assert_int_equal(compression_sniff(b.data, b.size), kinds[k]);
			/* exactly the size is enough, one byte less is not */
			assert_int_equal(decompress_bytes(kinds[k], b.data, b.size, n, &back, &size), 0);
			assert_int_equal(size, n);
			assert_memory_equal(back, text, n);
			assert_int_equal(back[n], 0);
			if (n) {
				_cleanup_free_ char *none = NULL;

				assert_int_equal(
				        decompress_bytes(kinds[k], b.data, b.size, n - 1, &none, &size), -E2BIG);
				assert_null(none);
			}
		}
}

static void members_and_frames_in_a_row_are_one_text(void **state)
{
	(void)state;
	for (size_t k = 1; k < ARRAY_SIZE(kinds); k++) {
		_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
		_cleanup_free_ char *back = NULL;
		size_t size;

		assert_int_equal(compress_bytes(kinds[k], 9, "hello ", 6, &b), 0);
		assert_int_equal(compress_bytes(kinds[k], 1, "world", 5, &b), 0);
		assert_int_equal(decompress_bytes(kinds[k], b.data, b.size, 100, &back, &size), 0);
		assert_string_equal(back, "hello world");
	}
}

static void cut_and_flipped_bytes_are_refused(void **state)
{
	(void)state;
	for (size_t k = 1; k < ARRAY_SIZE(kinds); k++) {
		_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
		_cleanup_free_ char *back = NULL;
		char text[5000];
		size_t size;

		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = (char)(i % 251);
		assert_int_equal(compress_bytes(kinds[k], 0, text, sizeof(text), &b), 0);
		for (size_t n = 0; n < b.size; n++)
			assert_int_equal(decompress_bytes(kinds[k], b.data, n, 10000, &back, &size), -EBADMSG);
		b.data[b.size / 2] ^= 0x10; /* both formats carry a check sum */
		assert_int_equal(decompress_bytes(kinds[k], b.data, b.size, 10000, &back, &size), -EBADMSG);
		assert_null(back);
	}
}

static void output_over_the_buffers_maximum_is_refused(void **state)
{
	char noise[4000];

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)((i * 2654435761u) >> 13);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		_cleanup_buffer_ struct buffer b = BUFFER(200);

		assert_int_equal(compress_bytes(kinds[k], 0, noise, sizeof(noise), &b), -E2BIG);
		assert_int_equal(b.size, 0);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(round_trips),
	cmocka_unit_test(members_and_frames_in_a_row_are_one_text),
	cmocka_unit_test(cut_and_flipped_bytes_are_refused),
	cmocka_unit_test(output_over_the_buffers_maximum_is_refused),
};

UNIT_MAIN(tests)
