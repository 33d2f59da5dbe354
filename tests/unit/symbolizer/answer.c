/* Answers that a broken child could write. */
#include "tests/unit/unit.h"
#include "symbolizer/answer.h"

#include <stdbool.h>
#include <string.h>

struct rows_bytes {
	struct rows_header h;
	struct rows_page pages[2];
	struct unwind_rule rules[2];
	struct unwind_row rows[6]; /* no padding behind */
};

static struct rows_bytes good_rows(void)
{
	return (struct rows_bytes){
		.h = { .magic = ROWS_MAGIC, .n_pages = 2, .n_rules = 2, .n_rows = 6 },
		.pages = { { .page = 3, .first_row = 0, .n_rows = 3 }, { .page = 7, .first_row = 3, .n_rows = 3 } },
		.rules = { { 0 }, { .cfa = CFA_SP, .cfa_offset = 8 } },
		.rows = { { 0, 0 }, { 16, 1 }, { 32, 0 }, { 0, 1 }, { 8, 0 }, { 9, 1 } },
	};
}

static int check(const struct rows_bytes *b)
{
	struct answer_rows v;

	return answer_rows(b, sizeof(*b), &v);
}

static void good_rows_are_taken(void **state)
{
	struct rows_bytes b = good_rows();
	struct answer_rows v;

	(void)state;
	assert_int_equal(answer_rows(&b, sizeof(b), &v), 0);
	assert_null(answer_rows_page(&v, 2));
	assert_null(answer_rows_page(&v, 4));
	assert_null(answer_rows_page(&v, 8));
	assert_ptr_equal(answer_rows_page(&v, 3), &b.pages[0]);
	assert_ptr_equal(answer_rows_page(&v, 7), &b.pages[1]);
	assert_int_equal(answer_rows_rule(&v, 0x3000f).cfa, CFA_UNKNOWN);
	assert_int_equal(answer_rows_rule(&v, 0x30010).cfa, CFA_SP);
	assert_int_equal(answer_rows_rule(&v, 0x3001f).cfa, CFA_SP);
	assert_int_equal(answer_rows_rule(&v, 0x30020).cfa, CFA_UNKNOWN);
	assert_int_equal(answer_rows_rule(&v, 0x3ffff).cfa, CFA_UNKNOWN);
	assert_int_equal(answer_rows_rule(&v, 0x70000).cfa, CFA_SP);
	assert_int_equal(answer_rows_rule(&v, 0x1000000070000ull).cfa, CFA_UNKNOWN);
}

#define REFUSED(change)                                                                                                \
	do {                                                                                                           \
		struct rows_bytes b = good_rows();                                                                     \
		change;                                                                                                \
		assert_int_equal(check(&b), -EBADMSG);                                                                 \
	} while (0)

static void bad_rows_are_refused(void **state)
{
	(void)state;
	REFUSED(b.h.magic++);
	REFUSED(b.h.n_pages = 1);
	REFUSED(b.h.n_pages = UINT32_MAX);
	REFUSED(b.h.n_rows = 5);
	REFUSED(b.h.n_rows = UINT32_MAX);
	REFUSED(b.h.n_rules = 0);
	REFUSED(b.h.n_rules = 0x20000002);
	REFUSED(b.pages[1].page = 3);
	REFUSED(b.pages[1].page = 2);
	REFUSED(b.pages[0].n_rows = 0);
	REFUSED(b.pages[0].n_rows = 4);
	REFUSED(b.pages[1].n_rows = 2);
	REFUSED(b.pages[1].n_rows = UINT32_MAX);
	REFUSED(b.pages[1].first_row = 0);
	REFUSED(b.pages[1].first_row = UINT32_MAX);
	REFUSED(b.rows[0].offset_low = 1);
	REFUSED(b.rows[2].offset_low = 16);
	REFUSED(b.rows[2].offset_low = 8);
	REFUSED(b.rows[4].rule = 2);
	REFUSED(b.rules[0].cfa = CFA_SP);
	REFUSED(b.rules[1].cfa = CFA_LAST + 1);
	REFUSED(b.rules[1].fp = FP_LAST + 1);
	REFUSED(b.rules[1].fp_offset = 1);
	REFUSED((b.rules[1].cfa = CFA_PLT, b.rules[1].cfa_offset = 16));
	REFUSED((b.rules[1].cfa = CFA_PLT, b.rules[1].cfa_offset = 0));
	REFUSED((b.rules[1].cfa = CFA_SIGNAL, b.rules[1].cfa_offset = 1 << 20));
	REFUSED((b.rules[1].cfa = CFA_END));
}

