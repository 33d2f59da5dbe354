#include "tests/unit/unit.h"
#include "symbolizer/cfi.h"

#include <dwarf.h>
#include <errno.h>
#include <elf.h>
#include <string.h>

#define SP 7
#define FP 6
#define RA 16

struct seen {
	unsigned n;
	uint64_t offset[64];
	struct unwind_rule rule[64];
};

static int on_row(void *userdata, uint64_t offset, const struct unwind_rule *rule)
{
	struct seen *s = userdata;

	assert_true(s->n < 64);
	s->offset[s->n] = offset;
	s->rule[s->n++] = *rule;
	return 0;
}

/* The CIE that gcc writes: CFA = rsp + 8, return address at CFA - 8. */
static struct cfi_cie gcc_cie(void)
{
	static const uint8_t code[] = { DW_CFA_def_cfa, SP, 8, DW_CFA_offset | RA, 1 };
	struct cfi_cie cie = {
		.machine = cfi_machine(EM_X86_64),
		.code_alignment = 1,
		.data_alignment = -8,
		.fde_encoding = DW_EH_PE_pcrel | DW_EH_PE_sdata4,
	};

	assert_int_equal(cfi_run_cie(&cie, CURSOR(code, sizeof(code))), 0);
	return cie;
}

static int run(const struct cfi_cie *cie, const uint8_t *code, size_t n, uint64_t size, struct seen *seen)
{
	const struct cfi_fde fde = {
		.cie = cie, .start = 0x1000, .size = size, .instructions = CURSOR(code, n), .instructions_vaddr = 0x9000
	};

	*seen = (struct seen){ 0 };
	return cfi_run_fde(&fde, on_row, seen);
}

#define RUN(cie, size, seen, ...)                                                                                      \
	({                                                                                                             \
		const uint8_t code_[] = { __VA_ARGS__ };                                                               \
		run((cie), code_, sizeof(code_), (size), (seen));                                                      \
	})

static void assert_rule(struct unwind_rule r, int cfa, int cfa_offset, int fp, int fp_offset)
{
	assert_int_equal(r.cfa, cfa);
	assert_int_equal(r.cfa_offset, cfa_offset);
	assert_int_equal(r.fp, fp);
	assert_int_equal(r.fp_offset, fp_offset);
}

static void push_and_frame_pointer(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	assert_int_equal(RUN(&cie, 0x40, &s, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | FP, 2,
	                         DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, FP, DW_CFA_advance_loc1, 0x30,
	                         DW_CFA_def_cfa, SP, 8, DW_CFA_restore | FP),
	        0);
	assert_int_equal(s.n, 4);
	assert_int_equal(s.offset[3], 0x34);
	assert_rule(s.rule[0], CFA_SP, 8, FP_SAME, 0);
	assert_rule(s.rule[1], CFA_SP, 16, FP_AT_CFA, -16);
	assert_rule(s.rule[2], CFA_FP, 16, FP_AT_CFA, -16);
	assert_rule(s.rule[3], CFA_SP, 8, FP_SAME, 0);
}

static void remember_and_restore(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	assert_int_equal(RUN(&cie, 0x40, &s, DW_CFA_def_cfa_offset, 32, DW_CFA_remember_state, DW_CFA_advance_loc | 4,
	                         DW_CFA_def_cfa_offset, 8, DW_CFA_advance_loc | 1, DW_CFA_restore_state),
	        0);
	assert_int_equal(s.n, 3);
	assert_rule(s.rule[0], CFA_SP, 32, FP_SAME, 0);
	assert_rule(s.rule[1], CFA_SP, 8, FP_SAME, 0);
	assert_rule(s.rule[2], CFA_SP, 32, FP_SAME, 0);
}

