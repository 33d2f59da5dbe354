#include "tests/unit/unit.h"
#include "daemon/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"

static char directory[] = "/tmp/ember-unit-reach-XXXXXX";

static void path_in(char path[128], const char *name)
{
	(void)snprintf(path, 128, "%s/%s", directory, name);
}

static void file_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct file_key key_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (struct file_key){
		.inode = st.st_ino,
		.size_bytes = (uint64_t)st.st_size,
		.mtime_ns = clock_timespec_ns(st.st_mtim),
	};
}

static void names_become_a_path(void **state)
{
	static const char names[] = "libc.so.6\0lib\0usr"; /* and the last one's NUL */
	char path[64] = "";

	(void)state;
	assert_int_equal(reach_path(names, sizeof(names), path, sizeof(path)), 18);
	assert_string_equal(path, "/usr/lib/libc.so.6");
	assert_int_equal(reach_path("a\nb", 4, path, sizeof(path)), 4);
	assert_string_equal(path, "/a?b");
	assert_int_equal(reach_path("", 0, path, sizeof(path)), 0);
	assert_string_equal(path, "");
	assert_int_equal(reach_path("abc", 3, path, sizeof(path)), -EBADMSG); /* not ended */
	assert_int_equal(reach_path(names, sizeof(names), path, 10), -EBADMSG);
}

static void the_same_file_is_opened(void **state)
{
	char path[128];
	struct reach r;
	int fd;

	(void)state;
	path_in(path, "program");
	file_write(path, "one");
	r = (struct reach){ .key = key_of(path), .path = path };
	fd = reach_open(&r);
	assert_true(fd >= 0);
	close(fd);
	assert_true(reach_by_path(&r));
	/* another process's view of it */
	r.pid = getpid();
	fd = reach_open(&r);
	assert_true(fd >= 0);
	close(fd);
}

static void another_file_is_refused(void **state)
{
	char path[128], other[128];
	struct reach r;

	(void)state;
	path_in(path, "replaced");
	path_in(other, "new");
	file_write(path, "one");
	r = (struct reach){ .key = key_of(path), .path = path, .pid = getpid() };
	file_write(other, "two");
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(reach_open(&r), -ESTALE);
	assert_false(reach_by_path(&r));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(reach_open(&r), -ENOENT);
}

/* Must return at once: opening a FIFO for reading would wait for a writer. */
static void fifo_is_not_opened(void **state)
{
	char path[128];
	struct reach r;

	(void)state;
	path_in(path, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	r = (struct reach){ .key = key_of(path), .path = path };
	assert_int_equal(reach_open(&r), -ESTALE);
}

static void own_executable_by_exe_link(void **state)
{
	struct reach r = { .key = key_of("/proc/self/exe"), .pid = getpid(), .path = "/nowhere", .is_exe = true };
	int fd = reach_open(&r);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "program", "fifo" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_in(path, names[i]);
		(void)unlink(path);
	}
	return rmdir(directory);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(names_become_a_path),
	cmocka_unit_test(the_same_file_is_opened),
	cmocka_unit_test(another_file_is_refused),
	cmocka_unit_test(fifo_is_not_opened),
	cmocka_unit_test(own_executable_by_exe_link),
};

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
