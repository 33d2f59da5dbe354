#include "symbolizer/cfi.h"

#include <assert.h>
#include <dwarf.h>
#include <elf.h>

#define STATES_MAX 32 /* nested DW_CFA_remember_state; compilers write one or two */

static const struct cfi_machine machines[] = {
	{
	        .elf_machine = EM_X86_64,
	        .sp = 7,
	        .fp = 6,
	        .ra = 16,
	        .pc = 16,
	        .ra_offset = -8,
	        .signal_fp = SIGNAL_RBP,
	        .signal_sp = SIGNAL_RSP,
	        .signal_pc = SIGNAL_RIP,
	},
};

const struct cfi_machine *cfi_machine(uint16_t elf_machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i].elf_machine == elf_machine)
			return &machines[i];
	return NULL;
}

static uint64_t read_pointer_value(struct cursor *c, uint8_t encoding)
{
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return cursor_u64(c);
	case DW_EH_PE_uleb128:
		return cursor_uleb(c);
	case DW_EH_PE_sleb128:
		return (uint64_t)cursor_sleb(c);
	case DW_EH_PE_udata2:
		return cursor_u16(c);
	case DW_EH_PE_sdata2:
		return (uint64_t)(int64_t)(int16_t)cursor_u16(c);
	case DW_EH_PE_udata4:
		return cursor_u32(c);
	case DW_EH_PE_sdata4:
		return (uint64_t)(int64_t)(int32_t)cursor_u32(c);
	default:
		cursor_fail(c);
		return 0;
	}
}

uint64_t cfi_read_pointer(struct cursor *c, uint8_t encoding, uint64_t vaddr)
{
	switch (encoding & 0xf0) {
	case 0:
		return read_pointer_value(c, encoding);
	case DW_EH_PE_pcrel:
		return vaddr + read_pointer_value(c, encoding);
	default:
		cursor_fail(c);
		return 0;
	}
}

/* ---- expressions ----------------------------------------------------------------------------------------------- */

/* "reg + offset", then perhaps a dereference and an addend: all that compilers write for a saved CFA or register. */
struct simple_expression {
	uint64_t reg;
	int64_t offset, addend;
	bool is_deref;
};

static bool parse_simple(const uint8_t *data, uint32_t size, struct simple_expression *ret)
{
	struct cursor c = CURSOR(data, size);
	struct simple_expression e = { 0 };
	uint8_t op = cursor_u8(&c);

	if (op >= DW_OP_breg0 && op <= DW_OP_breg31)
		e.reg = (uint64_t)(op - DW_OP_breg0);
	else if (op == DW_OP_bregx)
		e.reg = cursor_uleb(&c);
	else
		return false;
	e.offset = cursor_sleb(&c);
	if (cursor_room(&c) && *c.p == DW_OP_deref) {
		c.p++;
		e.is_deref = true;
	}
	if (cursor_room(&c) && *c.p == DW_OP_plus_uconst) {
		uint64_t k;

		c.p++;
		k = cursor_uleb(&c);
		if (k > INT16_MAX)
			return false;
		e.addend = (int64_t)k;
	}
	if (c.failed || cursor_room(&c))
		return false;
	*ret = e;
	return true;
}

/* The linker's rule for lazy PLT entries: breg sp 8; breg pc 0; lit15; and; litN; ge; lit3; shl; plus. */
static bool parse_plt(const struct cfi_machine *m, const uint8_t *data, uint32_t size, int32_t *ret_threshold)
{
	const uint8_t expected[] = {
		(uint8_t)(DW_OP_breg0 + m->sp),
		8,
		(uint8_t)(DW_OP_breg0 + m->pc),
		0,
		DW_OP_lit15,
		DW_OP_and,
		0,
		DW_OP_ge,
		DW_OP_lit3,
		DW_OP_shl,
		DW_OP_plus,
	};
	const size_t threshold = 6;

	if (size != sizeof(expected))
		return false;
	for (size_t i = 0; i < size; i++)
		if (i != threshold && data[i] != expected[i])
			return false;
	if (data[threshold] < DW_OP_lit1 || data[threshold] > DW_OP_lit15)
		return false;
	*ret_threshold = data[threshold] - DW_OP_lit0;
	return true;
}

