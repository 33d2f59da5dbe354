#include "profile/top.h"

#include "tests/unit/profile/stacks.h"

static struct top *build(const char *text, enum top_by by, enum top_sort sort)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile(text);
	const struct top_options o = { .value_index = 0, .by = by, .sort = sort };
	struct top *t = NULL;

	assert_int_equal(top_build(p, &o, &t), 0);
	return t;
}

static const struct top_row *row(const struct top *t, const char *name)
{
	for (size_t i = 0; i < top_n_rows(t); i++)
		if (strcmp(top_row(t, i)->name, name) == 0)
			return top_row(t, i);
	fail_msg("no row %s", name);
	return NULL;
}

static void top_adds_flat_and_cum(void **state)
{
	_cleanup_(top_freep) struct top *t = build("main;a;b 5\nmain;a 2\nmain;c 3\n", TOP_FUNCTION, TOP_FLAT);

	(void)state;
	assert_int_equal(top_total(t)->value, 10);
	assert_int_equal(row(t, "main")->flat.value, 0);
	assert_int_equal(row(t, "main")->cum.value, 10);
	assert_int_equal(row(t, "a")->flat.value, 2);
	assert_int_equal(row(t, "a")->cum.value, 7);
	assert_string_equal(top_row(t, 0)->name, "b");
	assert_string_equal(row(t, "b")->file, "src/app.c");
}

static void top_sorts_by_cum(void **state)
{
	_cleanup_(top_freep) struct top *t = build("main;a;b 5\nmain;a 2\nmain;c 3\n", TOP_FUNCTION, TOP_CUM);

	(void)state;
	assert_string_equal(top_row(t, 0)->name, "main");
	assert_string_equal(top_row(t, 1)->name, "a");
}

static void top_counts_recursion_once(void **state)
{
	_cleanup_(top_freep) struct top *t = build("main;f;g;f;f 4\nmain;f_[i];f_[i] 1\n", TOP_FUNCTION, TOP_FLAT);

	(void)state;
	assert_int_equal(row(t, "f")->cum.value, 5);
	assert_int_equal(row(t, "f")->flat.value, 5);
	assert_int_equal(row(t, "g")->cum.value, 4);
}

static void top_gives_flat_to_the_innermost_inlined_frame(void **state)
{
	_cleanup_(top_freep) struct top *t = build("main;outer;inner_[i] 3\n", TOP_FUNCTION, TOP_FLAT);

	(void)state;
	assert_int_equal(row(t, "inner")->flat.value, 3);
	assert_int_equal(row(t, "outer")->flat.value, 0);
	assert_int_equal(row(t, "outer")->cum.value, 3);
}

static void top_by_line_and_file(void **state)
{
	_cleanup_(top_freep) struct top *lines = build("main;abc 3\n", TOP_LINE, TOP_FLAT);
	_cleanup_(top_freep) struct top *files = build("main;abc 3\nmain 1\n", TOP_FILE, TOP_FLAT);

	(void)state;
	assert_int_equal(row(lines, "abc src/app.c:30")->flat.value, 3);
	assert_int_equal(row(lines, "abc src/app.c:30")->line, 30);
	assert_int_equal(row(files, "src/app.c")->flat.value, 4);
	assert_int_equal(row(files, "src/app.c")->cum.value, 4);
}

static void top_by_label(void **state)
{
	_cleanup_(top_freep) struct top *t = build("nginx@main;a 3\nnginx@main;b 4\nmain;a 1\n", TOP_COMM, TOP_FLAT);

	(void)state;
	assert_int_equal(row(t, "nginx")->flat.value, 7);
	assert_int_equal(row(t, "nginx")->cum.value, 7);
	assert_int_equal(row(t, "[no comm]")->flat.value, 1);
}

