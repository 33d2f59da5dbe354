#include "symbolizer/instruction.h"

#include <string.h>

#include "base/cleanup.h"

/* Intel SDM volume 2, chapter 2: prefixes, REX, ModRM, SIB, displacement, immediate. */

enum { RDX = 2, RSP = 4, RSI = 6, RDI = 7 };

static bool is_precious(unsigned reg, unsigned n_arguments)
{
	return reg == RSP || reg == RDI || (reg == RSI && n_arguments > 1) || (reg == RDX && n_arguments > 2);
}

/* Bytes of ModRM, SIB and displacement; 0 where they do not fit. */
static size_t modrm_length(const uint8_t *code, size_t n)
{
	unsigned mod, rm;
	size_t length = 1;

	if (n < 2)
		return 0;
	mod = code[0] >> 6;
	rm = code[0] & 7;
	if (mod == 3)
		return 1;
	if (rm == 4) {
		length++;
		if (mod == 0 && (code[1] & 7) == 5)
			return length + 4;
	}
	if (mod == 0)
		return length + (rm == 5 ? 4 : 0);
	return length + (mod == 1 ? 1 : 4);
}

struct opcode {
	uint8_t byte;
	uint8_t immediate; /* bytes after ModRM */
	enum { WRITES_NOTHING, WRITES_RM, WRITES_REG, ARITHMETIC_GROUP, TEST_GROUP } effect;
};

static const struct opcode opcodes[] = {
	{ 0x84, 0, WRITES_NOTHING },                              /* test */
	{ 0x85, 0, WRITES_NOTHING }, { 0x38, 0, WRITES_NOTHING }, /* cmp */
	{ 0x39, 0, WRITES_NOTHING }, { 0x3a, 0, WRITES_NOTHING }, { 0x3b, 0, WRITES_NOTHING },
	{ 0x80, 1, ARITHMETIC_GROUP }, { 0x81, 4, ARITHMETIC_GROUP }, { 0x83, 1, ARITHMETIC_GROUP },
	{ 0xf6, 1, TEST_GROUP }, { 0xf7, 4, TEST_GROUP }, { 0x89, 0, WRITES_RM }, /* mov */
	{ 0x8b, 0, WRITES_REG }, { 0x8d, 0, WRITES_REG },                         /* lea */
	{ 0x01, 0, WRITES_RM },                                                   /* add, or, and, sub, xor */
	{ 0x03, 0, WRITES_REG }, { 0x09, 0, WRITES_RM }, { 0x0b, 0, WRITES_REG }, { 0x21, 0, WRITES_RM },
	{ 0x23, 0, WRITES_REG }, { 0x29, 0, WRITES_RM }, { 0x2b, 0, WRITES_REG }, { 0x31, 0, WRITES_RM },
	{ 0x33, 0, WRITES_REG }, { 0xc1, 1, WRITES_RM }, /* shifts */
	{ 0xd1, 0, WRITES_RM }, { 0x63, 0, WRITES_REG }, /* movsxd */
};

static bool leaves_arguments(const struct opcode *o, uint8_t modrm, unsigned rex, unsigned n_arguments)
{
	unsigned reg = (modrm >> 3 & 7) | (rex & 4) << 1, rm = (modrm & 7) | (rex & 1) << 3, mod = modrm >> 6;

	switch (o->effect) {
	case WRITES_NOTHING:
		return true;
	case WRITES_RM:
		return mod == 3 && !is_precious(rm, n_arguments);
	case WRITES_REG:
		return !is_precious(reg, n_arguments);
	case ARITHMETIC_GROUP:
		return (modrm >> 3 & 7) == 7 /* cmp */ || (mod == 3 && !is_precious(rm, n_arguments));
	case TEST_GROUP:
		return (modrm >> 3 & 7) < 2;
	}
	return false;
}

/* Length of an instruction that may be passed over, 0 for any other. */
static size_t passable(const uint8_t *code, size_t n, unsigned n_arguments)
{
	unsigned rex = 0;
	size_t at = 0, length;

	if (n >= 4 && code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa) /* endbr64 */
		return 4;
	if (at < n && code[at] == 0x64) /* fs: */
		at++;
	if (at < n && (code[at] & 0xf0) == 0x40)
		rex = code[at++];
	if (at >= n)
		return 0;
	if ((code[at] & 0xc7) == 0x05) /* arithmetic of eax and a constant: no ModRM */
		return at + 5 <= n ? at + 5 : 0;
	for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		if (opcodes[i].byte != code[at])
			continue;
		length = modrm_length(code + at + 1, n - at - 1);
		if (length == 0 || !leaves_arguments(&opcodes[i], code[at + 1], rex, n_arguments))
			return 0;
		length += at + 1 + opcodes[i].immediate;
		return length <= n ? length : 0;
	}
	return 0;
}

static bool is_emulated(const uint8_t *code, size_t n)
{
	if (n < 2)
		return false;
	if ((code[0] & 0xf0) == 0x40 && (code[1] & 0xf8) == 0x50) /* push r8..r15 */
		return true;
	return (code[0] & 0xf8) == 0x50 || /* push */
	       code[0] == 0x90 || code[0] == 0xe8 || code[0] == 0xe9 || code[0] == 0xeb ||
	       (code[0] & 0xf0) == 0x70 ||                      /* jcc short */
	       (code[0] == 0x0f && (code[1] & 0xf0) == 0x80) || /* jcc near */
	       (code[0] == 0x0f && code[1] == 0x1f);            /* nop with operands */
}

static int32_t read_i32(const uint8_t *code)
{
	int32_t value;

	memcpy(&value, code, sizeof(value));
	return value;
}

/* Where the code goes on after an emulated instruction at `at`. */
static void set_after(struct instruction_slide *s, const uint8_t *code, size_t n)
{
	const uint8_t *c = code + s->offset;
	size_t room = n - s->offset;
	int32_t next = (int32_t)s->offset + 1, target;

	if ((c[0] & 0xf0) == 0x40) { /* push r8..r15 */
		next += 1;
		target = next;
	} else if ((c[0] & 0xf0) == 0x70 || c[0] == 0xeb) {
		next += 1;
		target = next + (int8_t)c[1];
	} else if (c[0] == 0x0f && (c[1] & 0xf0) == 0x80 && room >= 6) {
		next += 5;
		target = next + read_i32(c + 2);
	} else if ((c[0] == 0xe8 || c[0] == 0xe9) && room >= 5) {
		next += 4;
		target = next + read_i32(c + 1);
	} else if (c[0] == 0x0f) { /* nop */
		next += 1 + (int32_t)modrm_length(c + 2, room - MIN(room, (size_t)2));
		target = next;
	} else {
		target = next;
	}
	s->after[0] = c[0] == 0xe8 || c[0] == 0xe9 || c[0] == 0xeb ? target : next;
	s->after[1] = target;
}

struct instruction_slide instruction_slide(const uint8_t *code, size_t n, unsigned n_arguments)
{
	for (size_t at = 0; at < n;) {
		size_t length;

		if (is_emulated(code + at, n - at)) {
			struct instruction_slide s = { .offset = (uint32_t)at, .is_emulated = true };

			set_after(&s, code, n);
			return s;
		}
		length = passable(code + at, n - at, n_arguments);
		if (length == 0)
			break;
		at += length;
	}
	return (struct instruction_slide){ 0 };
}