/* ---- rules ----------------------------------------------------------------------------------------------------- */

/* The interrupted registers lie in the signal frame at fixed distances from the stack pointer. */
static bool signal_rule(const struct cfi_cie *cie, const struct cfi_state *s, struct unwind_rule *ret)
{
	const struct cfi_machine *m = cie->machine;
	struct simple_expression cfa, fp, ra;
	int64_t base;

	if (!s->cfa_expression || !parse_simple(s->cfa_expression, s->cfa_expression_size, &cfa))
		return false;
	if (s->fp.kind != CFI_EXPRESSION || !parse_simple(s->fp.expression, s->fp.expression_size, &fp))
		return false;
	if (s->ra.kind != CFI_EXPRESSION || !parse_simple(s->ra.expression, s->ra.expression_size, &ra))
		return false;
	if (!cfa.is_deref || cfa.addend || fp.is_deref || fp.addend || ra.is_deref || ra.addend)
		return false;
	if (cfa.reg != m->sp || fp.reg != m->sp || ra.reg != m->sp)
		return false;
	if (cfa.offset < INT16_MIN || cfa.offset > INT16_MAX)
		return false;
	base = cfa.offset - m->signal_sp;
	if (fp.offset != base + m->signal_fp || ra.offset != base + m->signal_pc)
		return false;
	*ret = (struct unwind_rule){ .cfa = CFA_SIGNAL, .cfa_offset = (int32_t)base };
	return true;
}

static bool cfa_from_expression(const struct cfi_machine *m, const struct cfi_state *s, struct unwind_rule *ret)
{
	struct simple_expression e;
	int32_t threshold;

	if (parse_plt(m, s->cfa_expression, s->cfa_expression_size, &threshold)) {
		ret->cfa = CFA_PLT;
		ret->cfa_offset = threshold;
		return true;
	}
	if (!parse_simple(s->cfa_expression, s->cfa_expression_size, &e) || !e.is_deref)
		return false; /* without a dereference nobody writes an expression */
	if ((e.reg != m->sp && e.reg != m->fp) || e.offset < INT16_MIN || e.offset > INT16_MAX)
		return false;
	ret->cfa = e.reg == m->sp ? CFA_SP_DEREF : CFA_FP_DEREF;
	ret->cfa_offset = CFA_DEREF_PACK(e.offset, e.addend);
	return true;
}

static bool cfa_from_other_register(const struct cfi_state *s, struct unwind_rule *ret)
{
	if (s->cfa_register >= CFA_REGISTERS || s->cfa_offset < INT16_MIN || s->cfa_offset > INT16_MAX)
		return false;
	ret->cfa = CFA_REGISTER;
	ret->cfa_offset = CFA_REGISTER_PACK(s->cfa_register, s->cfa_offset);
	return true;
}

static bool cfa_from_register(const struct cfi_machine *m, const struct cfi_state *s, struct unwind_rule *ret)
{
	if (s->cfa_register == m->sp)
		ret->cfa = CFA_SP;
	else if (s->cfa_register == m->fp)
		ret->cfa = CFA_FP;
	else
		return cfa_from_other_register(s, ret);
	if (s->cfa_offset < INT32_MIN || s->cfa_offset > INT32_MAX)
		return false;
	ret->cfa_offset = (int32_t)s->cfa_offset;
	return true;
}

/* Where a register is saved, as a distance from the CFA. An expression over the register that the CFA is counted from
 * says the same. */
