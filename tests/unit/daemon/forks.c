#include "tests/unit/unit.h"
#include "daemon/forks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc_stat.h"

struct told {
	unsigned n;
	uint32_t children[4];
};

static void tell(void *userdata, uint32_t parent, uint32_t child, uint64_t child_start_ns)
{
	struct told *told = userdata;

	assert_int_equal(parent, getpid());
	assert_true(child_start_ns > 0);
	assert_true(told->n < ARRAY_SIZE(told->children));
	told->children[told->n++] = child;
}

static struct told settle(struct forks *f)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct told told = { 0 };

	forks_settle(f, proc, tell, &told);
	return told;
}

static pid_t begin_child(struct forks *f)
{
	struct proc_stat stat;
	char path[64];
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	assert_true(proc_stat_read(AT_FDCWD, path, &stat) >= 0);
	assert_int_equal(forks_add(f, (uint32_t)getpid(), (uint32_t)pid, stat.start_ns), 0);
	return pid;
}

static void end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void those_that_are_still_there_are_told_once_and_in_order(void **state)
{
	_cleanup_(forks_freep) struct forks *f = NULL;
	struct told told;
	pid_t pids[3];

	(void)state;
	assert_int_equal(forks_new(100, &f), 0);
	assert_int_equal(settle(f).n, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = begin_child(f);
	end_child(pids[1]);
	told = settle(f);
	assert_int_equal(told.n, 2);
	assert_int_equal(told.children[0], pids[0]);
	assert_int_equal(told.children[1], pids[2]);
	assert_int_equal(settle(f).n, 0);
	end_child(pids[0]);
	end_child(pids[2]);
}

static void another_process_of_the_same_number_is_no_child(void **state)
{
	_cleanup_(forks_freep) struct forks *f = NULL;

	(void)state;
	assert_int_equal(forks_new(100, &f), 0);
	assert_int_equal(forks_add(f, 1, (uint32_t)getpid(), 1), 0); /* began long ago, it says */
	assert_int_equal(settle(f).n, 0);
}

static void more_than_there_is_room_for_are_refused(void **state)
{
	_cleanup_(forks_freep) struct forks *f = NULL;

	(void)state;
	assert_int_equal(forks_new(2, &f), 0);
	assert_int_equal(forks_add(f, 1, 1u << 30, 1), 0);
	assert_int_equal(forks_add(f, 1, 1u << 30, 1), 0);
	assert_int_equal(forks_add(f, 1, 1u << 30, 1), -ENOSPC);
	assert_int_equal(settle(f).n, 0);
	assert_int_equal(forks_add(f, 1, 1u << 30, 1), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(those_that_are_still_there_are_told_once_and_in_order),
	cmocka_unit_test(another_process_of_the_same_number_is_no_child),
	cmocka_unit_test(more_than_there_is_room_for_are_refused),
};

UNIT_MAIN(tests)
