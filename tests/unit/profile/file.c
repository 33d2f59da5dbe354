#include "tests/unit/profile/sample_profile.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <jansson.h>
#include "profile/file.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

static char directory[] = "/tmp/unit-profile-file-XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static char *path_of(const char *name, char buffer[256])
{
	(void)snprintf(buffer, 256, "%s/%s", directory, name);
	return buffer;
}

static void every_pprof_name_is_read_back(void **state)
{
	static const struct {
		const char *name;
		uint8_t magic[2];
	} cases[] = {
		{ "a.pb.gz", { 0x1f, 0x8b } },
		{ "a.pb.zst", { 0x28, 0xb5 } },
		{ "a.pb", { 0x0a, 0x04 } },
		{ "without-suffix", { 0x1f, 0x8b } },
		{ "a.pprof", { 0x1f, 0x8b } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
		struct profile_error error = { "" };
		uint8_t magic[2];
		char path[256];
		int fd;

		path_of(cases[i].name, path);
		assert_int_equal(file_save(path, p, NULL, &error), 0);
		fd = open(path, O_RDONLY);
		assert_int_equal(read(fd, magic, 2), 2);
		(void)close(fd);
		assert_memory_equal(magic, cases[i].magic, 2);
		assert_int_equal(file_load(path, NULL, &q, &error), 0);
		assert_int_equal(profile_total(q, 0), 26);
		assert_int_equal(unlink(path), 0);
	}
}

static void folded_is_found_by_content(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
	char path[256];

	(void)state;
	assert_int_equal(file_save(path_of("x.folded", path), p, NULL, NULL), 0);
	assert_int_equal(file_load(path, NULL, &q, NULL), 0);
	assert_int_equal(profile_total(q, 0), 26);
	assert_int_equal(profile_header(q)->n_sample_types, 1);
	assert_int_equal(unlink(path), 0);
}

static void speedscope_is_json_with_all_values(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	const struct file_write_options options = { .value_index = 1, .title = "a \"title\"\n" };
	json_t *root, *profile, *weights;
	json_int_t sum = 0;
	char path[256];
	size_t i;
	json_t *w;

	(void)state;
	assert_int_equal(file_save(path_of("x.speedscope.json", path), p, &options, NULL), 0);
	root = json_load_file(path, 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "name")), "a \"title\"\n");
	profile = json_array_get(json_object_get(root, "profiles"), 1);
	assert_string_equal(json_string_value(json_object_get(profile, "unit")), "nanoseconds");
	weights = json_object_get(profile, "weights");
	json_array_foreach (weights, i, w)
		sum += json_integer_value(w);
	assert_int_equal(sum, 260000000);
	assert_int_equal(json_integer_value(json_object_get(profile, "endValue")), 260000000);
	assert_int_equal(json_array_size(json_object_get(profile, "samples")), json_array_size(weights));
	/* main, run, work, leaf: root first, the inlined frame after its caller */
	assert_int_equal(json_array_size(json_array_get(json_object_get(profile, "samples"), 0)), 4);
	json_decref(root);
	assert_int_equal(unlink(path), 0);
}

static void failures_say_why(void **state)
{
	_cleanup_profile_ struct profile *p = NULL;
	struct profile_error error = { "" };
	char path[256];
	int fd;

	(void)state;
	assert_int_equal(file_load(path_of("nothing", path), NULL, &p, &error), -ENOENT);
	assert_non_null(strstr(error.text, "No such file"));
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "\177ELF....", 8), 8);
	(void)close(fd);
	assert_int_equal(file_load(path, NULL, &p, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "not a profile"));
	assert_null(p);
	assert_int_equal(unlink(path), 0);
}

static void a_device_is_written_to_not_replaced(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	struct stat st;

	(void)state;
	assert_int_equal(file_save("/dev/null", p, NULL, NULL), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_pprof_name_is_read_back),
	cmocka_unit_test(folded_is_found_by_content),
	cmocka_unit_test(speedscope_is_json_with_all_values),
	cmocka_unit_test(failures_say_why),
	cmocka_unit_test(a_device_is_written_to_not_replaced),
};

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