static void drap(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	/* gcc: CFA in r10, then *(rbp - 8), with rbp saved where it points. */
	assert_int_equal(RUN(&cie, 0x40, &s, DW_CFA_advance_loc | 5, DW_CFA_def_cfa, 10, 0, DW_CFA_advance_loc | 10,
	                         DW_CFA_expression, FP, 2, DW_OP_breg6, 0, DW_CFA_advance_loc | 5,
	                         DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref),
	        0);
	assert_int_equal(s.n, 4);
	assert_rule(s.rule[1], CFA_REGISTER, CFA_REGISTER_PACK(10, 0), FP_SAME, 0);
	assert_rule(s.rule[3], CFA_FP_DEREF, CFA_DEREF_PACK(-8, 0), FP_AT_FP, 0);
	assert_int_equal(CFA_DEREF_OFFSET(s.rule[3].cfa_offset), -8);
	assert_int_equal(CFA_DEREF_ADDEND(s.rule[3].cfa_offset), 0);
}

static void saved_stack_pointer(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	/* OpenSSL: the stack pointer of the entry is kept at rsp + 152. */
	assert_int_equal(RUN(&cie, 0x40, &s, DW_CFA_def_cfa_expression, 6, DW_OP_breg7, 0x98, 0x01, DW_OP_deref,
	                         DW_OP_plus_uconst, 8, DW_CFA_offset | FP, 3),
	        0);
	assert_rule(s.rule[0], CFA_SP_DEREF, CFA_DEREF_PACK(152, 8), FP_AT_CFA, -24);
	assert_int_equal(CFA_DEREF_OFFSET(s.rule[0].cfa_offset), 152);
	assert_int_equal(CFA_DEREF_ADDEND(s.rule[0].cfa_offset), 8);
	assert_int_equal(CFA_DEREF_ADDEND(CFA_DEREF_PACK(-32768, -32768)), -32768);
	assert_int_equal(CFA_DEREF_OFFSET(CFA_DEREF_PACK(-32768, 32767)), -32768);
}

static void plt(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	assert_int_equal(RUN(&cie, 0x100, &s, DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0,
	                         DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus),
	        0);
	assert_rule(s.rule[0], CFA_PLT, 11, FP_SAME, 0);
	/* One operation else is another rule. */
	assert_int_equal(RUN(&cie, 0x100, &s, DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0,
	                         DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_gt, DW_OP_lit3, DW_OP_shl, DW_OP_plus),
	        0);
	assert_rule(s.rule[0], CFA_UNKNOWN, 0, FP_SAME, 0);
}

static void signal_frame(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	/* glibc's __restore_rt: the registers of struct ucontext at rsp + 40. */
	static const uint8_t code[] = {
		DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0xa0, 0x01, DW_OP_deref, /* rsp at 160 */
		DW_CFA_expression, FP, 3, DW_OP_breg7, 0xf8, 0x00,                  /* rbp at 120 */
		DW_CFA_expression, RA, 3, DW_OP_breg7, 0xa8, 0x01,                  /* rip at 168 */
	};

	cie.is_signal_frame = true;
	assert_int_equal(run(&cie, code, sizeof(code), 10, &s), 0);
	assert_rule(s.rule[0], CFA_SIGNAL, 40, FP_SAME, 0);
	cie.is_signal_frame = false; /* then the return address is somewhere odd */
	assert_int_equal(run(&cie, code, sizeof(code), 10, &s), 0);
	assert_rule(s.rule[0], CFA_UNKNOWN, 0, FP_SAME, 0);
}

static void outermost_frame(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_undefined, RA), 0);
	assert_rule(s.rule[0], CFA_END, 0, FP_SAME, 0);
}

static void what_cannot_be_said_is_unknown(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_register, RA, 5), 0); /* vfork: in rdi */
	assert_rule(s.rule[0], CFA_UNKNOWN, 0, FP_SAME, 0);
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_offset | RA, 2), 0);
	assert_rule(s.rule[0], CFA_UNKNOWN, 0, FP_SAME, 0);
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_offset | SP, 2), 0);
	assert_rule(s.rule[0], CFA_UNKNOWN, 0, FP_SAME, 0);
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_def_cfa, 0, 8), 0);
	assert_rule(s.rule[0], CFA_REGISTER, CFA_REGISTER_PACK(0, 8), FP_SAME, 0);
	assert_int_equal(CFA_REGISTER_NUMBER(s.rule[0].cfa_offset), 0);
	assert_int_equal(CFA_REGISTER_OFFSET(s.rule[0].cfa_offset), 8);
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_def_cfa, 17, 8), 0); /* xmm0 */
	assert_rule(s.rule[0], CFA_UNKNOWN, 0, FP_SAME, 0);
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_undefined, FP), 0);
	assert_rule(s.rule[0], CFA_SP, 8, FP_UNDEFINED, 0);
	assert_int_equal(RUN(&cie, 10, &s, DW_CFA_offset_extended, FP, 0x81, 0x20), 0); /* 33 kB below */
	assert_rule(s.rule[0], CFA_SP, 8, FP_UNDEFINED, 0);
}

