#include "tests/unit/unit.h"
#include "symbolizer/instruction.h"

#include <stdlib.h>
#include <string.h>

struct expectation {
	const char *what;
	uint8_t code[32];
	unsigned n_arguments;
	uint32_t offset;
	bool is_emulated;
	uint8_t registers[INSTRUCTION_ARGUMENTS_MAX]; /* looked at where is_moved */
	bool is_moved;
};

/* Beginnings of real functions: glibc 2.36, jemalloc 5.3, mimalloc 2.0. */
static const struct expectation expectations[] = {
	{ "push r12", { 0x41, 0x54 }, 1, 0, true },
	{ "endbr64; push rbp", { 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48 }, 3, 4, true },
	{ "test rdi,rdi; je", { 0x48, 0x85, 0xff, 0x0f, 0x84, 0xbf, 0, 0, 0, 0x55 }, 1, 3, true },
	{ "cmpb [rip],0; jne", { 0x80, 0x3d, 0x71, 0x0e, 0x14, 0, 0, 0x74, 0x08 }, 2, 7, true },
	{ "mov rbx,[fs:..]: sub rsp is never passed", { 0x48, 0x83, 0xec, 0x18, 0x55 }, 1, 0, false },
	{ "mov rdi,rsi clobbers", { 0x48, 0x89, 0xf7, 0x55, 0x00 }, 1, 0, false },
	{ "mov rdx,rdi is fine for one argument", { 0x48, 0x89, 0xfa, 0x55, 0x00 }, 1, 3, true },
	{ "and clobbers for three", { 0x48, 0x89, 0xfa, 0x55, 0x00 }, 3, 0, false },
	{ "add of a byte whose register is not certain", { 0x80, 0xc5, 0x01, 0x55, 0x00 }, 1, 0, false },
	{ "nop of several bytes is passed", { 0x0f, 0x1f, 0x44, 0, 0, 0x55, 0x00 }, 1, 5, true },
	{ "mi_malloc: size moved to rsi, ja",
	        { 0x48, 0x8b, 0x05, 0x49, 0xb4, 0, 0, 0x48, 0x89, 0xfe, 0x64, 0x48, 0x8b, 0x38, 0x48, 0x81, 0xfe, 0,
	                0x04, 0, 0, 0x77, 0x29 },
	        1, 21, true, { 4 }, true },
	{ "mi_aligned_alloc: swapped, jmp",
	        { 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xc6, 0xe9, 0xbc, 0x3a, 0xff, 0xff }, 2, 9, true,
	        { 0, 5 }, true },
	{ "a 32-bit mov is no copy", { 0x89, 0xfe, 0x31, 0xff, 0x55, 0x00 }, 1, 0, false },
	{ "mul takes rax and rdx", { 0x48, 0x89, 0xf8, 0x48, 0xf7, 0xe6, 0x55, 0x00 }, 2, 6, true, { 5, 4 }, false },
	{ "ret", { 0xc3, 0x90 }, 1, 0, false },
};

static void slides_stop_where_arguments_are_still_in_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
		const struct expectation *e = &expectations[i];
		struct instruction_slide s = instruction_slide(e->code, sizeof(e->code), e->n_arguments);

		if (s.offset != e->offset || s.is_emulated != e->is_emulated)
			fail_msg("%s: offset %u emulated %d", e->what, s.offset, s.is_emulated);
		if (s.is_moved != e->is_moved ||
		        (e->is_moved && memcmp(s.registers, e->registers, sizeof(s.registers)) != 0))
			fail_msg("%s: registers %u %u %u", e->what, s.registers[0], s.registers[1], s.registers[2]);
	}
}

static void never_reads_beyond_the_end(void **state)
{
	uint8_t code[16];
	uint32_t x = 1;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		struct instruction_slide s;
		size_t n = (size_t)round % sizeof(code);
		uint8_t *exact = malloc(n ? n : 1); /* AddressSanitizer watches its end */

		for (size_t i = 0; i < n; i++) {
			x = x * 1664525 + 1013904223;
			exact[i] = (uint8_t)(x >> 24);
		}
		s = instruction_slide(exact, n, 1 + (unsigned)round % 3);
		assert_true(s.offset == 0 || s.offset < n);
		free(exact);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(slides_stop_where_arguments_are_still_in_place),
	cmocka_unit_test(never_reads_beyond_the_end),
};

UNIT_MAIN(tests)
