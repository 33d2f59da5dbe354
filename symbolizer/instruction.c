#include "symbolizer/instruction.h"

#include <string.h>

#include "base/cleanup.h"

/* Intel SDM volume 2, chapter 2: prefixes, REX, ModRM, SIB, displacement, immediate. */

enum { RAX = 0, RDX = 2, RSP = 4, RSI = 6, RDI = 7 };

/* Numbers of the instruction set -> numbers of DWARF (System V ABI for AMD64, figure 3.36). */
static const uint8_t dwarf_numbers[16] = { 0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t argument_registers[INSTRUCTION_ARGUMENTS_MAX] = { RDI, RSI, RDX };

/* Where copies of the arguments are: a bit a register. */
struct copies {
	uint32_t of[INSTRUCTION_ARGUMENTS_MAX];
	unsigned n;
};

/* False: an argument would be lost, or the stack moved. */
static bool overwrite(struct copies *c, unsigned reg)
{
	bool whole = reg != RSP;

	for (unsigned i = 0; i < c->n; i++) {
		c->of[i] &= ~(1u << reg);
		whole = whole && c->of[i] != 0;
	}
	return whole;
}

static bool copy(struct copies *c, unsigned from, unsigned to)
{
	struct copies before = *c;
	bool whole = to != RSP;

	for (unsigned i = 0; i < c->n; i++) {
		c->of[i] &= ~(1u << to);
		if (before.of[i] & 1u << from)
			c->of[i] |= 1u << to;
		whole = whole && c->of[i] != 0;
	}
	return whole;
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

enum effect {
	WRITES_NOTHING,
	WRITES_RM,
	WRITES_REG,
	COPIES_TO_RM,
	COPIES_TO_REG,
	ARITHMETIC_GROUP,
	BYTE_GROUP,
	TEST_GROUP,
	MULTIPLY_GROUP,
};

struct opcode {
	uint8_t byte;
	uint8_t immediate; /* bytes after ModRM */
	enum effect effect;
};

static const struct opcode opcodes[] = {
	{ 0x84, 0, WRITES_NOTHING }, { 0x85, 0, WRITES_NOTHING },                              /* test */
	{ 0x38, 0, WRITES_NOTHING }, { 0x39, 0, WRITES_NOTHING }, { 0x3a, 0, WRITES_NOTHING }, /* cmp */
	{ 0x3b, 0, WRITES_NOTHING }, { 0x80, 1, BYTE_GROUP }, { 0x81, 4, ARITHMETIC_GROUP },
	{ 0x83, 1, ARITHMETIC_GROUP }, { 0xf6, 1, TEST_GROUP }, { 0xf7, 4, TEST_GROUP }, { 0xf7, 0, MULTIPLY_GROUP },
	{ 0x89, 0, COPIES_TO_RM }, { 0x8b, 0, COPIES_TO_REG },                    /* mov */
	{ 0x8d, 0, WRITES_REG },                                                  /* lea */
	{ 0x01, 0, WRITES_RM }, { 0x03, 0, WRITES_REG }, { 0x09, 0, WRITES_RM },  /* add, or */
	{ 0x0b, 0, WRITES_REG }, { 0x21, 0, WRITES_RM }, { 0x23, 0, WRITES_REG }, /* and */
	{ 0x29, 0, WRITES_RM }, { 0x2b, 0, WRITES_REG }, { 0x31, 0, WRITES_RM },  /* sub, xor */
	{ 0x33, 0, WRITES_REG }, { 0xc1, 1, WRITES_RM }, { 0xd1, 0, WRITES_RM },  /* shifts */
	{ 0x63, 0, WRITES_REG }, { 0xc7, 4, WRITES_RM },                          /* movsxd, mov */
};

/* After a byte 0x0f. */
static const struct opcode long_opcodes[] = {
	{ 0x1f, 0, WRITES_NOTHING }, /* nop: emulated by newer kernels only */
	{ 0xaf, 0, WRITES_REG },     /* imul */
	{ 0xb6, 0, WRITES_REG },
	{ 0xb7, 0, WRITES_REG },
	{ 0xbe, 0, WRITES_REG }, /* movzx, movsx */
	{ 0xbf, 0, WRITES_REG },
};

/* mod == 3: the operand is a register; memory that is written is never passed. */
static bool leaves_copies(const struct opcode *o, uint8_t modrm, unsigned rex, struct copies *c)
{
	unsigned reg = (modrm >> 3 & 7) | (rex & 4) << 1, rm = (modrm & 7) | (rex & 1) << 3, group = modrm >> 3 & 7;
	bool is_register = modrm >> 6 == 3, is_wide = rex & 8;

	switch (o->effect) {
	case WRITES_NOTHING:
		return true;
	case WRITES_RM:
		return is_register && overwrite(c, rm);
	case WRITES_REG:
		return overwrite(c, reg);
	case COPIES_TO_RM:
		return is_register && (is_wide ? copy(c, reg, rm) : overwrite(c, rm));
	case COPIES_TO_REG:
		return is_register && is_wide ? copy(c, rm, reg) : overwrite(c, reg);
	case ARITHMETIC_GROUP:
		return group == 7 /* cmp */ || (is_register && overwrite(c, rm));
	case BYTE_GROUP: /* which register a byte is of depends on REX */
		return group == 7;
	case TEST_GROUP:
		return group < 2;
	case MULTIPLY_GROUP:
		return (group == 4 || group == 5) && overwrite(c, RAX) && overwrite(c, RDX);
	}
	return false;
}

static size_t pass_by(
        const struct opcode *table, size_t n_table, const uint8_t *code, size_t n, unsigned rex, struct copies *c)
{
	for (size_t i = 0; i < n_table; i++) {
		const struct opcode *o = &table[i];
		struct copies after = *c;
		size_t length;

		if (o->byte != code[0])
			continue;
		length = modrm_length(code + 1, n - 1);
		if (length == 0 || !leaves_copies(o, code[1], rex, &after))
			continue;
		length += 1u + o->immediate;
		if (length > n)
			return 0;
		*c = after;
		return length;
	}
	return 0;
}

#define PASS_BY(table, ...) pass_by(table, sizeof(table) / sizeof((table)[0]), __VA_ARGS__)

/* Without ModRM. */
static size_t pass_plain(const uint8_t *code, size_t n, unsigned rex, struct copies *c)
{
	size_t length = 5;

	if ((code[0] & 0xc7) == 0x05) { /* arithmetic of eax and a constant */
		if ((code[0] & 0x38) != 0x38 && !overwrite(c, RAX))
			return 0;
	} else if ((code[0] & 0xf8) == 0xb8) { /* mov of a constant */
		if (!overwrite(c, (code[0] & 7) | (rex & 1) << 3))
			return 0;
		length = rex & 8 ? 9 : 5;
	} else {
		return 0;
	}
	return length <= n ? length : 0;
}

/* Length of an instruction that may be passed over, 0 for any other, which then may have spoilt the copies. */
static size_t pass(const uint8_t *code, size_t n, struct copies *c)
{
	unsigned rex = 0;
	size_t at = 0, length;

	if (n >= 4 && code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa) /* endbr64 */
		return 4;
	if (at < n && code[at] == 0x64) /* fs: */
		at++;
	if (at < n && (code[at] & 0xf0) == 0x40)
		rex = code[at++];
	if (n - at < 2)
		return 0;
	if (code[at] == 0x0f) {
		at++;
		length = PASS_BY(long_opcodes, code + at, n - at, rex, c);
	} else {
		length = pass_plain(code + at, n - at, rex, c);
		if (length == 0)
			length = PASS_BY(opcodes, code + at, n - at, rex, c);
	}
	return length ? at + length : 0;
}

static bool is_emulated(const uint8_t *code, size_t n)
{
	if (n < 2)
		return false;
	if ((code[0] & 0xf0) == 0x40 && (code[1] & 0xf8) == 0x50) /* push r8..r15 */
		return true;
	return (code[0] & 0xf8) == 0x50 || /* push */
	       code[0] == 0x90 || code[0] == 0xe8 || code[0] == 0xe9 || code[0] == 0xeb ||
	       (code[0] & 0xf0) == 0x70 ||                    /* jcc short */
	       (code[0] == 0x0f && (code[1] & 0xf0) == 0x80); /* jcc near */
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
	} else {
		target = next;
	}
	s->after[0] = c[0] == 0xe8 || c[0] == 0xe9 || c[0] == 0xeb ? target : next;
	s->after[1] = target;
}

/* The register that the argument came in, if it is still there; else any that has it. */
static unsigned place_of(const struct copies *c, unsigned i)
{
	if (c->of[i] & 1u << argument_registers[i])
		return argument_registers[i];
	return (unsigned)__builtin_ctz(c->of[i]);
}

static void set_registers(struct instruction_slide *s, const struct copies *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		unsigned reg = place_of(c, i);

		s->registers[i] = dwarf_numbers[reg];
		s->is_moved |= reg != argument_registers[i];
	}
}

struct instruction_slide instruction_slide(const uint8_t *code, size_t n, unsigned n_arguments)
{
	struct copies copies = { .n = MIN(n_arguments, (unsigned)INSTRUCTION_ARGUMENTS_MAX) };

	for (unsigned i = 0; i < copies.n; i++)
		copies.of[i] = 1u << argument_registers[i];
	for (size_t at = 0; at < n;) {
		size_t length;

		if (is_emulated(code + at, n - at)) {
			struct instruction_slide s = { .offset = (uint32_t)at, .is_emulated = true };

			set_after(&s, code, n);
			set_registers(&s, &copies);
			return s;
		}
		length = pass(code + at, n - at, &copies);
		if (length == 0)
			break;
		at += length;
	}
	return (struct instruction_slide){ 0 };
}
