#include "tests/unit/unit.h"
#include "base/fd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void atomic_write_leaves_one_file(void **state)
{
	char dir[] = "/tmp/ember-unit-XXXXXX";
	_cleanup_close_ int d = -1;
	_cleanup_free_ char *text = NULL;
	size_t size;

	(void)state;
	assert_non_null(mkdtemp(dir));
	d = open(dir, O_RDONLY | O_DIRECTORY);
	assert_true(d >= 0);
	assert_int_equal(dir_make(d, "a/b/c", 0755), 0);
	assert_int_equal(dir_make(d, "a/b/c", 0755), 0);
	assert_int_equal(file_write_atomic(d, "a/b/c/f", "hello", 5, 0644), 0);
	assert_int_equal(file_write_atomic(d, "a/b/c/f", "world!", 6, 0644), 0);
	assert_int_equal(file_read_all(d, "a/b/c/f", 100, &text, &size), 0);
	assert_int_equal(size, 6);
	assert_string_equal(text, "world!");
	assert_int_equal(file_write_atomic(d, "none/f", "x", 1, 0644), -ENOENT);
	assert_int_equal(unlinkat(d, "a/b/c/f", 0), 0);
	assert_int_equal(unlinkat(d, "a/b/c", AT_REMOVEDIR), 0); /* nothing temporary stayed */
	assert_int_equal(unlinkat(d, "a/b", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(d, "a", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void read_all_refuses_too_much(void **state)
{
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(file_read_all(AT_FDCWD, "/proc/self/maps", 10, &text, NULL), -E2BIG);
	assert_null(text);
	assert_int_equal(file_read_all(AT_FDCWD, "/proc/self/maps", 1 << 20, &text, NULL), 0);
}

static void descriptors_travel(void **state)
{
	int pair[2], got[2] = { -1, -1 };
	struct stat a, b;
	size_t n = 0;
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socket_send_fds(pair[0], "x", 1, (int[]){ 0, 1, 2 }, 3), 0);
	assert_int_equal(socket_recv_fds(pair[1], &byte, 1, got, 2, &n), 1);
	assert_int_equal(n, 2); /* the third was closed, not leaked */
	assert_int_equal(fstat(0, &a), 0);
	assert_int_equal(fstat(got[0], &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(got[i]);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(atomic_write_leaves_one_file),
	cmocka_unit_test(read_all_refuses_too_much),
	cmocka_unit_test(descriptors_travel),
};

UNIT_MAIN(tests)
