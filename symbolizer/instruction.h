/* Just enough of x86-64 to move a probe from a function's first instruction to the first one that the kernel emulates
 * (arch/x86/kernel/uprobes.c: push of a register, near calls and jumps, no-operations); any other is single-stepped, at
 * ten times the price. Pure; no I/O. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_ARGUMENTS_MAX 3

struct instruction_slide {
	uint32_t offset;  /* from the first instruction to the one to probe */
	int32_t after[2]; /* offsets of what comes after it: twice the same unless it is a conditional jump */
	bool is_emulated; /* else none was found that may be reached: offset is 0 */
	bool is_moved;    /* an argument is no longer in the register that it came in */
	uint8_t registers[INSTRUCTION_ARGUMENTS_MAX]; /* DWARF numbers of those that hold the arguments there */
};

/* code: the function's first bytes. An instruction is passed over only where it leaves the stack pointer and the flow
 * of control alone, and a copy of each of the first n_arguments (of rdi, rsi, rdx) in some register: so a probe there
 * can read what the function was given. */
struct instruction_slide instruction_slide(const uint8_t *code, size_t n, unsigned n_arguments);