static bool saved_at_cfa(const struct cfi_state *s, const struct cfi_register *r, int64_t *ret_offset)
{
	struct simple_expression e;

	if (r->kind == CFI_OFFSET) {
		*ret_offset = r->offset;
		return true;
	}
	if (r->kind != CFI_EXPRESSION || s->cfa_expression || !parse_simple(r->expression, r->expression_size, &e))
		return false;
	if (e.is_deref || e.addend || e.reg != s->cfa_register)
		return false;
	return !__builtin_sub_overflow(e.offset, s->cfa_offset, ret_offset);
}

static void fp_rule(const struct cfi_machine *m, const struct cfi_state *s, struct unwind_rule *rule)
{
	struct simple_expression e;
	int64_t offset;

	rule->fp = FP_UNDEFINED;
	if (s->fp.kind == CFI_UNSET || s->fp.kind == CFI_SAME) {
		rule->fp = FP_SAME;
		return;
	}
	if (saved_at_cfa(s, &s->fp, &offset)) {
		if (offset >= INT16_MIN && offset <= INT16_MAX) {
			rule->fp = FP_AT_CFA;
			rule->fp_offset = (int16_t)offset;
		}
		return;
	}
	if (s->fp.kind != CFI_EXPRESSION || !parse_simple(s->fp.expression, s->fp.expression_size, &e))
		return;
	if (e.is_deref || e.addend || e.reg != m->fp || e.offset < INT16_MIN || e.offset > INT16_MAX)
		return;
	rule->fp = FP_AT_FP;
	rule->fp_offset = (int16_t)e.offset;
}

/* The caller's stack pointer is the CFA by every rule there is. */
static bool sp_is_cfa(const struct cfi_state *s)
{
	return s->sp.kind == CFI_UNSET || s->sp.kind == CFI_SAME || (s->sp.kind == CFI_VALUE && s->sp.offset == 0);
}

struct unwind_rule cfi_rule(const struct cfi_cie *cie, const struct cfi_state *s)
{
	const struct cfi_machine *m = cie->machine;
	struct unwind_rule rule = { 0 };
	int64_t ra_offset;

	if (s->ra.kind == CFI_UNDEFINED)
		return (struct unwind_rule){ .cfa = CFA_END };
	if (cie->is_signal_frame && signal_rule(cie, s, &rule))
		return rule;
	if (!sp_is_cfa(s) || !saved_at_cfa(s, &s->ra, &ra_offset) || ra_offset != m->ra_offset)
		return (struct unwind_rule){ .cfa = CFA_UNKNOWN };
	if (s->cfa_expression ? !cfa_from_expression(m, s, &rule) : !cfa_from_register(m, s, &rule))
		return (struct unwind_rule){ .cfa = CFA_UNKNOWN };
	fp_rule(m, s, &rule);
	return rule;
}

/* ---- instructions ---------------------------------------------------------------------------------------------- */

struct run {
	const struct cfi_cie *cie;
	const struct cfi_fde *fde; /* NULL while a CIE runs */
	struct cursor c;
	struct cfi_state state, stack[STATES_MAX];
	uint32_t n_stack;
	uint64_t offset;
	cfi_row_t row;
	void *userdata;
};

static int64_t multiply(uint64_t value, int64_t factor)
{
	return (int64_t)(value * (uint64_t)factor); /* wraps: a hostile product is one more wrong number */
}

static struct cfi_register *tracked(struct run *run, struct cfi_state *s, uint64_t reg)
{
	const struct cfi_machine *m = run->cie->machine;

	if (reg == m->fp)
		return &s->fp;
	if (reg == m->sp)
		return &s->sp;
	return reg == m->ra ? &s->ra : NULL;
}

static void set_register(struct run *run, uint64_t reg, enum cfi_register_kind kind, int64_t offset)
{
	struct cfi_register *r = tracked(run, &run->state, reg);

	if (r)
		*r = (struct cfi_register){ .kind = kind, .offset = offset };
}

static void restore_register(struct run *run, uint64_t reg)
{
	struct cfi_register *r = tracked(run, &run->state, reg);
	struct cfi_state initial = run->cie->initial;

	if (r)
		*r = *tracked(run, &initial, reg);
}

