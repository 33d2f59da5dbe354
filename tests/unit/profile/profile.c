#include "tests/unit/profile/sample_profile.h"

static void equal_entities_get_equal_numbers(void **state)
{
	_cleanup_(profile_freep) struct profile *p = sample_profile();
	uint32_t strings = profile_n_strings(p), locations = profile_n_locations(p), stacks = profile_n_stacks(p);

	(void)state;
	assert_int_equal(put_string(p, ""), 0);
	assert_int_equal(put_location(p, 0, 0x402000, "work;run"), 1);
	assert_int_equal(put_mapping(p, "[kernel.kallsyms]", 0), 1);
	put_sample(p, (uint32_t[]){ 2, 1, 0 }, 3, "app", 101, 100, 0);
	assert_int_equal(profile_n_strings(p), strings);
	assert_int_equal(profile_n_locations(p), locations);
	assert_int_equal(profile_n_stacks(p), stacks);
	assert_int_equal(profile_n_samples(p), 4);
	assert_int_equal(profile_values(p, 0)[0], 103);
	assert_int_equal(profile_total(p, 0), 126);
	assert_int_equal(profile_total(p, 1), 260000000);
}

static void look_ups_answer_what_was_put_in(void **state)
{
	_cleanup_(profile_freep) struct profile *p = sample_profile();
	struct profile_location l = profile_location(p, 1);
	const uint32_t *stack;
	uint32_t type;
	size_t n;

	(void)state;
	assert_int_equal(l.address, 0x402000);
	assert_int_equal(l.n_lines, 2);
	assert_string_equal(profile_string(p, profile_function(p, l.lines[0].function)->name, NULL), "work");
	assert_string_equal(profile_string(p, profile_function(p, l.lines[1].function)->name, NULL), "run");
	assert_int_equal(l.lines[1].line, 13);
	stack = profile_stack(p, 0, &n);
	assert_int_equal(n, 3);
	assert_int_equal(stack[0], 2);
	assert_int_equal(profile_find_sample_type(p, "cpu", &type), 0);
	assert_int_equal(type, 1);
	assert_int_equal(profile_find_sample_type(p, "wall", &type), -ENOENT);
	assert_int_equal(profile_find_string(p, "do_syscall_64", &type), 0);
	assert_int_equal(profile_find_string(p, "not there", &type), -ENOENT);
}

static void label_sets_do_not_depend_on_order(void **state)
{
	_cleanup_(profile_freep) struct profile *p = sample_profile();
	const struct profile_label a = text_label(p, "comm", "x"), b = number_label(p, "tid", 7),
	                           c = text_label(p, "unit", "nginx");
	uint32_t first, second;

	(void)state;
	assert_int_equal(profile_add_label_set(p, (struct profile_label[]){ a, b, c }, 3, &first), 0);
	assert_int_equal(profile_add_label_set(p, (struct profile_label[]){ c, a, b }, 3, &second), 0);
	assert_int_equal(first, second);
	assert_int_equal(profile_add_label_set(p, (struct profile_label[]){ a, b }, 2, &second), 0);
	assert_int_not_equal(first, second);
	assert_int_equal(profile_add_label_set(p, NULL, 0, &first), 0);
	assert_int_equal(profile_add_label_set(p, NULL, 0, &second), 0);
	assert_int_equal(first, second);
}