static void rows_end_with_the_function(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	assert_int_equal(RUN(&cie, 4, &s, DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 16), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(RUN(&cie, 4, &s, DW_CFA_advance_loc4, 0xff, 0xff, 0xff, 0xff, DW_CFA_def_cfa_offset, 16), 0);
	assert_int_equal(s.n, 1);
	/* Nothing is emitted twice for one place. */
	assert_int_equal(RUN(&cie, 4, &s, DW_CFA_advance_loc | 0, DW_CFA_def_cfa_offset, 16), 0);
	assert_int_equal(s.n, 1);
	assert_rule(s.rule[0], CFA_SP, 16, FP_SAME, 0);
}

static void set_location(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	/* To 0x1004 from 0x9001, where the pointer stands. */
	assert_int_equal(RUN(&cie, 16, &s, DW_CFA_set_loc, 0x03, 0x80, 0xff, 0xff, DW_CFA_def_cfa_offset, 16), 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.offset[1], 4);
	/* Never backwards. */
	assert_int_equal(RUN(&cie, 16, &s, DW_CFA_advance_loc | 8, DW_CFA_set_loc, 0x03, 0x80, 0xff, 0xff), -EBADMSG);
}

/* The rows before the mistake stay, the rest of the function is unknown. */
static void malformed(void **state)
{
	struct cfi_cie cie = gcc_cie();
	struct seen s;

	(void)state;
	assert_int_equal(RUN(&cie, 16, &s, DW_CFA_advance_loc | 4, 0x3f), -EBADMSG);
	assert_int_equal(s.n, 2);
	assert_rule(s.rule[0], CFA_SP, 8, FP_SAME, 0);
	assert_int_equal(s.offset[1], 4);
	assert_rule(s.rule[1], CFA_UNKNOWN, 0, FP_SAME, 0);
	assert_int_equal(RUN(&cie, 16, &s, DW_CFA_restore_state), -EBADMSG);
	assert_int_equal(RUN(&cie, 16, &s, DW_CFA_def_cfa_expression, 0x80), -EBADMSG);
	assert_int_equal(RUN(&cie, 16, &s, DW_CFA_def_cfa_expression, 9, DW_OP_breg7), -EBADMSG);
	assert_int_equal(RUN(&cie, 16, &s, DW_CFA_advance_loc2, 1), -EBADMSG);
	{
		uint8_t deep[64];

		memset(deep, DW_CFA_remember_state, sizeof(deep));
		assert_int_equal(run(&cie, deep, sizeof(deep), 16, &s), -EBADMSG);
	}
	{
		static const uint8_t moves[] = { DW_CFA_advance_loc | 1 };

		assert_int_equal(cfi_run_cie(&cie, CURSOR(moves, 1)), -EBADMSG);
	}
}

static void other_machines_are_not_known(void **state)
{
	(void)state;
	assert_non_null(cfi_machine(EM_X86_64));
	assert_null(cfi_machine(EM_386));
	assert_null(cfi_machine(EM_NONE));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(push_and_frame_pointer),
	cmocka_unit_test(remember_and_restore),
	cmocka_unit_test(drap),
	cmocka_unit_test(saved_stack_pointer),
	cmocka_unit_test(plt),
	cmocka_unit_test(signal_frame),
	cmocka_unit_test(outermost_frame),
	cmocka_unit_test(what_cannot_be_said_is_unknown),
	cmocka_unit_test(rows_end_with_the_function),
	cmocka_unit_test(set_location),
	cmocka_unit_test(malformed),
	cmocka_unit_test(other_machines_are_not_known),
};

UNIT_MAIN(tests)
