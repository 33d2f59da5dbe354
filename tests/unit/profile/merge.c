#include "tests/unit/profile/sample_profile.h"
#include "profile/ledger.h"
#include "profile/merge.h"
#include "profile/pprof.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

static struct profile *empty(void)
{
	struct profile *p = NULL;

	assert_int_equal(profile_new(NULL, &p), 0);
	return p;
}

static void totals_are_exact(void **state)
{
	_cleanup_profile_ struct profile *a = sample_profile(), *b = sample_profile(), *sum = empty();
	int64_t lost;

	(void)state;
	put_sample(b, (uint32_t[]){ 0 }, 1, "other", 9, 1000, 5);
	assert_int_equal(profile_merge(sum, a, NULL, NULL), 0);
	assert_int_equal(profile_merge(sum, b, NULL, NULL), 0);
	assert_int_equal(profile_n_samples(sum), 5);
	assert_int_equal(profile_total(sum, 0), 26 + 1026);
	assert_int_equal(profile_total(sum, 1), 2 * 260000000 + 5);
	assert_int_equal(profile_n_locations(sum), 5);
	assert_int_equal(ledger_get(sum, "lost", &lost), 0);
	assert_int_equal(lost, 4);
	assert_true(profile_header(sum)->duration_ns == 120ll * 1000000000);
}

static void merging_is_reading_into(void **state)
{
	static const char *const drop[] = { "tid", NULL };
	_cleanup_profile_ struct profile *p = sample_profile(), *merged = empty(), *read = empty();
	_cleanup_buffer_ struct buffer file = BUFFER(1 << 20), a = BUFFER(1 << 20), b = BUFFER(1 << 20);
	struct merge_options options = MERGE_OPTIONS_DEFAULT;

	(void)state;
	options.drop_labels = drop;
	assert_int_equal(pprof_write(p, &file), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(profile_merge(merged, p, &options, NULL), 0);
		assert_int_equal(pprof_read_into(read, &(struct pprof_read_options){ .drop_labels = drop }, file.data,
		                         file.size, NULL),
		        0);
	}
	assert_int_equal(pprof_write(merged, &a), 0);
	assert_int_equal(pprof_write(read, &b), 0);
	assert_int_equal(a.size, b.size);
	assert_memory_equal(a.data, b.data, a.size);
}

static bool is_work(void *userdata, const struct profile *p, uint32_t function)
{
	++*(int *)userdata;
	return strcmp(profile_string(p, profile_function(p, function)->name, NULL), "work") == 0 ||
	       strcmp(profile_string(p, profile_function(p, function)->name, NULL), "leaf") == 0;
}

static void hidden_functions_leave_their_stacks(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = empty();
	struct merge_options options = MERGE_OPTIONS_DEFAULT;
	struct profile_location l;
	const uint32_t *stack;
	int asked = 0;
	size_t n;

	(void)state;
	options.hide = is_work;
	options.userdata = &asked;
	assert_int_equal(profile_merge(q, p, &options, NULL), 0);
	assert_int_equal(asked, 5);
	assert_int_equal(profile_total(q, 0), 26);
	stack = profile_stack(q, profile_sample(q, 0)->stack, &n);
	assert_int_equal(n, 2); /* leaf is gone with its location; of work;run only run is left */
	l = profile_location(q, stack[0]);
	assert_int_equal(l.n_lines, 1);
	assert_string_equal(profile_string(q, profile_function(q, l.lines[0].function)->name, NULL), "run");
}

static void one_value_is_kept(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = empty(), *none = empty();
	struct merge_options options = MERGE_OPTIONS_DEFAULT;

	(void)state;
	options.value = 1;
	assert_int_equal(profile_merge(q, p, &options, NULL), 0);
	assert_int_equal(profile_header(q)->n_sample_types, 1);
	assert_int_equal(profile_total(q, 0), 260000000);
	assert_string_equal(profile_string(q, profile_header(q)->sample_types[0].unit, NULL), "nanoseconds");
	assert_string_equal(profile_string(q, profile_header(q)->default_sample_type, NULL), "cpu");
	options.value = 2;
	assert_int_equal(profile_merge(none, p, &options, NULL), -EINVAL);
}

static void failure_leaves_the_destination_as_it_was(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *other = sample_profile(), *small = NULL;
	const struct profile_limits limits = { .bytes_max = 4000 };
	struct profile_mark before = profile_mark(p), after;
	struct profile_error error;

	(void)state;
	profile_header(other)->sample_types[1].unit = put_string(other, "bananas");
	assert_int_equal(profile_merge(p, other, NULL, &error), -EINVAL);
	assert_string_equal(error.text, "sample type cpu/bananas does not belong here");
	after = profile_mark(p);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(profile_new(&limits, &small), 0);
	before = profile_mark(small);
	assert_int_equal(profile_merge(small, p, NULL, NULL), -ENOSPC);
	after = profile_mark(small);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(profile_header(small)->n_sample_types, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(totals_are_exact),
	cmocka_unit_test(merging_is_reading_into),
	cmocka_unit_test(hidden_functions_leave_their_stacks),
	cmocka_unit_test(one_value_is_kept),
	cmocka_unit_test(failure_leaves_the_destination_as_it_was),
};

UNIT_MAIN(tests)