static void add_labelled(struct profile *p, const char *comm, int64_t pid, int64_t count)
{
	struct profile_label l[2] = { { .unit = PROFILE_NONE }, { .unit = 0, .value = pid } };
	int64_t values[2] = { count, count };
	uint32_t s, labels, stack;
	char frames[] = "main";

	assert_int_equal(profile_add_cstring(p, "comm", &l[0].key), 0);
	assert_int_equal(profile_add_cstring(p, comm, &s), 0);
	l[0].value = s;
	assert_int_equal(profile_add_cstring(p, "pid", &l[1].key), 0);
	assert_int_equal(profile_add_label_set(p, l, 2, &labels), 0);
	stack = stacks_stack(p, frames);
	assert_int_equal(profile_add_sample(p, stack, labels, values, NULL), 0);
}

static void top_by_process_names_command_and_pid(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_new();
	const struct top_options o = { .value_index = 0, .by = TOP_PROCESS };
	_cleanup_(top_freep) struct top *t = NULL;

	(void)state;
	add_labelled(p, "nginx", 7, 1);
	add_labelled(p, "nginx", 8, 2);
	assert_int_equal(top_build(p, &o, &t), 0);
	assert_int_equal(top_n_rows(t), 2);
	assert_string_equal(top_row(t, 0)->name, "nginx (8)");
}

static void top_finds_rows_by_key(void **state)
{
	_cleanup_(top_freep) struct top *t = build("main;a 2\nmain;b 3\n", TOP_FUNCTION, TOP_FLAT);
	size_t at;

	(void)state;
	for (size_t i = 0; i < top_n_rows(t); i++) {
		assert_int_equal(top_find(t, top_row(t, i)->key, top_row(t, i)->key_size, &at), 0);
		assert_int_equal(at, i);
	}
	assert_int_equal(top_find(t, "nothing", 7, &at), -ENOENT);
}

static void top_gathers_squares_of_weights(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("main;a 4\n");
	const struct top_options count = { .value_index = 0 }, ns = { .value_index = 1 };
	_cleanup_(top_freep) struct top *t = NULL;

	(void)state;
	assert_int_equal(top_build(p, &count, &t), 0);
	assert_true(row(t, "a")->flat.squares == 4);
	t = top_free(t);
	/* four samples of 10 ms: 4 * (10 ms)^2 */
	assert_int_equal(top_build(p, &ns, &t), 0);
	assert_true(row(t, "a")->flat.squares == 4. * STACKS_NS * STACKS_NS);
	assert_int_equal(row(t, "a")->flat.count, 4);
}

static void top_shows_the_line_with_most_of_a_function(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_new();
	const struct top_options o = { .value_index = 0 };
	_cleanup_(top_freep) struct top *t = NULL;
	uint32_t function, labels;

	(void)state;
	function = stacks_function(p, "hot", 3);
	assert_int_equal(profile_add_label_set(p, NULL, 0, &labels), 0);
	for (int64_t line = 10; line < 13; line++) {
		struct profile_line l = { .function = function, .line = line };
		struct profile_location at = {
			.mapping = PROFILE_NONE, .lines = &l, .n_lines = 1, .address = (uint64_t)line
		};
		int64_t values[2] = { line == 11 ? 9 : 2, 1 };
		uint32_t location, stack;

		assert_int_equal(profile_add_location(p, &at, &location), 0);
		assert_int_equal(profile_add_stack(p, &location, 1, &stack), 0);
		assert_int_equal(profile_add_sample(p, stack, labels, values, NULL), 0);
	}
	assert_int_equal(top_build(p, &o, &t), 0);
	assert_int_equal(top_n_rows(t), 1);
	assert_int_equal(top_row(t, 0)->line, 11);
}

static void top_words(void **state)
{
	enum top_by by;

	(void)state;
	assert_int_equal(top_parse_by("container", &by), 0);
	assert_int_equal(by, TOP_CONTAINER);
	assert_false(top_is_code(by));
	assert_int_equal(top_parse_by("nothing", &by), -EINVAL);
}

static struct top *by_flat(const char *stacks, uint32_t value_index)
{
	const struct top_options o = { .value_index = value_index, .by = TOP_FUNCTION, .sort = TOP_FLAT };
	_cleanup_(profile_freep) struct profile *p = stacks_profile(stacks);
	struct top *t = NULL;

