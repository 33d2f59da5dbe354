/* The dumps in tests/golden/heap_dump are real, of a program that keeps 50,000 * 100 and 100 * 300,000 bytes and gives
 * 20,000 * 5,000 back (jemalloc rounds to 112, 327,680 and 5,120). */
#include "tests/unit/profile/sample_profile.h"
#include <fcntl.h>
#include <math.h>
#include "base/fd.h"
#include "profile/file.h"
#include "profile/heap_dump.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

static struct profile *golden(const char *name)
{
	struct profile *p = NULL;
	struct profile_error error = { "" };
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/golden/heap_dump/%s", getenv("G_DATA") ?: "tests", name);
	if (file_load(path, NULL, &p, &error) < 0)
		fail_msg("%s: %s", path, error.text);
	return p;
}

static struct profile *from_text(const char *text)
{
	struct profile *p = NULL;
	struct profile_error error = { "" };

	assert_int_equal(profile_new(NULL, &p), 0);
	if (heap_dump_read(p, text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	return p;
}

static int64_t value(const struct profile *p, const char *type, uint32_t sample)
{
	uint32_t i;

	assert_int_equal(profile_find_sample_type(p, type, &i), 0);
	return profile_values_const(p, sample)[i];
}

static void assert_near(int64_t measured, double expected, double tolerance)
{
	if (fabs((double)measured - expected) > expected * tolerance)
		fail_msg("%lld where %.0f is expected", (long long)measured, expected);
}

static const char *mapping_of_leaf(const struct profile *p, uint32_t sample)
{
	size_t n;
	const uint32_t *stack = profile_stack(p, profile_sample(p, sample)->stack, &n);

	return profile_string(p, profile_mapping(p, profile_location(p, stack[0]).mapping)->filename, NULL);
}

static void jemalloc_is_scaled_to_the_truth(void **state)
{
	_cleanup_profile_ struct profile *p = golden("jemalloc.heap");

	(void)state;
	assert_int_equal(profile_header(p)->n_sample_types, 2);
	assert_int_equal(profile_header(p)->period, 65536);
	assert_string_equal(profile_string(p, profile_header(p)->default_sample_type, NULL), "inuse_space");
	assert_near(value(p, "inuse_objects", 0), 50000, 0.15);
	assert_near(value(p, "inuse_space", 0), 50000 * 112, 0.15);
	assert_near(value(p, "inuse_objects", 1), 100, 0.05);
	assert_near(value(p, "inuse_space", 1), 100 * 327680, 0.05);
	assert_string_equal(mapping_of_leaf(p, 0), "/usr/bin/alloc"); /* not libjemalloc.so */
}

static void accumulated_numbers_are_read_where_they_are(void **state)
{
	_cleanup_profile_ struct profile *p = golden("jemalloc-accum.heap");

	(void)state;
	assert_int_equal(profile_header(p)->n_sample_types, 4);
	assert_near(value(p, "alloc_objects", 0), 20000, 0.1);
	assert_near(value(p, "alloc_space", 0), 20000 * 5120, 0.1);
	assert_int_equal(value(p, "inuse_space", 0), 0);
	assert_near(value(p, "alloc_space", 1), 50000 * 112, 0.15);
	assert_near(value(p, "inuse_space", 1), 50000 * 112, 0.15);
}

static void gperftools_is_exact(void **state)
{
	_cleanup_profile_ struct profile *p = golden("gperftools.heap");

	(void)state;
	assert_int_equal(profile_n_samples(p), 3);
	assert_int_equal(profile_header(p)->period, 1);
	assert_int_equal(value(p, "inuse_space", 0), 30000000);
	assert_int_equal(value(p, "inuse_objects", 1), 50000);
	assert_int_equal(value(p, "alloc_space", 2), 100000000);
	assert_int_equal(value(p, "inuse_space", 2), 0);
}

static void kinds_of_gperftools_headers_are_told_apart(void **state)
{
	static const struct {
		const char *kind;
		double rate; /* 0: exact */
	} cases[] = {
		{ "heapprofile", 0 },
		{ "heap_v2/524288", 524288 },
		{ "heap/1048576", 524288 },
		{ "heap_v2/1", 0 },
		{ "heap_v2/0", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_profile_ struct profile *p = NULL;
		double expected = cases[i].rate > 0 ? 10 / (1 - exp(-4000 / cases[i].rate)) : 10;
		char text[256];

		(void)snprintf(text, sizeof(text),
		        "heap profile:  10: 40000 [ 10: 40000] @ %s\n  10: 40000 [10: 40000] @ 0x1000 0x2000\n",
		        cases[i].kind);
		p = from_text(text);
		assert_int_equal(value(p, "inuse_objects", 0), llround(expected));
	}
}

static void symbols_in_front_name_the_frames(void **state)
{
	static const char text[] =
	        "--- symbol\nbinary=/bin/app\n0x0000000000000fff leak--main_inlined\n0x1fff "
	        "main<000000000000124f>\n---\n"
	        "--- heap\nheap_v2/1\n  t*: 1: 10 [0: 0]\n@ 0x1000 0x2000 0x3000\n  t*: 1: 10 [0: 0]\n";
	_cleanup_profile_ struct profile *p = from_text(text);
	struct profile_location l;
	const uint32_t *stack;
	size_t n;

	(void)state;
	assert_true(heap_dump_sniff(text, sizeof(text) - 1));
	stack = profile_stack(p, 0, &n);
	assert_int_equal(n, 3);
	l = profile_location(p, stack[0]);
	assert_int_equal(l.n_lines, 2);
	assert_string_equal(profile_string(p, profile_function(p, l.lines[0].function)->name, NULL), "leak");
	assert_string_equal(profile_string(p, profile_function(p, l.lines[1].function)->name, NULL), "main_inlined");
	l = profile_location(p, stack[1]);
	assert_string_equal(profile_string(p, profile_function(p, l.lines[0].function)->name, NULL), "main");
	assert_int_equal(profile_location(p, stack[2]).n_lines, 0);
}

static void broken_dumps_are_explained(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "heap_v2/x\n", "line 1: not \"heap_v2/RATE\"" },
		{ "heap_v3/5\n", "line 1: not \"heap_v2/RATE\"" },
		{ "heap_v2/5\n@ 0x1 zz\n", "line 2: not an address" },
		{ "heap_v2/5\n@ 0x11112222333344445\n", "line 2: not an address" },
		{ "heap_v2/5\n@ 0x1\n t*: 5: x [0: 0]\n", "line 3: not \"t*:" },
		{ "heap_v2/5\n@ 0x1\n t*: 5: 99999999999999999999 [0: 0]\n", "line 3: not \"t*:" },
		{ "heap profile: 1: 2 @ x\n", "line 1: not \"heap profile:" },
		{ "heap profile: 1: 2 [3: 4] @ growth\n", "line 1: unknown kind" },
		{ "heap profile: 1: 2 [3: 4] @ heapprofile\n1: 2 [3: 4]\n", "line 2: not \"OBJECTS" },
		{ "--- symbol\n0x1 f\n", "no heap profile follows" },
		{ "heap_v2/5\nMAPPED_LIBRARIES:\n2000-3000 r-xp 0 0:0 0 a\n1000-2000 r-xp 0 0:0 0 b\n",
		        "line 4: mappings overlap" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_profile_ struct profile *p = NULL;
		struct profile_error error = { "" };

		assert_int_equal(profile_new(NULL, &p), 0);
		assert_int_equal(heap_dump_read(p, cases[i].text, strlen(cases[i].text), &error), -EBADMSG);
		if (!strstr(error.text, cases[i].error))
			fail_msg("%s: %s", cases[i].text, error.text);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(jemalloc_is_scaled_to_the_truth),
	cmocka_unit_test(accumulated_numbers_are_read_where_they_are),
	cmocka_unit_test(gperftools_is_exact),
	cmocka_unit_test(kinds_of_gperftools_headers_are_told_apart),
	cmocka_unit_test(symbols_in_front_name_the_frames),
	cmocka_unit_test(broken_dumps_are_explained),
};

UNIT_MAIN(tests)
