#include "tests/unit/unit.h"
#include "daemon/window.h"

#include <errno.h>
#include <string.h>

static const uint64_t kernel[] = { 0xffffffff81000010, 0xffffffff81000100 };
static const struct user_frame user[] = {
	{ .file = FILE_FIRST + 3, .offset = 0x1000 },
	{ .file = FILE_FIRST + 3, .offset = 0x2000, .flags = FRAME_RETURN_ADDRESS },
	{ .file = FILE_ANONYMOUS, .offset = 0x7f0000001000, .flags = FRAME_RETURN_ADDRESS },
	{ .file = FILE_VDSO, .offset = 0x700 },
	{ .file = FILE_UNKNOWN, .offset = 0x10 },
};

static struct sample sample(void)
{
	return (struct sample){ .pid = 10,
		.tid = 11,
		.process_start_ns = 5,
		.cgroup_id = 77,
		.exe = FILE_FIRST,
		.comm = "comm",
		.thread = "thread",
		.kernel = kernel,
		.n_kernel = 2,
		.user = user,
		.n_user = ARRAY_SIZE(user),
		.values = { 1, 10000000 } };
}

static void adds_up_equal_samples(void **state)
{
	_cleanup_(window_freep) struct window *w = NULL;
	struct sample s = sample();

	(void)state;
	assert_int_equal(window_new(2, WINDOW_BYTES_MAX, &w), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(window_add(w, &s), 0);
	memcpy(s.comm, "comm\0rest", 9); /* the same name */
	assert_int_equal(window_add(w, &s), 0);
	assert_int_equal(window_n_samples(w), 1);
	assert_int_equal(window_values(w, 0)[0], 1001);
	assert_int_equal(window_values(w, 0)[1], 10010000000);
	s.tid = 12;
	assert_int_equal(window_add(w, &s), 0);
	s.truncated = "no rows";
	assert_int_equal(window_add(w, &s), 0);
	assert_int_equal(window_n_samples(w), 3);
	assert_int_equal(window_n_label_sets(w), 2);
	assert_int_equal(window_n_stacks(w), 2);
	assert_int_equal(window_counts(w)->samples, 1003);
	assert_int_equal(window_counts(w)->truncated, 1);
	assert_int_equal(window_counts(w)->lost, 0);
}

static void keeps_what_it_was_given(void **state)
{
	_cleanup_(window_freep) struct window *w = NULL;
	struct sample s = sample();
	struct window_stack stack;
	const struct window_labels *labels;
	const struct window_frame *f;

	(void)state;
	s.truncated = "loop";
	assert_int_equal(window_new(2, WINDOW_BYTES_MAX, &w), 0);
	assert_int_equal(window_add(w, &s), 0);
	stack = window_stack(w, window_sample(w, 0)->stack);
	assert_int_equal(stack.n, 7);
	assert_string_equal(stack.truncated, "loop");
	f = window_frame(w, stack.frames[0]);
	assert_int_equal(f->space, WINDOW_SPACE_KERNEL);
	assert_int_equal(f->address, kernel[0]);
	assert_int_equal(window_frame(w, stack.frames[1])->address, kernel[1] - 1);
	f = window_frame(w, stack.frames[2]);
	assert_int_equal(f->space, WINDOW_SPACE_FILE);
	assert_int_equal(f->file, FILE_FIRST + 3);
	assert_int_equal(f->address, 0x1000);
	assert_int_equal(window_frame(w, stack.frames[3])->address, 0x1fff);
	f = window_frame(w, stack.frames[4]);
	assert_int_equal(f->space, WINDOW_SPACE_ANONYMOUS);
	assert_int_equal(window_process(w, f->process)->pid, 10);
	assert_int_equal(window_frame(w, stack.frames[5])->space, WINDOW_SPACE_FILE);
	assert_int_equal(window_frame(w, stack.frames[5])->file, FILE_VDSO);
	assert_int_equal(window_frame(w, stack.frames[6])->space, WINDOW_SPACE_UNKNOWN);
	labels = window_labels(w, window_sample(w, 0)->labels);
	assert_int_equal(labels->cgroup_id, 77);
	assert_int_equal(labels->tid, 11);
	assert_string_equal(labels->thread, "thread");
}

/* The same address means two things in two processes, and in a PID that was used again. */
static void anonymous_frames_belong_to_a_process(void **state)
{
	_cleanup_(window_freep) struct window *w = NULL;
	struct sample s = sample();

	(void)state;
	s.n_kernel = 0;
	s.user = &user[2];
	s.n_user = 1;
	assert_int_equal(window_new(1, WINDOW_BYTES_MAX, &w), 0);
	assert_int_equal(window_add(w, &s), 0);
	s.process_start_ns = 6;
	assert_int_equal(window_add(w, &s), 0);
	s.pid = 20;
	assert_int_equal(window_add(w, &s), 0);
	assert_int_equal(window_n_processes(w), 3);
	assert_int_equal(window_n_frames(w), 3);
	assert_int_equal(window_n_stacks(w), 3);
}

static void refuses_and_counts_over_the_bound(void **state)
{
	_cleanup_(window_freep) struct window *w = NULL;
	struct sample s = sample();
	struct user_frame frames[100];
	int64_t total = 0;
	const unsigned n = 20000;

	(void)state;
	assert_int_equal(window_new(1, 256 << 10, &w), 0);
	s.user = frames;
	s.n_user = ARRAY_SIZE(frames);
	for (unsigned i = 0; i < n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(frames); k++)
			frames[k] = (struct user_frame){ .file = FILE_FIRST, .offset = i * 100 + k };
		(void)window_add(w, &s);
	}
	assert_true(window_counts(w)->lost > 0);
	assert_int_equal(window_counts(w)->lost + window_counts(w)->samples, n);
	for (uint32_t i = 0; i < window_n_samples(w); i++)
		total += window_values(w, i)[0];
	assert_int_equal(total, window_counts(w)->samples);
	assert_true(window_bytes(w) < 512 << 10);
}

