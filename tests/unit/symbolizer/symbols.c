#include "tests/unit/unit.h"
#include "tests/unit/symbolizer/lookup.h"

/* The programs of the fuzzer's corpus: work(), with mix() inlined twice through twice(), and _start(). */
static int corpus(const char *name)
{
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/fuzz/corpus/dwarf/%s", getenv("G_DATA"), name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int all_of(int fd, int debug_fd, uint32_t flags, struct lookup *ret)
{
	struct dispatch_input in = { .fd = fd, .debug_fds = &debug_fd, .n_debug_fds = debug_fd >= 0, .flags = flags };
	uint64_t queries[4096];

	for (in.n_queries = 0; in.n_queries < ARRAY_SIZE(queries); in.n_queries++)
		queries[in.n_queries] = in.n_queries;
	in.queries = queries;
	return lookup_run(symbols_answer, &in, ret);
}

/* Number of addresses whose frames have these names, innermost first. */
static unsigned count_stacks(const struct lookup *l, const char *const *names, unsigned n)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < l->header->n_queries; i++) {
		bool same = lookup_count(l, i) == n;

		for (uint32_t k = 0; k < n && same; k++)
			same = !strcmp(lookup_name(l, i, k), names[k]);
		count += same;
	}
	return count;
}

static void inlined_calls_are_frames(void **state)
{
	static const char *const files[] = { "c-dwarf4", "c-dwarf5", "c-zlib", "clang-dwarf5" };
	static const char *const stack[] = { "mix", "twice", "work" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_close_ int fd = corpus(files[i]);
		_cleanup_lookup_ struct lookup l = { 0 };

		assert_int_equal(all_of(fd, -1, 0, &l), 0);
		assert_true(count_stacks(&l, stack, 3) > 0);
		assert_true(count_stacks(&l, stack + 2, 1) > 0);
		for (uint32_t k = 0; k < l.header->n_frames; k++) {
			const struct symbols_frame *f = &l.frames[k];
			const char *name = l.text + f->name;

			assert_int_equal(f->flags & SYMBOLS_FRAME_INLINED,
			        !strcmp(name, "mix") || !strcmp(name, "twice") ? SYMBOLS_FRAME_INLINED : 0);
			assert_true(f->line <= 5); /* 0: what a compiler made up */
			assert_non_null(strstr(l.text + f->filename, "/t.c"));
			if (!strcmp(name, "work"))
				assert_int_equal(f->start_line, 3);
		}
	}
}

static void without_inlines_a_function_stands_at_its_own_line(void **state)
{
	_cleanup_close_ int fd = corpus("c-dwarf5");
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(all_of(fd, -1, SYMBOLIZER_NO_INLINES, &l), 0);
	for (uint32_t i = 0; i < l.header->n_queries; i++) {
		assert_true(lookup_count(&l, i) <= 1);
		if (!strcmp(lookup_name(&l, i, 0), "work"))
			assert_int_equal(lookup_frame(&l, i, 0)->line, 3);
	}
}

static void skeleton_units_give_lines(void **state)
{
	static const char *const stack[] = { "work" };
	_cleanup_close_ int fd = corpus("c-split");
	_cleanup_lookup_ struct lookup l = { 0 };
	unsigned lines = 0;

	(void)state;
	assert_int_equal(all_of(fd, -1, 0, &l), 0);
	assert_true(count_stacks(&l, stack, 1) > 0);
	for (uint32_t k = 0; k < l.header->n_frames; k++)
		lines += l.frames[k].line > 0;
	assert_true(lines > 0);
}

static void templates_are_demangled(void **state)
{
	_cleanup_close_ int fd = corpus("cxx-dwarf5");
	_cleanup_lookup_ struct lookup l = { 0 };
	static const char *const stack[] = { "n::box<long>::get() const::{lambda(long)#1}::operator()(long) const",
		"n::box<long>::get() const", "work(long)" };

	(void)state;
	assert_int_equal(all_of(fd, -1, 0, &l), 0);
	assert_true(count_stacks(&l, stack, 3) > 0);
}

static void plt_entries_have_their_functions_name(void **state)
{
	static const char *const names[] = { "puts@plt", "malloc@plt", "exit@plt" };
	_cleanup_close_ int fd = corpus("plt");
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(all_of(fd, -1, 0, &l), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_true(count_stacks(&l, &names[i], 1) > 0);
}

static void a_debug_file_counts_only_with_the_same_build_id(void **state)
{
	static const char *const foreign[] = { "mix", "twice", "work" };
	_cleanup_close_ int fd = corpus("plt"), other = corpus("c-dwarf5");
	_cleanup_lookup_ struct lookup l = { 0 };

	(void)state;
	assert_int_equal(all_of(fd, other, 0, &l), 0);
	assert_int_equal(count_stacks(&l, foreign, 3), 0);
	assert_int_equal(count_stacks(&l, foreign + 2, 1), 0);
}

static void what_is_no_elf_file_is_refused(void **state)
{
	static const uint64_t query = 0x1000;
	struct lookup l;

	(void)state;
	assert_int_equal(lookup_text(symbols_answer, "#!/bin/sh\n", 10, &query, 1, &l), -EBADMSG);
	assert_int_equal(lookup_text(symbols_answer, "", 0, &query, 1, &l), -EBADMSG);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(inlined_calls_are_frames),
	cmocka_unit_test(without_inlines_a_function_stands_at_its_own_line),
	cmocka_unit_test(skeleton_units_give_lines),
	cmocka_unit_test(templates_are_demangled),
	cmocka_unit_test(plt_entries_have_their_functions_name),
	cmocka_unit_test(a_debug_file_counts_only_with_the_same_build_id),
	cmocka_unit_test(what_is_no_elf_file_is_refused),
};

UNIT_MAIN(tests)
