#include "tests/unit/unit.h"
#include "daemon/symbol_table.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"

/* An answer in which query i has i % 3 frames called "f<query>". */
struct answer {
	struct symbols_header h;
	char rest[8192];
	size_t size;
};

static void make_answer(struct answer *a, const uint64_t *queries, uint32_t n)
{
	uint32_t first[101], n_frames = 0;
	struct symbols_frame frames[300];
	char strings[4096] = "";
	uint32_t string_bytes = 1;
	char *p = a->rest;

	memset(frames, 0, sizeof(frames));
	for (uint32_t i = 0; i < n; i++) {
		first[i] = n_frames;
		for (uint32_t k = 0; k < i % 3; k++) {
			frames[n_frames++] = (struct symbols_frame){ .name = string_bytes, .line = k + 1 };
			string_bytes += (uint32_t)sprintf(strings + string_bytes, "f%d", (int)queries[i]) + 1;
		}
	}
	first[n] = n_frames;
	a->h = (struct symbols_header){ SYMBOLS_MAGIC, n, n_frames, string_bytes, 0 };
	memcpy(p, first, (n + 1) * sizeof(*first)), p += (n + 1) * sizeof(*first);
	memcpy(p, frames, n_frames * sizeof(*frames)), p += n_frames * sizeof(*frames);
	memcpy(p, strings, string_bytes), p += string_bytes;
	a->size = sizeof(a->h) + (size_t)(p - a->rest);
}

static const uint64_t some[] = { 10, 20, 30, 40, 50 }, others[] = { 5, 20, 35, 60 };

static void finds_what_was_asked(void **state)
{
	_cleanup_(symbol_table_freep) struct symbol_table *t = NULL;
	const struct symbols_frame *f;
	static struct answer a;

	(void)state;
	make_answer(&a, some, 5);
	assert_int_equal(symbol_table_from_answer(some, 5, &a, a.size, &t), 0);
	assert_int_equal(symbol_table_find(t, 10, &f), 0);
	assert_int_equal(symbol_table_find(t, 30, &f), 2);
	assert_string_equal(symbol_table_string(t, f[0].name), "f30");
	assert_int_equal(f[1].line, 2);
	assert_int_equal(symbol_table_find(t, 31, &f), -ENOENT);
	assert_int_equal(symbol_table_find(t, 51, &f), -ENOENT);
	assert_int_equal(symbol_table_find(t, 0, &f), -ENOENT);
}

static void merges(void **state)
{
	_cleanup_(symbol_table_freep) struct symbol_table *x = NULL, *y = NULL, *t = NULL;
	const struct symbols_frame *f;
	static struct answer a, b;

	(void)state;
	make_answer(&a, some, 5);
	make_answer(&b, others, 4);
	assert_int_equal(symbol_table_from_answer(some, 5, &a, a.size, &x), 0);
	assert_int_equal(symbol_table_from_answer(others, 4, &b, b.size, &y), 0);
	assert_int_equal(symbol_table_merge(x, y, &t), 0);
	assert_int_equal(symbol_table_n_queries(t), 8);
	assert_int_equal(symbol_table_find(t, 30, &f), 2);
	assert_string_equal(symbol_table_string(t, f[1].name), "f30");
	assert_int_equal(symbol_table_find(t, 35, &f), 2);
	assert_int_equal(symbol_table_find(t, 5, &f), 0);
	assert_int_equal(symbol_table_find(t, 60, &f), 0);
	assert_int_equal(symbol_table_find(t, 50, &f), 1);
	assert_int_equal(symbol_table_find(t, 20, &f), 1);
	assert_string_equal(symbol_table_string(t, f[0].filename), "");
}

static void survives_on_disk_and_notices_damage(void **state)
{
	char directory[] = "/tmp/unit-symbol-table-XXXXXX";
	_cleanup_(symbol_table_freep) struct symbol_table *t = NULL, *again = NULL;
	const struct symbols_frame *f;
	_cleanup_close_ int fd = -1;
	static struct answer a;
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_answer(&a, some, 5);
	assert_int_equal(symbol_table_from_answer(some, 5, &a, a.size, &t), 0);
	assert_int_equal(symbol_table_read(fd, "id", &again), -ENOENT);
	assert_int_equal(symbol_table_write(t, fd, "id"), 0);
	assert_int_equal(symbol_table_read(fd, "id", &again), 0);
	assert_int_equal(symbol_table_find(again, 30, &f), 2);
	again = symbol_table_free(again);

	assert_int_equal(file_read_all(fd, "id", 1 << 20, &bytes, &size), 0);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 4;
		assert_int_equal(file_write_atomic(fd, "bad", bytes, size, 0600), 0);
		assert_int_equal(symbol_table_read(fd, "bad", &again), -EBADMSG);
		bytes[i] ^= 4;
	}
	for (size_t n = 0; n < size; n += 7) {
		assert_int_equal(file_write_atomic(fd, "bad", bytes, n, 0600), 0);
		assert_int_equal(symbol_table_read(fd, "bad", &again), -EBADMSG);
	}
	(void)unlinkat(fd, "id", 0);
	(void)unlinkat(fd, "bad", 0);
	(void)rmdir(directory);
}

/* The symbolizer is not trusted: each byte of an answer turned over is refused or a table that is safe to read. */
static void believes_no_answer(void **state)
{
	static struct answer a;
	char *bytes = (char *)&a;

	(void)state;
	make_answer(&a, some, 5);
	for (size_t i = 0; i < a.size; i++)
		for (int bit = 0; bit < 8; bit++) {
			_cleanup_(symbol_table_freep) struct symbol_table *t = NULL;
			const struct symbols_frame *f;

			bytes[i] ^= (char)(1 << bit);
			if (symbol_table_from_answer(some, 5, bytes, a.size, &t) == 0)
				for (size_t q = 0; q < 5; q++)
					for (int n = symbol_table_find(t, some[q], &f); n > 0; n--)
						(void)strlen(symbol_table_string(t, f[n - 1].name));
			bytes[i] ^= (char)(1 << bit);
		}
	for (size_t n = 0; n < a.size; n++) {
		struct symbol_table *t = NULL;
		_cleanup_free_ char *cut = malloc(n + 1);

		memcpy(cut, bytes, n);
		assert_int_equal(symbol_table_from_answer(some, 5, cut, n, &t), -EBADMSG);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(finds_what_was_asked),
	cmocka_unit_test(merges),
	cmocka_unit_test(survives_on_disk_and_notices_damage),
	cmocka_unit_test(believes_no_answer),
};

UNIT_MAIN(tests)