	assert_int_equal(top_build(p, &o, &t), 0);
	return t;
}

static void hot_are_all_at_or_above_the_threshold(void **state)
{
	_cleanup_(top_freep) struct top *t = by_flat("main;a 50\nmain;bb 47\nmain;ccc 2\nmain;dddd 1\n", 1);

	(void)state;
	assert_int_equal(top_n_hot(t, 0.02), 3);
	assert_string_equal(top_row(t, 0)->name, "a");
	assert_string_equal(top_row(t, 2)->name, "ccc");
	assert_string_equal(top_row(t, 2)->file, "src/app.c");
	assert_int_equal(top_row(t, 2)->line, 30);
	assert_int_equal(top_row(t, 2)->flat.count, 2);
	assert_int_equal(top_row(t, 2)->flat.value, 2 * STACKS_NS);
	assert_int_equal(top_n_hot(t, 0.48), 1);
	assert_int_equal(top_n_hot(t, 0.51), 0);
}

static void hot_is_not_a_matter_of_rounding(void **state)
{
	_cleanup_(top_freep) struct top *t = by_flat("main;a 297\nmain;b 3\n", 0);

	(void)state;
	assert_int_equal(top_n_hot(t, 1.0 / 100), 2);
}

static void hot_is_what_a_function_spends_itself(void **state)
{
	_cleanup_(top_freep) struct top *t = by_flat("main;a 1\nmain;b 1\n", 0);

	(void)state;
	assert_int_equal(top_n_rows(t), 3);
	assert_int_equal(top_n_hot(t, 0), 2); /* main has nothing of its own */
}

static void of_nothing_nothing_is_hot(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_new();
	_cleanup_(top_freep) struct top *t = NULL;

	(void)state;
	assert_int_equal(top_build(p, &(struct top_options){ .by = TOP_FUNCTION }, &t), 0);
	assert_int_equal(top_n_hot(t, 0), 0);
}

/* A small file can name one long file for each of its functions: rows do not multiply it without end. */
static void top_bounds_what_its_rows_keep(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_of_one_file("f", 40000, 4000);
	struct top *t = NULL;

	(void)state;
	assert_int_equal(top_build(p, &(struct top_options){ .by = TOP_FUNCTION }, &t), -ENOSPC);
	assert_null(t);
}

static void a_file_longer_than_any_path_is_not_known(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_of_one_file("f", 3, FRAME_FILE_BYTES_MAX + 1);
	_cleanup_(top_freep) struct top *t = NULL;

	(void)state;
	assert_int_equal(top_build(p, &(struct top_options){ .by = TOP_FUNCTION }, &t), 0);
	assert_int_equal(top_n_rows(t), 3);
	assert_string_equal(row(t, "f1")->file, "");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(top_bounds_what_its_rows_keep),
	cmocka_unit_test(a_file_longer_than_any_path_is_not_known),
	cmocka_unit_test(top_adds_flat_and_cum),
	cmocka_unit_test(top_sorts_by_cum),
	cmocka_unit_test(top_counts_recursion_once),
	cmocka_unit_test(top_gives_flat_to_the_innermost_inlined_frame),
	cmocka_unit_test(top_by_line_and_file),
	cmocka_unit_test(top_by_label),
	cmocka_unit_test(top_by_process_names_command_and_pid),
	cmocka_unit_test(top_finds_rows_by_key),
	cmocka_unit_test(top_gathers_squares_of_weights),
	cmocka_unit_test(top_shows_the_line_with_most_of_a_function),
	cmocka_unit_test(top_words),
	cmocka_unit_test(hot_are_all_at_or_above_the_threshold),
	cmocka_unit_test(hot_is_not_a_matter_of_rounding),
	cmocka_unit_test(hot_is_what_a_function_spends_itself),
	cmocka_unit_test(of_nothing_nothing_is_hot),
};

UNIT_MAIN(tests)
