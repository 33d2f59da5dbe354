#include "tests/unit/profile/sample_profile.h"
#include "profile/pprof.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

static void write_is_read_back(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
	_cleanup_buffer_ struct buffer first = BUFFER(1 << 20), second = BUFFER(1 << 20);
	struct profile_error error = { "" };
	const struct profile_label *labels;
	size_t n;

	(void)state;
	assert_int_equal(pprof_write(p, &first), 0);
	if (pprof_read(NULL, first.data, first.size, &q, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(profile_n_samples(q), 4);
	assert_int_equal(profile_total(q, 0), 26);
	assert_int_equal(profile_total(q, 1), 260000000);
	assert_int_equal(profile_n_comments(q), 2);
	assert_string_equal(profile_comment(q, 1), "a note");
	assert_memory_equal(&profile_header(q)->period, &profile_header(p)->period, 3 * sizeof(int64_t));
	labels = profile_label_set(q, profile_sample(q, 3)->labels, &n);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++)
		if (strcmp(profile_string(q, labels[i].key, NULL), "tid") == 0) {
			assert_int_equal(labels[i].unit, 0); /* the number 0, not the text "" */
			assert_int_equal(labels[i].value, 0);
		}
	assert_int_equal(pprof_write(q, &second), 0);
	assert_int_equal(first.size, second.size);
	assert_memory_equal(first.data, second.data, first.size);
}

static void unreached_entities_are_not_written(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
	_cleanup_buffer_ struct buffer out = BUFFER(1 << 20);

	(void)state;
	(void)put_location(p, put_mapping(p, "unused", 1), 99, "orphan");
	assert_int_equal(pprof_write(p, &out), 0);
	assert_null(memmem(out.data, out.size, "orphan", 6));
	assert_null(memmem(out.data, out.size, "unused", 6));
	assert_int_equal(pprof_read(NULL, out.data, out.size, &q, NULL), 0);
	assert_int_equal(profile_n_locations(q), 5);
}

/* Profiles with the same locations list them alike, in whichever order they met them. */
static void locations_stand_in_order_of_addresses(void **state)
{
	static const uint64_t meets[2][4] = { { 7, 5, 900, 3 }, { 3, 900, 5, 7 } };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		_cleanup_profile_ struct profile *p = NULL, *q = NULL;
		_cleanup_buffer_ struct buffer out = BUFFER(1 << 20);
		uint32_t mappings[2], at;

		assert_int_equal(profile_new(NULL, &p), 0);
		profile_header(p)->n_sample_types = 2;
		mappings[k] = put_mapping(p, k ? "later" : "first", 0);
		mappings[!k] = put_mapping(p, k ? "first" : "later", 0);
		for (uint32_t i = 0; i < 4; i++) {
			at = put_location(p, mappings[meets[k][i] == 3], meets[k][i], "f");
			put_sample(p, &at, 1, "app", 1, 1, 0);
		}
		assert_int_equal(pprof_write(p, &out), 0);
		assert_int_equal(pprof_read(NULL, out.data, out.size, &q, NULL), 0);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(profile_location(q, i).address, ((uint64_t[]){ 5, 7, 900, 3 })[i]);
	}
}

static void text_is_mended_to_utf8(void **state)
{
	static const char *const bad[][2] = {
		{ "a\xff"
		  "b",
		        "a\xef\xbf\xbd"
		        "b" },
		{ "\xc3\xa4", "\xc3\xa4" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "end\xf0\x9f\x94", "end\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
		_cleanup_buffer_ struct buffer out = BUFFER(1 << 20);
		uint32_t found;

		put_sample(p, (uint32_t[]){ 0 }, 1, bad[i][0], 1, 1, 1);
		assert_int_equal(pprof_write(p, &out), 0);
		assert_int_equal(pprof_read(NULL, out.data, out.size, &q, NULL), 0);
		assert_int_equal(profile_find_string(q, bad[i][1], &found), 0);
	}
}

static void write_stops_at_the_maximum(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	_cleanup_buffer_ struct buffer out = BUFFER(100);

	(void)state;
	assert_int_equal(pprof_write(p, &out), -E2BIG);
	assert_int_equal(out.size, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(write_is_read_back),
	cmocka_unit_test(unreached_entities_are_not_written),
	cmocka_unit_test(locations_stand_in_order_of_addresses),
	cmocka_unit_test(text_is_mended_to_utf8),
	cmocka_unit_test(write_stops_at_the_maximum),
};

UNIT_MAIN(tests)