static void values_saturate(void **state)
{
	_cleanup_(window_freep) struct window *w = NULL;
	struct sample s = sample();

	(void)state;
	assert_int_equal(window_new(2, WINDOW_BYTES_MAX, &w), 0);
	s.values[0] = INT64_MAX;
	s.values[1] = INT64_MIN;
	assert_int_equal(window_add(w, &s), 0);
	assert_int_equal(window_add(w, &s), 0);
	assert_true(window_values(w, 0)[0] == INT64_MAX);
	assert_true(window_values(w, 0)[1] == INT64_MIN);
}

static void deepest_stack_fits(void **state)
{
	_cleanup_(window_freep) struct window *w = NULL;
	static struct user_frame frames[STACK_USER_FRAMES_MAX + 50];
	static uint64_t addresses[STACK_KERNEL_FRAMES_MAX];
	struct sample s = sample();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		frames[i] = (struct user_frame){ .file = FILE_FIRST, .offset = i + 1 };
	s.user = frames;
	s.n_user = ARRAY_SIZE(frames);
	s.kernel = addresses;
	s.n_kernel = ARRAY_SIZE(addresses);
	assert_int_equal(window_new(1, WINDOW_BYTES_MAX, &w), 0);
	assert_int_equal(window_add(w, &s), 0);
	assert_int_equal(window_stack(w, 0).n, WINDOW_FRAMES_MAX);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(adds_up_equal_samples),
	cmocka_unit_test(keeps_what_it_was_given),
	cmocka_unit_test(anonymous_frames_belong_to_a_process),
	cmocka_unit_test(refuses_and_counts_over_the_bound),
	cmocka_unit_test(values_saturate),
	cmocka_unit_test(deepest_stack_fits),
};

UNIT_MAIN(tests)
