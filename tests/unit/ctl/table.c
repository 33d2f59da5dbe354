#include "ctl/table.h"

#include <locale.h>
#include <string.h>
#include "tests/unit/unit.h"

static const struct table_column columns[] = { { "N", TABLE_RIGHT }, { "NAME", TABLE_CUT }, { "WHERE", 0 } };

static char *print(size_t width, const char *const *rows, size_t n)
{
	_cleanup_(table_freep) struct table *t = NULL;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_int_equal(table_new(columns, ARRAY_SIZE(columns), &t), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(table_add_row(t, rows + i * ARRAY_SIZE(columns)), 0);
	assert_int_equal(table_rows(t), n);
	assert_int_equal(table_print(t, f, width), 0);
	fclose(f);
	return text;
}

static void table_aligns_columns(void **state)
{
	static const char *const rows[] = { "1", "main", "a.c", "100", "x", NULL };
	_cleanup_free_ char *text = print(0, rows, 2);

	(void)state;
	assert_string_equal(text, "  N  NAME  WHERE\n  1  main  a.c\n100  x     \n");
}

static void table_cuts_the_middle_to_fit(void **state)
{
	static const char *const rows[] = { "1", "std::vector<std::string, std::allocator<std::string>>::push_back",
		"file.cc" };
	_cleanup_free_ char *text = print(40, rows, 1);

	(void)state;
	assert_non_null(strstr(text, "1  std::vector<s\xe2\x80\xa6g>>::push_back  file.cc\n"));
}

static void table_counts_wide_and_combined_characters(void **state)
{
	static const char *const rows[] = { "1", "\xe7\x8c\xab", "cat", "2", "e\xcc\x81", "accent" };
	_cleanup_free_ char *text = print(0, rows, 2);

	(void)state;
	assert_non_null(strstr(text, "1  \xe7\x8c\xab    cat\n"));
	assert_non_null(strstr(text, "2  e\xcc\x81     accent\n"));
}

static void table_keeps_the_terminal_safe(void **state)
{
	static const char *const rows[] = { "1", "a\x1b[31mb\nc\x7f", "\xc2\x9b \xe2\x80\xae \xff" };
	_cleanup_free_ char *text = print(0, rows, 1);

	(void)state;
	assert_null(strpbrk(text, "\x1b\x7f"));
	assert_null(strstr(text, "\xc2\x9b"));
	assert_null(strstr(text, "\xe2\x80\xae"));
	assert_non_null(strstr(text, "a\xef\xbf\xbd[31mb\xef\xbf\xbd"
	                             "c"));
}

static void table_bounds_a_cell(void **state)
{
	_cleanup_free_ char *name = malloc((1 << 20) + 1), *text = NULL;
	const char *rows[] = { "1", name, "x" };

	(void)state;
	memset(name, 'x', 1 << 20);
	name[1 << 20] = '\0';
	text = print(0, rows, 1);
	assert_true(strlen(text) < 3 * TABLE_CELL_BYTES_MAX);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(table_aligns_columns),
	cmocka_unit_test(table_cuts_the_middle_to_fit),
	cmocka_unit_test(table_counts_wide_and_combined_characters),
	cmocka_unit_test(table_keeps_the_terminal_safe),
	cmocka_unit_test(table_bounds_a_cell),
};

/* Widths are counted in the locale of the process, as in emberctl. */
__attribute__((constructor)) static void use_utf8(void)
{
	(void)setlocale(LC_CTYPE, "C.UTF-8");
}

UNIT_MAIN(tests)
