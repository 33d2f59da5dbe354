#include "profile/tree.h"

#include "tests/unit/profile/stacks.h"

static uint32_t child(const struct tree *t, uint32_t parent, const char *name)
{
	for (uint32_t i = tree_node(t, parent)->first_child; i != TREE_NONE; i = tree_node(t, i)->next_sibling)
		if (strcmp(tree_frame(t, tree_node(t, i)->frame)->name, name) == 0)
			return i;
	fail_msg("no child %s", name);
	return 0;
}

static struct tree *build(const char *text, const struct tree_options *o)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile(text);
	struct tree *t = NULL;

	assert_int_equal(tree_new(&t), 0);
	assert_int_equal(tree_add(t, 0, p, o), 0);
	tree_finish(t);
	return t;
}

static const struct tree_options nanoseconds = { .value_index = 1 };

static void tree_adds_equal_callers_together(void **state)
{
	_cleanup_(tree_freep) struct tree *t = build("main;a;b 2\nmain;a;c 3\nmain;a 1\nidle 4\n", &nanoseconds);
	uint32_t a = child(t, child(t, 0, "main"), "a");

	(void)state;
	assert_int_equal(tree_node(t, 0)->total[0].value, 10ll * STACKS_NS);
	assert_int_equal(tree_node(t, 0)->total[0].count, 10);
	assert_int_equal(tree_node(t, a)->total[0].value, 6ll * STACKS_NS);
	assert_int_equal(tree_node(t, a)->self[0].value, 1ll * STACKS_NS);
	assert_int_equal(tree_node(t, child(t, a, "c"))->self[0].count, 3);
	assert_int_equal(tree_depth(t), 3);
	assert_int_equal(tree_n_nodes(t), 6);
}

static void tree_keeps_recursion_as_depth(void **state)
{
	_cleanup_(tree_freep) struct tree *t = build("f;f;f 1\nf;f 1\n", &nanoseconds);
	uint32_t one = child(t, 0, "f"), two = child(t, one, "f"), three = child(t, two, "f");

	(void)state;
	assert_int_equal(tree_node(t, one)->total[0].count, 2);
	assert_int_equal(tree_node(t, three)->total[0].count, 1);
}

static void tree_sorts_children_by_name(void **state)
{
	_cleanup_(tree_freep) struct tree *t = build("d 1\nb 1\na 1\nc 1\nab 1\n", &nanoseconds);
	static const char *const want[] = { "a", "ab", "b", "c", "d" };
	size_t n = 0;

	(void)state;
	for (uint32_t i = tree_node(t, 0)->first_child; i != TREE_NONE; i = tree_node(t, i)->next_sibling)
		assert_string_equal(tree_frame(t, tree_node(t, i)->frame)->name, want[n++]);
	assert_int_equal(n, 5);
}

static void tree_tells_kinds_apart(void **state)
{
	_cleanup_(tree_freep) struct tree *t =
	        build("main;small_[i];tiny_[i];lambda_[j];do_syscall_[k] 1\n", &nanoseconds);
	static const struct {
		const char *name;
		enum frame_kind kind;
	} want[] = { { "main", FRAME_NATIVE }, { "small", FRAME_INLINED }, { "tiny", FRAME_INLINED },
		{ "lambda", FRAME_JIT }, { "do_syscall", FRAME_KERNEL } };
	uint32_t node = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		node = child(t, node, want[i].name);
		assert_int_equal(tree_frame(t, tree_node(t, node)->frame)->kind, want[i].kind);
	}
}

static void tree_hides_frames_but_not_their_values(void **state)
{
	regex_t hide;
	struct tree_options o = { .value_index = 0, .hide = &hide };
	_cleanup_(tree_freep) struct tree *t = NULL;

	(void)state;
	assert_int_equal(regcomp(&hide, "^secret", REG_EXTENDED | REG_NOSUB), 0);
	t = build("main;secret_a;work 2\nmain;secret_b;work 3\nsecret_c 1\n", &o);
	regfree(&hide);
	assert_int_equal(tree_node(t, 0)->total[0].value, 6);
	assert_int_equal(tree_node(t, 0)->self[0].value, 1);
	assert_int_equal(tree_node(t, child(t, child(t, 0, "main"), "work"))->total[0].value, 5);
}

