#include "tests/unit/unit.h"
#include "tests/unit/store/scene.h"
#include "store/handle.h"

#include <fcntl.h>
#include <sys/stat.h>

static int set_up(void **state)
{
	*state = scene_directory();
	return 0;
}

static int tear_down(void **state)
{
	scene_remove(*state);
	free(*state);
	return 0;
}

static uint64_t count_rows(struct store *s)
{
	struct index_sums sums = { 0 };
	struct index *x;

	assert_int_equal(store_index(s, true, &x), 0);
	assert_int_equal(index_sum(x, "cpu", &sums), 0);
	return sums.n_files[STORE_WINDOW];
}

static void put_names_and_indexes(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	_cleanup_(profile_freep) struct profile *p = scene_profile(SCENE_START_NS);
	struct store_put_result result;

	scene_sample(p, "f", "redis", 1, 2, 3);
	assert_false(store_needs_rebuild(s));
	assert_int_equal(store_put(s, "cpu", NULL, p, &result), 0);
	assert_string_equal(result.path, "cpu/2026-06-01/20260601T000000Z-web1.pb.zst");
	assert_true(result.is_indexed);
	assert_int_equal(faccessat(s->dir_fd, result.path, R_OK, 0), 0);
	assert_int_equal(count_rows(s), 1);
	assert_int_equal(store_put(s, "../x", NULL, p, &result), -EINVAL);
}

/* The clock was set back, or another daemon writes into the same store: the older file stays. */
static void equal_times_get_other_names(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state), *other = scene_open(*state);
	_cleanup_(profile_freep) struct profile *p = scene_profile(SCENE_START_NS);
	struct store_put_result result;

	scene_sample(p, "f", "redis", 1, 2, 3);
	assert_int_equal(store_put(s, "cpu", NULL, p, NULL), 0);
	assert_int_equal(store_put(other, "cpu", NULL, p, &result), 0);
	assert_string_equal(result.path, "cpu/2026-06-01/20260601T000000Z-web1+2.pb.zst");
	assert_int_equal(store_put(s, "cpu", NULL, p, &result), 0);
	assert_string_equal(result.path, "cpu/2026-06-01/20260601T000000Z-web1+3.pb.zst");
	assert_int_equal(count_rows(s), 3);
}

static void splits_what_is_too_large(void **state)
{
	_cleanup_(profile_freep) struct profile *p = scene_profile(SCENE_START_NS);
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_put_result result;
	struct index_sums sums;

	for (int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "function_%d", i);
		scene_sample(p, name, "redis", 1, 2, 1);
	}
	assert_int_equal(store_open(&(struct store_options){ .path = *state, .max_profile_bytes = 20000 }, &s), 0);
	assert_int_equal(store_put(s, "cpu", NULL, p, &result), 0);
	assert_true(result.n_files >= 2);
	assert_int_equal(count_rows(s), result.n_files);
	assert_int_equal(index_sum(s->index, NULL, &sums), 0);
	assert_int_equal(sums.bytes[STORE_WINDOW], result.bytes);
}

static void a_broken_index_is_set_aside(void **state)
{
	char path[256];
	int fd;

	for (int round = 0; round < 2; round++) {
		_cleanup_(store_closep) struct store *s = scene_open(*state);

		scene_put(s, round);
		assert_int_equal(count_rows(s), 1);
		snprintf(path, sizeof(path), "%s/" INDEX_FILE, (char *)*state);
		fd = open(path, O_WRONLY | O_TRUNC);
		assert_int_equal(write(fd, "this is not a database, whatever it was", 39), 39);
		close(fd);
	}
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	assert_true(store_needs_rebuild(s));
	scene_put(s, 5);
}

static void a_deleted_index_comes_back(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	char path[256];

	scene_put(s, 0);
	snprintf(path, sizeof(path), "%s/" INDEX_FILE, (char *)*state);
	assert_int_equal(unlink(path), 0);
	scene_put(s, 1);
	assert_int_equal(count_rows(s), 1);
	assert_true(store_needs_rebuild(s));
}

static void a_reader_changes_nothing(void **state)
{
	_cleanup_(store_closep) struct store *reader = NULL;
	_cleanup_(profile_freep) struct profile *p = scene_profile(SCENE_START_NS);

	assert_int_equal(store_open(&(struct store_options){ .path = *state, .read_only = true }, &reader), 0);
	assert_true(store_needs_rebuild(reader));
	assert_int_equal(faccessat(reader->dir_fd, INDEX_FILE, F_OK, 0), -1);
	assert_int_equal(store_put(reader, "cpu", NULL, p, NULL), -EROFS);
	reader = store_close(reader);
	assert_int_equal(
	        store_open(&(struct store_options){ .path = "/nonexistent/x", .read_only = true }, &reader), -ENOENT);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static const struct CMUnitTest tests[] = {
	CASE(put_names_and_indexes),
	CASE(equal_times_get_other_names),
	CASE(splits_what_is_too_large),
	CASE(a_broken_index_is_set_aside),
	CASE(a_deleted_index_comes_back),
	CASE(a_reader_changes_nothing),
};

UNIT_MAIN(tests)