static const uint8_t *read_block(struct run *run, uint32_t *ret_size)
{
	uint64_t size = cursor_uleb(&run->c);
	const uint8_t *at = cursor_bytes(&run->c, size);

	*ret_size = at ? (uint32_t)size : 0;
	return at;
}

static void set_expression(struct run *run, uint64_t reg, enum cfi_register_kind kind)
{
	struct cfi_register *r = tracked(run, &run->state, reg);
	uint32_t size;
	const uint8_t *at = read_block(run, &size);

	if (r)
		*r = (struct cfi_register){ .kind = kind, .expression = at, .expression_size = size };
}

static void set_cfa(struct run *run, uint64_t reg, int64_t offset)
{
	run->state.cfa_register = reg;
	run->state.cfa_offset = offset;
	run->state.cfa_expression = NULL;
	run->state.cfa_expression_size = 0;
}

static int emit(struct run *run)
{
	struct unwind_rule rule;

	if (!run->fde || run->offset >= run->fde->size)
		return 0;
	rule = cfi_rule(run->cie, &run->state);
	return run->row(run->userdata, run->offset, &rule);
}

/* 1 where the rest of the instructions lies beyond the FDE's end. */
static int advance_to(struct run *run, uint64_t offset)
{
	int r = 0;

	if (!run->fde || offset < run->offset)
		return -EBADMSG;
	if (offset > run->offset)
		r = emit(run);
	run->offset = offset;
	return r < 0 ? r : offset >= run->fde->size;
}

static int advance(struct run *run, uint64_t delta)
{
	uint64_t offset;

	if (__builtin_mul_overflow(delta, run->cie->code_alignment, &delta) ||
	        __builtin_add_overflow(run->offset, delta, &offset))
		offset = UINT64_MAX;
	return advance_to(run, offset);
}

static int set_location(struct run *run)
{
	uint64_t vaddr, at;

	if (!run->fde)
		return -EBADMSG;
	at = run->fde->instructions_vaddr + (uint64_t)(run->c.p - run->fde->instructions.p);
	vaddr = cfi_read_pointer(&run->c, run->cie->fde_encoding, at);
	if (run->c.failed || vaddr < run->fde->start)
		return -EBADMSG;
	return advance_to(run, vaddr - run->fde->start);
}

static int remember(struct run *run)
{
	if (run->n_stack == STATES_MAX)
		return -EBADMSG;
	run->stack[run->n_stack++] = run->state;
	return 0;
}

static int restore(struct run *run)
{
	if (run->n_stack == 0)
		return -EBADMSG;
	run->state = run->stack[--run->n_stack];
	return 0;
}

static int step_registers(struct run *run, uint8_t op)
{
	int64_t factor = run->cie->data_alignment;
	uint64_t reg = cursor_uleb(&run->c);

	switch (op) {
	case DW_CFA_offset_extended:
		set_register(run, reg, CFI_OFFSET, multiply(cursor_uleb(&run->c), factor));
		return 0;
	case DW_CFA_offset_extended_sf:
		set_register(run, reg, CFI_OFFSET, multiply((uint64_t)cursor_sleb(&run->c), factor));
		return 0;
	case DW_CFA_GNU_negative_offset_extended:
		set_register(run, reg, CFI_OFFSET, multiply(0 - cursor_uleb(&run->c), factor));
		return 0;
	case DW_CFA_val_offset:
		set_register(run, reg, CFI_VALUE, multiply(cursor_uleb(&run->c), factor));
		return 0;
	case DW_CFA_val_offset_sf:
		set_register(run, reg, CFI_VALUE, multiply((uint64_t)cursor_sleb(&run->c), factor));
		return 0;
	case DW_CFA_restore_extended:
		restore_register(run, reg);
		return 0;
	case DW_CFA_undefined:
		set_register(run, reg, CFI_UNDEFINED, 0);
		return 0;
	case DW_CFA_same_value:
		set_register(run, reg, CFI_SAME, 0);
		return 0;
	case DW_CFA_register:
		(void)cursor_uleb(&run->c);
		set_register(run, reg, CFI_OTHER, 0);
		return 0;
	case DW_CFA_expression:
		set_expression(run, reg, CFI_EXPRESSION);
		return 0;
	case DW_CFA_val_expression:
		set_expression(run, reg, CFI_OTHER);
		return 0;
	default:
		return -EBADMSG;
	}
}

