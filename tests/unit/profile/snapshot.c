#include "tests/unit/unit.h"
#include "profile/ledger.h"
#include "profile/snapshot.h"

static void only_snapshots_are_averaged(void **state)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_header *h;
	uint32_t stack, labels, sample;

	(void)state;
	assert_int_equal(profile_new(NULL, &p), 0);
	h = profile_header(p);
	h->n_sample_types = 2;
	assert_int_equal(profile_add_cstring(p, "faults", &h->sample_types[0].type), 0);
	assert_int_equal(profile_add_cstring(p, "resident", &profile_header(p)->sample_types[1].type), 0);
	assert_int_equal(profile_add_stack(p, NULL, 0, &stack), 0);
	assert_int_equal(profile_add_label_set(p, NULL, 0, &labels), 0);
	assert_int_equal(profile_add_sample(p, stack, labels, (int64_t[]){ 300, 300 }, &sample), 0);
	snapshot_average(p);
	assert_int_equal(profile_values(p, sample)[1], 300);
	assert_int_equal(ledger_set(p, LEDGER_WINDOWS, 7), 0);
	snapshot_average(p);
	snapshot_average(p);
	assert_int_equal(profile_values(p, sample)[0], 300);
	assert_int_equal(profile_values(p, sample)[1], 43);
}

static void names(void **state)
{
	(void)state;
	assert_true(snapshot_is("inuse_space"));
	assert_true(snapshot_is("resident"));
	assert_false(snapshot_is("alloc_space"));
	assert_false(snapshot_is("cpu"));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(only_snapshots_are_averaged),
	cmocka_unit_test(names),
};

UNIT_MAIN(tests)
