#include "tests/unit/unit.h"
#include "store/name.h"

#include <errno.h>
#include <string.h>

static void formats(void **state)
{
	struct store_name n = { .start_s = 1780272061, .level = STORE_WINDOW, .serial = 1 };
	char path[STORE_PATH_MAX];

	(void)state;
	store_name_set_host(&n, "web/1");
	store_name_format(&n, "cpu", path);
	assert_string_equal(path, "cpu/2026-06-01/20260601T000101Z-web_1.pb.zst");
	n.level = STORE_HOUR;
	n.serial = 3;
	store_name_format(&n, "cpu", path);
	assert_string_equal(path, "cpu/2026-06-01/20260601T000101Z-web_1+hour+3.pb.zst");
}

static void parses_what_it_formats(void **state)
{
	static const int64_t starts[] = { 0, 1, 951782400 /* a leap day */, 1780272061, 4102444799 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		for (uint32_t level = 0; level < STORE_LEVELS; level++)
			for (uint32_t serial = 1; serial < 4; serial++) {
				struct store_name n = { .start_s = starts[i], .level = level, .serial = serial }, back;
				char path[STORE_PATH_MAX];

				store_name_set_host(&n, "a.b-c");
				store_name_format(&n, "offcpu", path);
				assert_true(store_name_path_is_valid(path));
				assert_int_equal(store_name_parse(strrchr(path, '/') + 1, &back), 0);
				assert_int_equal(back.start_s, n.start_s);
				assert_int_equal(back.level, level);
				assert_int_equal(back.serial, serial);
				assert_string_equal(back.host, "a.b-c");
			}
}

static void refuses(void **state)
{
	static const char *const bad[] = { "", ".pb.zst", "20260601T000101Z-.pb.zst", "20260601T000101Z-a.pb.gz",
		"20260631T996101Z-a.pb.zst", "2026-601T000101Z-a.pb.zst", "20260601T000101Z-a+week.pb.zst",
		"20260601T000101Z-a+hour+.pb.zst", "20260601T000101Z-a+1.pb.zst", "20260601T000101Z-a+02.pb.zst",
		"20260601T000101Z-a b.pb.zst", ".tmp-0011223344556677", "20260601T000101Z-a+99999999999.pb.zst" };
	static const char *const bad_paths[] = { "../2026-06-01/20260601T000101Z-a.pb.zst",
		"cpu/../20260601T000101Z-a.pb.zst", "cpu/2026-06-01/../x",
		"corrupt/2026-06-01/20260601T000101Z-a.pb.zst", "cpu/2026-06-01/a/20260601T000101Z-a.pb.zst", "cpu",
		"" };
	struct store_name n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(store_name_parse(bad[i], &n), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad_paths); i++)
		assert_false(store_name_path_is_valid(bad_paths[i]));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(formats),
	cmocka_unit_test(parses_what_it_formats),
	cmocka_unit_test(refuses),
};

UNIT_MAIN(tests)