static int step_extended(struct run *run, uint8_t op)
{
	int64_t factor = run->cie->data_alignment;
	uint64_t reg;

	switch (op) {
	case DW_CFA_nop:
		return 0;
	case DW_CFA_set_loc:
		return set_location(run);
	case DW_CFA_advance_loc1:
		return advance(run, cursor_u8(&run->c));
	case DW_CFA_advance_loc2:
		return advance(run, cursor_u16(&run->c));
	case DW_CFA_advance_loc4:
		return advance(run, cursor_u32(&run->c));
	case DW_CFA_remember_state:
		return remember(run);
	case DW_CFA_restore_state:
		return restore(run);
	case DW_CFA_def_cfa:
		reg = cursor_uleb(&run->c);
		set_cfa(run, reg, (int64_t)cursor_uleb(&run->c));
		return 0;
	case DW_CFA_def_cfa_sf:
		reg = cursor_uleb(&run->c);
		set_cfa(run, reg, multiply((uint64_t)cursor_sleb(&run->c), factor));
		return 0;
	case DW_CFA_def_cfa_register:
		set_cfa(run, cursor_uleb(&run->c), run->state.cfa_offset);
		return 0;
	case DW_CFA_def_cfa_offset:
		set_cfa(run, run->state.cfa_register, (int64_t)cursor_uleb(&run->c));
		return 0;
	case DW_CFA_def_cfa_offset_sf:
		set_cfa(run, run->state.cfa_register, multiply((uint64_t)cursor_sleb(&run->c), factor));
		return 0;
	case DW_CFA_def_cfa_expression:
		run->state.cfa_expression = read_block(run, &run->state.cfa_expression_size);
		return 0;
	case DW_CFA_GNU_args_size:
		(void)cursor_uleb(&run->c);
		return 0;
	default:
		return step_registers(run, op);
	}
}

static int step(struct run *run)
{
	uint8_t op = cursor_u8(&run->c), low = op & 0x3f;

	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		return advance(run, low);
	case DW_CFA_offset:
		set_register(run, low, CFI_OFFSET, multiply(cursor_uleb(&run->c), run->cie->data_alignment));
		return 0;
	case DW_CFA_restore:
		restore_register(run, low);
		return 0;
	default:
		return step_extended(run, op);
	}
}

static int run_all(struct run *run)
{
	int r = 0;

	while (r == 0 && cursor_room(&run->c)) {
		r = step(run);
		if (r == 0 && run->c.failed)
			r = -EBADMSG;
	}
	return r;
}

int cfi_run_cie(struct cfi_cie *cie, struct cursor instructions)
{
	struct run run = { .cie = cie, .c = instructions };
	int r;

	cie->initial = (struct cfi_state){ 0 };
	r = run_all(&run);
	if (r < 0)
		return r;
	cie->initial = run.state;
	return 0;
}

int cfi_run_fde(const struct cfi_fde *fde, cfi_row_t row, void *userdata)
{
	struct run run;
	int r;

	run.cie = fde->cie;
	run.fde = fde;
	run.c = fde->instructions;
	run.state = fde->cie->initial;
	run.n_stack = 0;
	run.offset = 0;
	run.row = row;
	run.userdata = userdata;

	r = run_all(&run);
	if (r == 0)
		r = emit(&run);
	if (r == -EBADMSG && run.offset < fde->size) {
		int r2 = row(userdata, run.offset, &(struct unwind_rule){ .cfa = CFA_UNKNOWN });

		return r2 < 0 ? r2 : r;
	}
	return r < 0 ? r : 0;
}