static void what_does_not_exist_is_refused(void **state)
{
	_cleanup_(profile_freep) struct profile *p = sample_profile();
	const int64_t values[2] = { 1, 1 };
	static uint32_t deep[PROFILE_STACK_DEPTH_MAX + 1];
	static struct profile_label many[PROFILE_LABELS_MAX + 1];
	static struct profile_line lines[PROFILE_LINES_MAX + 1];
	uint32_t i = 77;

	(void)state;
	assert_int_equal(profile_add_mapping(p, &(struct profile_mapping){ .filename = 9999 }, &i), -EINVAL);
	assert_int_equal(profile_add_function(p, &(struct profile_function){ .name = 9999 }, &i), -EINVAL);
	assert_int_equal(profile_add_location(p, &(struct profile_location){ .mapping = 99 }, &i), -EINVAL);
	assert_int_equal(profile_add_location(p,
	                         &(struct profile_location){ .mapping = PROFILE_NONE,
	                                 .n_lines = 1,
	                                 .lines = &(struct profile_line){ .function = 99 } },
	                         &i),
	        -EINVAL);
	assert_int_equal(profile_add_location(
	                         p, &(struct profile_location){ .n_lines = PROFILE_LINES_MAX + 1, .lines = lines }, &i),
	        -E2BIG);
	assert_int_equal(profile_add_stack(p, (uint32_t[]){ 99 }, 1, &i), -EINVAL);
	assert_int_equal(profile_add_stack(p, deep, PROFILE_STACK_DEPTH_MAX + 1, &i), -E2BIG);
	assert_int_equal(profile_add_label_set(p, many, PROFILE_LABELS_MAX + 1, &i), -E2BIG);
	assert_int_equal(profile_add_label_set(p, &(struct profile_label){ 1, PROFILE_NONE, 9999 }, 1, &i), -EINVAL);
	assert_int_equal(profile_add_sample(p, 99, 0, values, &i), -EINVAL);
	assert_int_equal(profile_add_sample(p, 0, 99, values, &i), -EINVAL);
	assert_int_equal(i, 77);
}

static void the_limit_holds_and_changes_nothing(void **state)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	char text[40];
	uint32_t n = 0, i;
	int r;

	(void)state;
	assert_int_equal(profile_new(&(struct profile_limits){ .bytes_max = 100000 }, &p), 0);
	do {
		(void)snprintf(text, sizeof(text), "string number %u", n);
		r = profile_add_cstring(p, text, &i);
		n += r == 0;
		assert_true(profile_bytes(p) <= 100000);
	} while (r == 0);
	assert_int_equal(r, -ENOSPC);
	assert_true(n > 1000);
	assert_int_equal(profile_n_strings(p), n + 1);
	(void)snprintf(text, sizeof(text), "string number %u", n - 1);
	assert_string_equal(profile_string(p, n, NULL), text);
	assert_int_equal(profile_add_cstring(p, "string number 7", &i), 0);
	assert_int_equal(i, 8);
	assert_int_equal(
	        profile_new(&(struct profile_limits){ .bytes_max = 10 }, &(struct profile *){ NULL }), -ENOSPC);
}

#define IN_TURN 300

/* Location i with a name, a function and a line of its own: i's index of each must come out. */
static void put_in_turn(struct profile *p, const uint32_t *order, size_t n, uint32_t *ret)
{
	char text[IN_TURN][16];
	struct profile_text texts[IN_TURN];
	struct profile_function functions[IN_TURN] = { 0 };
	struct profile_line lines[IN_TURN] = { 0 };
	struct profile_location locations[IN_TURN] = { 0 };
	uint32_t out[IN_TURN];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "f%u", order[i]);
		texts[i] = (struct profile_text){ text[i], strlen(text[i]) };
	}
	assert_int_equal(profile_add_strings(p, texts, n, out), 0);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(profile_string(p, out[i], NULL), text[i]);
		functions[i].name = out[i];
	}
	assert_int_equal(profile_add_functions(p, functions, n, out), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(profile_function(p, out[i])->name, functions[i].name);
		lines[i].function = out[i];
		locations[i] = (struct profile_location){ .address = order[i], .n_lines = 1, .lines = &lines[i] };
	}
	assert_int_equal(profile_add_locations(p, locations, n, ret), 0);
	for (size_t i = 0; i < n; i++) {
		const struct profile_location l = profile_location(p, ret[i]);

		assert_int_equal(l.address, order[i]);
		assert_int_equal(l.lines[0].function, lines[i].function);
	}
}

