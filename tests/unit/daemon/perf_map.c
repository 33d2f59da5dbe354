#include "tests/unit/unit.h"
#include "daemon/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"

static char path[64];

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

static int set_up(void **state)
{
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	return tear_down(state);
}

static void make(off_t size)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, "1000 10 jitted\n", 15), 0);
	if (size)
		assert_int_equal(ftruncate(fd, size), 0);
}

static void opens_the_processs_own(void **state)
{
	_cleanup_close_ int fd = -1;

	(void)state;
	assert_int_equal(perf_map_open((uint32_t)getpid(), 0), -ENOENT);
	make(0);
	fd = perf_map_open((uint32_t)getpid(), 0);
	assert_true(fd >= 0);
}

static void refuses_other_processes(void **state)
{
	(void)state;
	make(0);
	assert_int_equal(perf_map_open((uint32_t)getpid(), 12345), -ESRCH);
	assert_int_equal(perf_map_open(0x7ffffff0, 0), -ESRCH);
}

static void refuses_links_fifos_and_giants(void **state)
{
	(void)state;
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(perf_map_open((uint32_t)getpid(), 0), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(perf_map_open((uint32_t)getpid(), 0), -EINVAL); /* and does not hang */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(perf_map_open((uint32_t)getpid(), 0), -EINVAL);
	assert_int_equal(rmdir(path), 0);
	make((off_t)PERF_MAP_BYTES_MAX + 1);
	assert_int_equal(perf_map_open((uint32_t)getpid(), 0), -E2BIG);
}

static void refuses_strangers_files(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		skip();
		return;
	}
	make(0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(perf_map_open((uint32_t)getpid(), 0), -EPERM);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(opens_the_processs_own),
	CASE(refuses_other_processes),
	CASE(refuses_links_fifos_and_giants),
	CASE(refuses_strangers_files),
};

UNIT_MAIN(tests)
