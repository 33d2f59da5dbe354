#include "tests/unit/profile/sample_profile.h"
#include "profile/folded.h"
#include "profile/frame.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

static void lines_are_sorted_and_added_up(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
	static const char expected[] = "app;main;do_syscall_64 7\napp;main;run;work;leaf 8\nidle;[unknown] 11\n";

	(void)state;
	assert_int_equal(folded_write(p, 0, &b), 0);
	assert_int_equal(b.size, sizeof(expected) - 1);
	assert_memory_equal(b.data, expected, b.size);
}

static void separators_in_names_are_replaced(void **state)
{
	_cleanup_profile_ struct profile *p = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
	const int64_t value = 4;
	struct profile_function f;
	struct profile_line line = { 0 };
	struct profile_location l = { .mapping = PROFILE_NONE, .n_lines = 1, .lines = &line };
	uint32_t i, set;

	(void)state;
	assert_int_equal(profile_new(NULL, &p), 0);
	profile_header(p)->n_sample_types = 1;
	f = (struct profile_function){ .name = put_string(p, "a;b\nc d") };
	assert_int_equal(profile_add_function(p, &f, &line.function), 0);
	assert_int_equal(profile_add_location(p, &l, &i), 0);
	assert_int_equal(profile_add_stack(p, &i, 1, &i), 0);
	assert_int_equal(profile_add_label_set(p, NULL, 0, &set), 0);
	assert_int_equal(profile_add_sample(p, i, set, &value, NULL), 0);
	assert_int_equal(folded_write(p, 0, &b), 0);
	assert_memory_equal(b.data, "a:b c d 4\n", b.size);
}

static void lines_are_read_with_their_marks(void **state)
{
	static const char text[] = "# a comment\n\nserver;main;inner_[i];leaf 5\r\nserver;main;do_syscall_64_[k] 7\n"
	                           "java;Interpreter_[j] 2.0\nserver;main;inner_[i];leaf 1";
	_cleanup_profile_ struct profile *p = NULL;
	struct profile_error error;
	struct frame f;
	const uint32_t *stack;
	size_t n;

	(void)state;
	assert_true(folded_sniff(text, sizeof(text) - 1));
	assert_int_equal(profile_new(NULL, &p), 0);
	assert_int_equal(folded_read(p, text, sizeof(text) - 1, &error), 0);
	assert_int_equal(profile_n_samples(p), 3);
	assert_int_equal(profile_total(p, 0), 15);
	assert_int_equal(profile_values(p, 0)[0], 6);
	stack = profile_stack(p, 0, &n);
	assert_int_equal(n, 3); /* leaf, main with inner in it, server */
	assert_int_equal(profile_location(p, stack[1]).n_lines, 2);
	frame_get(p, stack[1], 0, &f);
	assert_string_equal(f.name, "inner");
	assert_int_equal(f.kind, FRAME_INLINED);
	stack = profile_stack(p, 1, &n);
	frame_get(p, stack[0], 0, &f);
	assert_string_equal(f.name, "do_syscall_64");
	assert_int_equal(f.kind, FRAME_KERNEL);
	stack = profile_stack(p, 2, &n);
	frame_get(p, stack[0], 0, &f);
	assert_int_equal(f.kind, FRAME_JIT);
}

static void wrong_lines_are_named(void **state)
{
	static const char *const texts[] = { "a;b 1\na;b\n", "a;b 1\n 5\n", "a;b 1\nx 5x\n",
		"a;b 1\nx 99999999999999999999\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_profile_ struct profile *p = NULL;
		struct profile_error error = { "" };

		assert_int_equal(profile_new(NULL, &p), 0);
		assert_int_equal(folded_read(p, texts[i], strlen(texts[i]), &error), -EBADMSG);
		assert_string_equal(error.text, "line 2: not \"frame;frame NUMBER\"");
	}
	assert_false(folded_sniff("", 0));
	assert_false(folded_sniff("\n\n", 2));
	assert_false(folded_sniff("\x0a\x04\x08\x01 5\n", 7));
	assert_false(folded_sniff("heap_v2/524288\n", 15));
	assert_false(folded_sniff("hello world\n", 12));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(lines_are_sorted_and_added_up),
	cmocka_unit_test(separators_in_names_are_replaced),
	cmocka_unit_test(lines_are_read_with_their_marks),
	cmocka_unit_test(wrong_lines_are_named),
};

UNIT_MAIN(tests)
