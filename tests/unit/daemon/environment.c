#include "tests/unit/unit.h"
#include "daemon/environment.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/helper.h"

#define LONG_BYTES 5000

/* A process with that environment, started and running; ended by end_process(). */
static pid_t start_process(char *const envp[])
{
	char *argv[] = { (char *)"sleep", (char *)"60", NULL };
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, 02000000 /* O_CLOEXEC: closed by exec */), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)execve("/bin/sleep", argv, envp);
		_exit(127);
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 0);
	(void)close(ready[0]);
	return pid;
}

static void end_process(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)helper_reap(pid, true, NULL, NULL);
}

static void only_what_is_asked_for(void **state)
{
	static const char *const names[] = { "SERVICE", "NONE", "BAD", "LONG" };
	_cleanup_(environment_freep) struct environment *e = NULL;
	char long_value[LONG_BYTES + 8] = "LONG=";
	char *envp[] = { (char *)"SERVICE=web", (char *)"SERVICE=second", (char *)"SERVICES=no", (char *)"TOKEN=secret",
		(char *)"BAD=a\xff\x1b[2Jb", long_value, NULL };
	const char *const *values;
	pid_t pid;

	(void)state;
	for (size_t i = 5; i + 2 < LONG_BYTES; i += 3)
		memcpy(long_value + i, "\xe2\x82\xac", 3);
	pid = start_process(envp);
	assert_int_equal(environment_new(&e), 0);
	assert_null(environment_get(e, (uint32_t)pid, 0, 7)); /* nothing is asked for */
	assert_int_equal(environment_set_names(e, names, 4), 0);
	values = environment_get(e, (uint32_t)pid, 0, 7);
	assert_non_null(values);
	assert_string_equal(values[0], "web");
	assert_string_equal(values[1], "");
	assert_string_equal(values[2], "a\xef\xbf\xbd\xef\xbf\xbd[2Jb");
	assert_int_equal(strlen(values[3]), ENVIRONMENT_VALUE_MAX - ENVIRONMENT_VALUE_MAX % 3);
	end_process(pid);
	values = environment_get(e, (uint32_t)pid, 0, 7); /* what was learnt while it lived stays */
	assert_string_equal(values[0], "web");
	values = environment_get(e, (uint32_t)pid, 0, 8); /* another executable: looked up again, and gone */
	assert_string_equal(values[0], "");
	assert_int_equal(environment_set_names(e, NULL, 0), 0);
	assert_null(environment_get(e, (uint32_t)pid, 0, 7));
}

static void another_process_of_that_number_is_none(void **state)
{
	static const char *const names[] = { "PATH" };
	_cleanup_(environment_freep) struct environment *e = NULL;

	(void)state;
	assert_int_equal(environment_new(&e), 0);
	assert_int_equal(environment_set_names(e, names, 1), 0);
	assert_string_not_equal(environment_get(e, (uint32_t)getpid(), 0, 1)[0], "");
	assert_string_equal(environment_get(e, (uint32_t)getpid(), 12345, 1)[0], "");
}

static void table_is_bounded(void **state)
{
	static const char *const names[] = { "X" };
	_cleanup_(environment_freep) struct environment *e = NULL;

	(void)state;
	assert_int_equal(environment_new(&e), 0);
	assert_int_equal(environment_set_names(e, names, 1), 0);
	for (uint32_t i = 0; i < ENVIRONMENT_PROCESSES_MAX; i++)
		assert_non_null(environment_get(e, 0, i, 0));
	assert_null(environment_get(e, 0, ENVIRONMENT_PROCESSES_MAX, 0));
	environment_trim(e);
	assert_non_null(environment_get(e, 0, ENVIRONMENT_PROCESSES_MAX, 0));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(only_what_is_asked_for),
	cmocka_unit_test(another_process_of_that_number_is_none),
	cmocka_unit_test(table_is_bounded),
};

UNIT_MAIN(tests)
