#include "tests/unit/unit.h"
#include "daemon/kallsyms.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

static void names_this_boot(void **state)
{
	char a[KALLSYMS_NAME_MAX], b[KALLSYMS_NAME_MAX];

	(void)state;
	assert_int_equal(kallsyms_name(a), 0);
	assert_int_equal(kallsyms_name(b), 0);
	assert_string_equal(a, b);
	assert_null(strchr(a, '/'));
	assert_true(strlen(a) > 40);
}

static void copies_once(void **state)
{
	char directory[] = "/tmp/unit-kallsyms-XXXXXX";
	_cleanup_close_ int dirfd = -1, fd = -1, again = -1;
	_cleanup_free_ char *text = NULL;
	struct stat first, second;
	size_t size;

	(void)state;
	assert_non_null(mkdtemp(directory));
	dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = kallsyms_open_copy(dirfd, "x");
	if (fd == -EPERM) {
		(void)rmdir(directory);
		skip();
		return;
	}
	assert_true(fd >= 0);
	again = kallsyms_open_copy(dirfd, "x");
	assert_true(fstat(fd, &first) == 0 && fstat(again, &second) == 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_int_equal(fd_read_all(fd, 64 << 20, &text, &size), 0);
	assert_non_null(strstr(text, " T _stext\n"));
	assert_null(strstr(text, "\t[bpf]"));
	(void)unlinkat(dirfd, "kallsyms-x", 0);
	assert_int_equal(rmdir(directory), 0); /* nothing else was left */
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(names_this_boot),
	cmocka_unit_test(copies_once),
};

UNIT_MAIN(tests)