static void no_length_but_the_right_one(void **state)
{
	struct rows_bytes b = good_rows();
	uint8_t longer[sizeof(b) + 4] = { 0 };
	struct answer_rows v;

	(void)state;
	memcpy(longer, &b, sizeof(b));
	assert_int_equal(answer_rows(longer, sizeof(longer), &v), -EBADMSG);
	for (size_t n = 0; n < sizeof(b); n++)
		assert_int_equal(answer_rows(longer, n, &v), -EBADMSG);
}

static void identity_is_checked(void **state)
{
	struct symbolizer_identity id = { .build_id_size = 20, .n_segments = 1, .debug_link = "x.debug" }, got;

	(void)state;
	id.segments[0].filesz = 1;
	id.build_id[25] = 1;
	assert_int_equal(answer_identity(&id, sizeof(id), &got), 0);
	assert_int_equal(got.build_id[25], 0);
	assert_int_equal(answer_identity(&id, sizeof(id) - 1, &got), -EBADMSG);
	id.build_id_size = BUILD_ID_BYTES_MAX + 1;
	assert_int_equal(answer_identity(&id, sizeof(id), &got), -EBADMSG);
	id.build_id_size = 20;
	id.n_segments = SYMBOLIZER_SEGMENTS_MAX + 1;
	assert_int_equal(answer_identity(&id, sizeof(id), &got), -EBADMSG);
	id.n_segments = 1;
	id.segments[0].offset = UINT64_MAX;
	assert_int_equal(answer_identity(&id, sizeof(id), &got), -EBADMSG);
	id.segments[0].offset = 0;
	memcpy(id.debug_link, "../../x", 8);
	assert_int_equal(answer_identity(&id, sizeof(id), &got), -EBADMSG);
	memcpy(id.debug_link, "a/b", 4);
	assert_int_equal(answer_identity(&id, sizeof(id), &got), -EBADMSG);
	memset(id.debug_link, 'x', sizeof(id.debug_link));
	assert_int_equal(answer_identity(&id, sizeof(id), &got), -EBADMSG);
}

struct symbols_bytes {
	struct symbols_header h;
	uint32_t first_frame[3];
	struct symbols_frame frames[2];
	char strings[12];
};

static struct symbols_bytes good_symbols(void)
{
	return (struct symbols_bytes){
		.h = { .magic = SYMBOLS_MAGIC, .n_queries = 2, .n_frames = 2, .string_bytes = 12 },
		.first_frame = { 0, 0, 2 },
		.frames = { { .name = 1, .system_name = 1 }, { .name = 3 } },
		.strings = { 0, 'f', 0, 'm', 'a', 'i', 'n', 0, 'x', 'y', 'z', 0 },
	};
}

#define SYMBOLS_REFUSED(change)                                                                                        \
	do {                                                                                                           \
		struct symbols_bytes b = good_symbols();                                                               \
		struct answer_symbols v;                                                                               \
		change;                                                                                                \
		assert_int_equal(answer_symbols(&b, sizeof(b), 2, &v), -EBADMSG);                                      \
	} while (0)

static void symbols_are_checked(void **state)
{
	struct symbols_bytes good = good_symbols();
	struct answer_symbols got;

	(void)state;
	assert_int_equal(answer_symbols(&good, sizeof(good), 2, &got), 0);
	assert_string_equal(got.strings + got.frames[1].name, "main");
	assert_int_equal(answer_symbols(&good, sizeof(good), 1, &got), -EBADMSG);
	assert_int_equal(answer_symbols(&good, sizeof(good) - 1, 2, &got), -EBADMSG);
	SYMBOLS_REFUSED(b.h.magic++);
	SYMBOLS_REFUSED(b.h.n_queries = 3);
	SYMBOLS_REFUSED(b.h.n_frames = 1);
	SYMBOLS_REFUSED(b.h.n_frames = UINT32_MAX);
	SYMBOLS_REFUSED(b.h.string_bytes = 8);
	SYMBOLS_REFUSED(b.h.string_bytes = UINT32_MAX);
	SYMBOLS_REFUSED(b.first_frame[0] = 1);
	SYMBOLS_REFUSED(b.first_frame[1] = 3);
	SYMBOLS_REFUSED(b.first_frame[2] = 1);
	SYMBOLS_REFUSED(b.frames[0].name = 12);
	SYMBOLS_REFUSED(b.frames[0].system_name = UINT32_MAX);
	SYMBOLS_REFUSED(b.frames[1].filename = 12);
	SYMBOLS_REFUSED(b.frames[1].module = 12);
	SYMBOLS_REFUSED(b.strings[11] = 'x');
	SYMBOLS_REFUSED(b.strings[0] = 'x');
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(good_rows_are_taken),
	cmocka_unit_test(bad_rows_are_refused),
	cmocka_unit_test(no_length_but_the_right_one),
	cmocka_unit_test(identity_is_checked),
	cmocka_unit_test(symbols_are_checked),
};

UNIT_MAIN(tests)
