#include "tests/unit/unit.h"
#include "tests/unit/symbolizer/lookup.h"

static const char usual[] = "ffffffff81000000 T __stext\n"
                            "ffffffff81000000 T startup\n"
                            "ffffffff81000000 t a_local\n"
                            "ffffffff81000100 t do_one\n"
                            "ffffffff81000200 D some_data\n"
                            "ffffffffc0000000 t nft_eval\t[nf_tables]\n"
                            "ffffffffc0000010 t bpf_prog_12_x\t[bpf]\n"
                            "0000000000000040 A absolute\n"
                            "ffffffff81000180 T unsorted\n";

static void symbols_reach_to_the_next(void **state)
{
	static const uint64_t queries[] = { 0x50, 0xffffffff81000000, 0xffffffff810000ff, 0xffffffff81000100,
		0xffffffff8100017f, 0xffffffff81000180, 0xffffffff81000200, 0xffffffffc000000f, 0xffffffffc0000010,
		0xffffffffc0100000 };
	static const char *const names[] = { "", "startup", "startup", "do_one", "do_one", "unsorted", "", "nft_eval",
		"bpf_prog_12_x", "" };
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(lookup_text(kallsyms_answer, usual, sizeof(usual) - 1, queries, ARRAY_SIZE(queries), &l), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(queries); i++)
		assert_string_equal(lookup_name(&l, i, 0), names[i]);
	assert_string_equal(l.text + lookup_frame(&l, 1, 0)->module, "");
	assert_string_equal(l.text + lookup_frame(&l, 7, 0)->module, "nf_tables");
	assert_string_equal(l.text + lookup_frame(&l, 8, 0)->module, "bpf");
}

static void hidden_addresses_are_no_answer(void **state)
{
	static const char hidden[] = "0000000000000000 T _stext\n0000000000000000 t x\n";
	static const uint64_t query = 0xffffffff81000000;
	struct lookup l;

	(void)state;
	assert_int_equal(lookup_text(kallsyms_answer, hidden, sizeof(hidden) - 1, &query, 1, &l), -ENODATA);
}

static void rust_names_are_demangled(void **state)
{
	static const char text[] = "ffffffff81000000 T _RNvCs1234_6kernel6printk\nffffffff81000100 T _etext\n";
	static const uint64_t queries[] = { 0xffffffff81000010, 0xffffffff81000110 };
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(lookup_text(kallsyms_answer, text, sizeof(text) - 1, queries, 2, &l), 0);
	assert_string_equal(lookup_name(&l, 0, 0), "kernel::printk");
	assert_int_equal(lookup_count(&l, 1), 0); /* behind the end of code */
}

static void broken_lines_are_passed_over(void **state)
{
	static const char text[] = "\n \nT\nffffffff81000000\nffffffff81000000 T\nffffffff81000000 T \n"
	                           "fffffffffffffffff T too_long\nffffffff81000008 T good\nno newline";
	static const uint64_t query = 0xffffffff81000009;
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(lookup_text(kallsyms_answer, text, sizeof(text) - 1, &query, 1, &l), 0);
	assert_string_equal(lookup_name(&l, 0, 0), "good");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(symbols_reach_to_the_next),
	cmocka_unit_test(hidden_addresses_are_no_answer),
	cmocka_unit_test(rust_names_are_demangled),
	cmocka_unit_test(broken_lines_are_passed_over),
};

UNIT_MAIN(tests)