/* Many at once are guessed to come as they came before: whatever the order, each is found, and none is there twice. */
static void the_order_does_not_matter(void **state)
{
	_cleanup_(profile_freep) struct profile *p = sample_profile();
	uint32_t order[IN_TURN], index[IN_TURN], again[IN_TURN], n = 0;
	struct profile_mark mark;

	(void)state;
	for (uint32_t i = 0; i < IN_TURN / 2; i++)
		order[i] = 2 * i;
	put_in_turn(p, order, IN_TURN / 2, index);
	mark = profile_mark(p);
	put_in_turn(p, order, IN_TURN / 2, again); /* the same */
	assert_memory_equal(index, again, IN_TURN / 2 * sizeof(*index));
	for (uint32_t i = 0; i < IN_TURN; i++) /* with gaps and new ones between */
		if (i % 14 && (i % 2 == 0 || i % 5 == 0))
			order[n++] = i;
	put_in_turn(p, order, n, again);
	profile_rollback(p, &mark); /* what comes next is not there any more */
	put_in_turn(p, order, n, again);
	for (uint32_t i = 0; i < n; i++)
		if (order[i] % 2 == 0)
			assert_int_equal(again[i], index[order[i] / 2]);
	for (uint32_t i = 0; i < IN_TURN; i++) /* backwards, some twice */
		order[i] = IN_TURN - 1 - i / 2 * 2;
	put_in_turn(p, order, IN_TURN, again);
	for (uint32_t i = 0; i < IN_TURN; i++)
		order[i] = i;
	put_in_turn(p, order, IN_TURN, again);
	assert_int_equal(profile_n_locations(p), mark.locations + IN_TURN / 2);
	assert_int_equal(profile_n_functions(p), mark.functions + IN_TURN / 2);
	assert_int_equal(profile_n_strings(p), mark.strings + IN_TURN / 2);
}

static void values_saturate(void **state)
{
	_cleanup_(profile_freep) struct profile *p = sample_profile();

	(void)state;
	put_sample(p, (uint32_t[]){ 2, 1, 0 }, 3, "app", 101, INT64_MAX, INT64_MIN);
	put_sample(p, (uint32_t[]){ 2, 1, 0 }, 3, "app", 101, 0, INT64_MIN);
	assert_true(profile_values(p, 0)[0] == INT64_MAX);
	assert_true(profile_values(p, 0)[1] == INT64_MIN);
	assert_true(profile_total(p, 0) == INT64_MAX);
}

static void rollback_takes_away_what_came_since(void **state)
{
	_cleanup_(profile_freep) struct profile *p = sample_profile();
	struct profile_mark mark = profile_mark(p), after;
	uint32_t i;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (uint32_t k = 0; k < 2000; k++) {
			char name[32];

			(void)snprintf(name, sizeof(name), "function %u", k);
			i = put_location(p, put_mapping(p, name, k), k, name);
			put_sample(p, &i, 1, name, k, 1, 1);
		}
		assert_int_equal(profile_n_samples(p), 2004);
		profile_rollback(p, &mark);
		after = profile_mark(p);
		assert_memory_equal(&after, &mark, sizeof(mark));
	}
	assert_int_equal(profile_total(p, 0), 26);
	assert_int_equal(profile_find_string(p, "function 7", &i), -ENOENT);
	assert_int_equal(put_location(p, 0, 0x402000, "work;run"), 1);
	put_sample(p, (uint32_t[]){ 2, 1, 0 }, 3, "app", 101, 1, 0);
	assert_int_equal(profile_values(p, 0)[0], 4);
	assert_int_equal(profile_n_samples(p), 4);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(equal_entities_get_equal_numbers),
	cmocka_unit_test(look_ups_answer_what_was_put_in),
	cmocka_unit_test(label_sets_do_not_depend_on_order),
	cmocka_unit_test(what_does_not_exist_is_refused),
	cmocka_unit_test(the_limit_holds_and_changes_nothing),
	cmocka_unit_test(the_order_does_not_matter),
	cmocka_unit_test(values_saturate),
	cmocka_unit_test(rollback_takes_away_what_came_since),
};

UNIT_MAIN(tests)
