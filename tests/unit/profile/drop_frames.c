#include "profile/drop_frames.h"

#include "profile/top.h"
#include "profile/tree.h"
#include "tests/unit/profile/stacks.h"

static struct profile *profile_of(const char *text, const char *drop, const char *keep)
{
	struct profile *p = stacks_profile(text);

	assert_true(profile_add_cstring(p, drop, &profile_header(p)->drop_frames) >= 0);
	assert_true(profile_add_cstring(p, keep, &profile_header(p)->keep_frames) >= 0);
	return p;
}

/* What is flat in each of two functions. */
static void assert_flat(const char *text, const char *drop, const char *keep, int64_t caller, int64_t callee)
{
	_cleanup_(profile_freep) struct profile *p = profile_of(text, drop, keep);
	_cleanup_(top_freep) struct top *t = NULL;
	_cleanup_(tree_freep) struct tree *tree = NULL;
	int64_t top[2] = { 0 }, nodes[2] = { 0 };

	assert_int_equal(top_build(p, &(struct top_options){ .by = TOP_FUNCTION }, &t), 0);
	assert_int_equal(tree_new(&tree), 0);
	assert_int_equal(tree_add(tree, 0, p, &(struct tree_options){ 0 }), 0);
	tree_finish(tree);
	for (size_t i = 0; i < top_n_rows(t); i++)
		top[strncmp(top_row(t, i)->name, "malloc", 6) == 0] += top_row(t, i)->flat.value;
	for (uint32_t i = 1; i < tree_n_nodes(tree); i++) {
		const struct tree_node *n = tree_node(tree, i);

		nodes[strncmp(tree_frame(tree, n->frame)->name, "malloc", 6) == 0] += n->self[0].value;
	}
	assert_int_equal(top[0], caller);
	assert_int_equal(top[1], callee);
	assert_int_equal(nodes[0], caller);
	assert_int_equal(nodes[1], callee);
}

static void who_called_it_is_flat(void **state)
{
	(void)state;
	assert_flat("main;f;malloc 5\nmain;f 2\n", "", "", 2, 5);
	assert_flat("main;f;malloc 5\nmain;f 2\n", "calloc|malloc", "", 7, 0);
	assert_flat("main;f;malloc;malloc;grow 5\nmain;f 2\n", "malloc", "", 7, 0);
	assert_flat("main;f;malloc(unsigned long) 5\n", "malloc", "", 5, 0);
	assert_flat("main;f;malloc_more 5\n", "malloc", "", 0, 5); /* the whole name */
	assert_flat("main;f;malloc.[x] 5\n", "malloc\\.\\[x\\]", "", 5, 0);
}

static void of_no_stack_everything_is_dropped(void **state)
{
	(void)state;
	assert_flat("malloc 5\n", "malloc", "", 0, 5);
	assert_flat("malloc;malloc 5\n", "malloc", "", 0, 5);
	assert_flat("malloc;f;malloc 5\n", "malloc", "", 5, 0);
}

static void what_is_no_list_of_names_drops_nothing(void **state)
{
	static const char *const others[] = { "mal.*", "malloc|(", "malloc|[a-z]", "malloc|\\d", "malloc|\\", "(a+)+$",
		"||", "malloc|^f" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_flat("main;f;malloc 5\n", others[i], "", 0, 5);
	assert_flat("main;f;malloc 5\n", "malloc", "f", 0, 5);
}

static void more_names_than_anybody_has_drop_nothing(void **state)
{
	_cleanup_free_ char *names = malloc(200000);
	size_t n = 0;

	(void)state;
	assert_non_null(names);
	for (unsigned i = 0; i < 2000; i++)
		n += (size_t)sprintf(names + n, "malloc%u|malloc|", i);
	assert_flat("main;f;malloc 5\n", names, "", 0, 5);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(who_called_it_is_flat),
	cmocka_unit_test(of_no_stack_everything_is_dropped),
	cmocka_unit_test(what_is_no_list_of_names_drops_nothing),
	cmocka_unit_test(more_names_than_anybody_has_drop_nothing),
};

UNIT_MAIN(tests)