static void tree_groups_by_a_label(void **state)
{
	const struct tree_options o = { .value_index = 0, .group_by = "comm" };
	_cleanup_(tree_freep) struct tree *t = build("nginx@main;a 2\nredis@main;a 3\nmain;a 1\n", &o);

	(void)state;
	assert_int_equal(tree_node(t, child(t, 0, "nginx"))->total[0].value, 2);
	assert_int_equal(tree_frame(t, tree_node(t, child(t, 0, "redis"))->frame)->kind, FRAME_GROUP);
	assert_int_equal(tree_node(t, child(t, 0, "main"))->total[0].value, 1);
}

static void tree_holds_two_sides(void **state)
{
	_cleanup_(profile_freep) struct profile *before = stacks_profile("main;a 2\nmain;old 1\n");
	_cleanup_(profile_freep) struct profile *after = stacks_profile("main;a 5\nmain;new 1\n");
	_cleanup_(tree_freep) struct tree *t = NULL;
	uint32_t root;

	(void)state;
	assert_int_equal(tree_new(&t), 0);
	assert_int_equal(tree_add(t, 0, before, &nanoseconds), 0);
	assert_int_equal(tree_add(t, 1, after, &nanoseconds), 0);
	tree_finish(t);
	root = child(t, 0, "main");
	assert_int_equal(tree_node(t, root)->total[0].count, 3);
	assert_int_equal(tree_node(t, root)->total[1].count, 6);
	assert_int_equal(tree_node(t, child(t, root, "old"))->total[1].count, 0);
	assert_int_equal(tree_node(t, child(t, root, "new"))->total[0].count, 0);
}

static void tree_refuses_more_nodes_than_allowed(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("a;b;c;d 1\n");
	struct tree_options o = { .value_index = 0, .nodes_max = 4 };
	_cleanup_(tree_freep) struct tree *t = NULL;

	(void)state;
	assert_int_equal(tree_new(&t), 0);
	assert_int_equal(tree_add(t, 0, p, &o), -ENOSPC);
	o.nodes_max = 5;
	t = tree_free(t);
	assert_int_equal(tree_new(&t), 0);
	assert_int_equal(tree_add(t, 0, p, &o), 0);
}

static void tree_refuses_a_value_that_is_not_there(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("a 1\n");
	const struct tree_options o = { .value_index = 2 };
	_cleanup_(tree_freep) struct tree *t = NULL;

	(void)state;
	assert_int_equal(tree_new(&t), 0);
	assert_int_equal(tree_add(t, 0, p, &o), -EINVAL);
}

static void tree_bounds_what_its_frames_keep(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_of_one_file("f", 40000, 4000);
	_cleanup_(tree_freep) struct tree *t = NULL;

	(void)state;
	assert_int_equal(tree_new(&t), 0);
	assert_int_equal(tree_add(t, 0, p, &(struct tree_options){ .value_index = 0 }), -ENOSPC);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(tree_bounds_what_its_frames_keep),
	cmocka_unit_test(tree_adds_equal_callers_together),
	cmocka_unit_test(tree_keeps_recursion_as_depth),
	cmocka_unit_test(tree_sorts_children_by_name),
	cmocka_unit_test(tree_tells_kinds_apart),
	cmocka_unit_test(tree_hides_frames_but_not_their_values),
	cmocka_unit_test(tree_groups_by_a_label),
	cmocka_unit_test(tree_holds_two_sides),
	cmocka_unit_test(tree_refuses_more_nodes_than_allowed),
	cmocka_unit_test(tree_refuses_a_value_that_is_not_there),
};

UNIT_MAIN(tests)
