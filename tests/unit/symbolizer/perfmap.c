#include "tests/unit/unit.h"
#include "tests/unit/symbolizer/lookup.h"

static void later_lines_win(void **state)
{
	static const char text[] =
	        "1000 100 first name with spaces\n0x2000 0x10 LFoo;::bar\n1080 10 second\n3000 0 empty\n";
	static const uint64_t queries[] = { 0xfff, 0x1000, 0x107f, 0x1080, 0x108f, 0x1090, 0x10ff, 0x1100, 0x200f,
		0x2010, 0x3000 };
	static const char *const names[] = { "", "first name with spaces", "first name with spaces", "second", "second",
		"first name with spaces", "first name with spaces", "", "LFoo;::bar", "", "" };
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(lookup_text(perfmap_answer, text, sizeof(text) - 1, queries, ARRAY_SIZE(queries), &l), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(queries); i++)
		assert_string_equal(lookup_name(&l, i, 0), names[i]);
}

static void hostile_lines_stay_harmless(void **state)
{
	static const char text[] = "\n1000\n1000 \n1000 10\n1000 10 \nzz 10 x\n1000 10000000000000000 wide\n"
	                           "ffffffffffffffff 2 wraps\n1000 10 \x1b[31mred\xff\xc3)\n2000 10 last line \xc3\xa4";
	static const uint64_t queries[] = { 0, 0x1000, 0x2000, UINT64_MAX };
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(lookup_text(perfmap_answer, text, sizeof(text) - 1, queries, ARRAY_SIZE(queries), &l), 0);
	assert_string_equal(lookup_name(&l, 0, 0), "");
	assert_string_equal(lookup_name(&l, 1, 0), "?[31mred?\x3f)");
	assert_string_equal(lookup_name(&l, 2, 0), "last line \xc3\xa4");
	assert_string_equal(lookup_name(&l, 3, 0), "");
}

static void overlap_without_end_meets_its_limit(void **state)
{
	enum { LINES = 60000, QUERIES = 2000 };
	_cleanup_free_ char *text = malloc(LINES * 32);
	_cleanup_free_ uint64_t *queries = malloc(QUERIES * sizeof(*queries));
	struct lookup l;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < LINES; i++)
		n += (size_t)sprintf(text + n, "0 ffffffff all%d\n", i);
	for (uint64_t i = 0; i < QUERIES; i++)
		queries[i] = i;
	assert_int_equal(lookup_text(perfmap_answer, text, n, queries, QUERIES, &l), -E2BIG);
}

static void long_names_are_cut(void **state)
{
	_cleanup_lookup_ struct lookup l = { 0 };
	_cleanup_free_ char *text = malloc(100000);
	static const uint64_t queries[] = { 0x1000, 0x5000 };
	size_t n = (size_t)sprintf(text, "1000 10 ");

	(void)state;
	memset(text + n, 'x', 90000);
	n += 90000;
	n += (size_t)sprintf(text + n, "\n5000 10 next\n");
	assert_int_equal(lookup_text(perfmap_answer, text, n, queries, 2, &l), 0);
	assert_int_equal(strspn(lookup_name(&l, 0, 0), "x"), 1024);
	assert_string_equal(lookup_name(&l, 1, 0), "next");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(later_lines_win),
	cmocka_unit_test(hostile_lines_stay_harmless),
	cmocka_unit_test(overlap_without_end_meets_its_limit),
	cmocka_unit_test(long_names_are_cut),
};

UNIT_MAIN(tests)
