#include "tests/unit/unit.h"
#include "daemon/identities.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/ember-unit-identities-XXXXXX";
static int dirfd_ = -1;

static const struct file_key key = { .inode = 42, .size_bytes = 1000, .mtime_ns = 5, .device = 0x800001 };
static const struct symbolizer_identity identity = { .flags = IDENTITY_HAS_EH_FRAME,
	.build_id_size = 4,
	.build_id = { 1, 2, 3, 4 },
	.n_segments = 1,
	.segments = { { 0x1000, 0x401000, 0x500 } } };

static void kept_across_openings(void **state)
{
	struct symbolizer_identity got = { 0 };

	(void)state;
	for (int turn = 0; turn < 2; turn++) {
		_cleanup_(identities_closep) struct identities *t = NULL;

		assert_int_equal(identities_open(dirfd_, &t), 0);
		assert_int_equal(identities_get(t, &key, &got), turn == 0 ? -ENOENT : 0);
		identities_put(t, &key, &identity);
	}
	assert_memory_equal(&got, &identity, sizeof(got));
}

/* The same inode with other contents is another file. */
static void another_key_is_not_found(void **state)
{
	_cleanup_(identities_closep) struct identities *t = NULL;
	struct symbolizer_identity got;
	struct file_key other = key;

	(void)state;
	assert_int_equal(identities_open(dirfd_, &t), 0);
	other.mtime_ns++;
	assert_int_equal(identities_get(t, &other, &got), -ENOENT);
}

static void damage_is_no_answer(void **state)
{
	_cleanup_(identities_closep) struct identities *t = NULL;
	struct symbolizer_identity got, odd = identity;
	off_t size;
	int fd;

	(void)state;
	assert_int_equal(identities_open(dirfd_, &t), 0);
	odd.n_segments = SYMBOLIZER_SEGMENTS_MAX + 1;
	identities_put(t, &key, &odd);
	assert_int_equal(identities_get(t, &key, &got), -ENOENT);
	identities_put(t, &key, &identity);
	assert_int_equal(identities_get(t, &key, &got), 0);
	fd = openat(dirfd_, "identities", O_RDWR);
	assert_true(fd >= 0);
	size = lseek(fd, 0, SEEK_END); /* the only place in use is the last one */
	assert_int_equal(pwrite(fd, "x", 1, size - 10), 1);
	assert_int_equal(identities_get(t, &key, &got), -ENOENT);
	assert_int_equal(ftruncate(fd, size - 10), 0);
	assert_int_equal(identities_get(t, &key, &got), -ENOENT);
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	dirfd_ = open(directory, O_RDONLY | O_DIRECTORY);
	return dirfd_ < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlinkat(dirfd_, "identities", 0);
	close(dirfd_);
	return rmdir(directory);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(kept_across_openings),
	cmocka_unit_test(another_key_is_not_found),
	cmocka_unit_test(damage_is_no_answer),
};

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
