#include "tests/unit/unit.h"
#include "symbolizer/demangle.h"

#include <stdlib.h>
#include <string.h>

static void check(const char *mangled, const char *want)
{
	char got[256];
	size_t n = demangle(mangled, got, sizeof(got) - 1);

	got[n] = '\0';
	assert_string_equal(got, want);
}

static void three_manglings(void **state)
{
	(void)state;
	check("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)");
	check("_ZN3foo3barIiEEvT_", "foo::bar<int>(int)"); /* no return type */
	check("_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place");
	check("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar");
	check("_ZN3foo3barEv.cold", "foo::bar() [clone .cold]");
}

static void plain_names_are_not_touched(void **state)
{
	(void)state;
	check("main", "");
	check("", "");
	check("_", "");
	check("_Z", "");
	check("_Rust", "");
	check("ZN3foo3barEv", "");
}

static void a_huge_name_is_cut(void **state)
{
	/* Each substitution doubles the name before it: 2^24 copies of "a". */
	static const char digits[] = "0123456789ABCDEFGHIJKLMNO";
	char mangled[512] = "_Z1fSt4pairI1aS0_E", to[1000];

	(void)state;
	for (size_t i = 0; i < 24; i++) {
		char step[32], s[] = { digits[i + 1], '\0' };

		strcpy(step, "S_IS");
		strcat(step, s);
		strcat(step, "_S");
		strcat(step, s);
		strcat(step, "_E");
		strcat(mangled, step);
	}
	assert_int_equal(demangle(mangled, to, sizeof(to)), sizeof(to));
	assert_memory_equal(to + sizeof(to) - 3, "...", 3);
}

static void a_long_name_is_left_alone(void **state)
{
	char *mangled = malloc(DEMANGLE_INPUT_MAX + 16), to[64];

	(void)state;
	memcpy(mangled, "_Z9999", 6);
	memset(mangled + 6, 'x', DEMANGLE_INPUT_MAX);
	mangled[DEMANGLE_INPUT_MAX + 6] = '\0';
	assert_int_equal(demangle(mangled, to, sizeof(to)), 0);
	free(mangled);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(three_manglings),
	cmocka_unit_test(plain_names_are_not_touched),
	cmocka_unit_test(a_huge_name_is_cut),
	cmocka_unit_test(a_long_name_is_left_alone),
};

UNIT_MAIN(tests)
