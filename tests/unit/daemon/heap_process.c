#include "tests/unit/place.h"
#include "daemon/heap_process.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/fd.h"

static int remove_place(void **state)
{
	struct place *p = *state;

	(void)unlinkat(p->fd, "one", 0);
	(void)unlinkat(p->fd, "two", 0);
	(void)close(p->fd);
	assert_int_equal(rmdir(p->path), 0);
	free(p);
	return 0;
}

static void copy_program(const struct place *p, const char *from, const char *to, const char *more)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_close_ int fd = openat(p->fd, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(file_read_all(AT_FDCWD, from, 1 << 24, &data, &n), 0);
	assert_int_equal(fd_write_full(fd, data, n), 0);
	assert_int_equal(fd_write_full(fd, more, strlen(more)), 0);
}

/* The number of the program that a file is, as one process of it tells. */
static uint64_t program_of(const struct place *p, const char *name)
{
	_cleanup_(heap_process_freep) struct heap_process *process = NULL;
	uint64_t program;
	char path[128];
	int started[2];
	pid_t pid;
	char c;

	(void)snprintf(path, sizeof(path), "%s/%s", p->path, name);
	assert_int_equal(pipe2(started, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl(path, "sleep", "100", NULL);
		_exit(1);
	}
	(void)close(started[1]);
	assert_int_equal(read(started[0], &c, 1), 0); /* exec closed it */
	(void)close(started[0]);
	assert_int_equal(heap_process_new(pid, &process), 0);
	program = heap_process_program(process);
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(heap_process_program(process), 0); /* gone */
	return program;
}

static void a_program_is_its_executable(void **state)
{
	const struct place *p = *state;
	uint64_t one;

	copy_program(p, "/bin/sleep", "one", "");
	copy_program(p, "/bin/sleep", "two", "");
	one = program_of(p, "one");
	assert_true(one != 0);
	assert_true(program_of(p, "one") == one);
	assert_true(program_of(p, "two") != one);
	copy_program(p, "/bin/sleep", "one", "a new version in the old file");
	assert_true(program_of(p, "one") != one);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(a_program_is_its_executable, make_place, remove_place),
};

UNIT_MAIN(tests)
