/* What every unit test includes: cmocka with what it needs, and main()'s one habit: the first argument, if any, is a
 * pattern of test names. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define UNIT_MAIN(tests)                                                                                               \
	int main(int argc, char **argv)                                                                                \
	{                                                                                                              \
		if (argc > 1)                                                                                          \
			cmocka_set_test_filter(argv[1]);                                                               \
		cmocka_set_message_output(CM_OUTPUT_TAP);                                                              \
		return cmocka_run_group_tests(tests, NULL, NULL);                                                      \
	}
