/* Compares the unwind rows of real files with elfutils, row by row: for every row that libdw knows, both are applied to
 * one made-up machine state (registers and a memory whose words are hashes of their addresses), and CFA, the caller's
 * rbp and the return address's place must come out the same. Gaps between FDEs must be unknown.
 *
 * rows-check FILE...: a line of counts for each; exit 1 where anything differs. */
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <elfutils/libdw.h>
#include <dwarf.h>
#include "base/cleanup.h"
#include "symbolizer/answer.h"
#include "symbolizer/dispatch.h"

#define RBP 6
#define RSP 7
#define RIP 16
#define REPORTED_MAX 10

struct machine {
	uint64_t rsp, rbp, rip;
};

struct counts {
	uint64_t fdes, rows, gaps, unknown, lost_rbp, refused, different;
};

struct file {
	const char *path;
	int fd;
	Elf *elf;
	Dwarf_CFI *cfi;
	struct answer_rows v;
	struct counts n;
};

struct found { /* what one rule says of the caller */
	bool is_unknown, is_end, is_signal, rbp_is_lost;
	uint64_t cfa, rbp, ra_place;
};

static uint64_t memory(uint64_t address)
{
	uint64_t x = address * 0x9e3779b97f4a7c15ull;

	return x ^ x >> 29;
}

/* ---- libdw's side ------------------------------------------------------------------------------------------------ */

static bool push_register(uint64_t reg, const struct machine *m, uint64_t *ret)
{
	if (reg == RSP)
		*ret = m->rsp;
	else if (reg == RBP)
		*ret = m->rbp;
	else if (reg == RIP)
		*ret = m->rip;
	else if (reg < CFA_REGISTERS)
		*ret = memory(reg); /* some number of its own */
	else
		return false;
	return true;
}

struct stack {
	uint64_t v[64];
	int n;
};

static bool binary(struct stack *s, uint8_t atom)
{
	uint64_t b = s->v[s->n - 1], a = s->n > 1 ? s->v[s->n - 2] : 0, r;

	switch (atom) {
	case DW_OP_plus:
		r = a + b;
		break;
	case DW_OP_minus:
		r = a - b;
		break;
	case DW_OP_and:
		r = a & b;
		break;
	case DW_OP_shl:
		r = a << b;
		break;
	case DW_OP_ge:
		r = (int64_t)a >= (int64_t)b;
		break;
	default:
		return false;
	}
	s->v[s->n-- - 2] = r;
	return true;
}

/* False where something else than general registers is needed. */
static bool evaluate(
        const Dwarf_Op *ops, size_t n, const struct machine *m, uint64_t cfa, uint64_t *ret, bool *ret_value)
{
	struct stack s = { 0 };

	*ret_value = false;
	for (size_t i = 0; i < n; i++) {
		uint8_t atom = ops[i].atom;
		uint64_t base;

		if (s.n >= 60)
			return false;
		if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31) {
			if (!push_register((uint64_t)(atom - DW_OP_breg0), m, &base))
				return false;
			s.v[s.n++] = base + ops[i].number;
		} else if (atom == DW_OP_bregx) {
			if (!push_register(ops[i].number, m, &base))
				return false;
			s.v[s.n++] = base + ops[i].number2;
		} else if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) {
			s.v[s.n++] = (uint64_t)(atom - DW_OP_lit0);
		} else if (atom == DW_OP_call_frame_cfa) {
			s.v[s.n++] = cfa;
		} else if (atom == DW_OP_stack_value) {
			*ret_value = true;
		} else if (s.n < 1) {
			return false;
		} else if (atom == DW_OP_deref) {
			s.v[s.n - 1] = memory(s.v[s.n - 1]);
		} else if (atom == DW_OP_plus_uconst) {
			s.v[s.n - 1] += ops[i].number;
		} else if (!binary(&s, atom)) {
			return false;
		}
	}
	if (s.n < 1) /* an expression finds the CFA below its own values */
		return false;
	*ret = s.v[s.n - 1];
	return true;
}

static struct found ask_libdw(Dwarf_Frame *frame, const struct machine *m, bool is_signal)
{
	struct found f = { .is_signal = is_signal };
	Dwarf_Op memory_ops[3], *ops;
	uint64_t place;
	bool is_value;
	size_t n;

	if (dwarf_frame_register(frame, RIP, memory_ops, &ops, &n) == 0 && n == 0 && ops == memory_ops) {
		f.is_end = true;
		return f;
	}
	if (dwarf_frame_cfa(frame, &ops, &n) != 0 || n == 0 || !evaluate(ops, n, m, 0, &f.cfa, &is_value)) {
		f.is_unknown = true;
		return f;
	}
	if (dwarf_frame_register(frame, RIP, memory_ops, &ops, &n) != 0 || n == 0 ||
	        !evaluate(ops, n, m, f.cfa, &f.ra_place, &is_value) || is_value) {
		f.is_unknown = true;
		return f;
	}
	if (dwarf_frame_register(frame, RBP, memory_ops, &ops, &n) != 0)
		f.rbp_is_lost = true;
	else if (n == 0 && ops != memory_ops)
		f.rbp = m->rbp;
	else if (n == 0 || !evaluate(ops, n, m, f.cfa, &place, &is_value))
		f.rbp_is_lost = true;
	else
		f.rbp = is_value ? place : memory(place);
	return f;
}

/* ---- our side ---------------------------------------------------------------------------------------------------- */

static uint64_t our_cfa(const struct unwind_rule *r, const struct machine *m)
{
	switch (r->cfa) {
	case CFA_SP:
		return m->rsp + (uint64_t)(int64_t)r->cfa_offset;
	case CFA_FP:
		return m->rbp + (uint64_t)(int64_t)r->cfa_offset;
	case CFA_SP_DEREF:
		return memory(m->rsp + (uint64_t)CFA_DEREF_OFFSET(r->cfa_offset)) +
		       (uint64_t)CFA_DEREF_ADDEND(r->cfa_offset);
	case CFA_FP_DEREF:
		return memory(m->rbp + (uint64_t)CFA_DEREF_OFFSET(r->cfa_offset)) +
		       (uint64_t)CFA_DEREF_ADDEND(r->cfa_offset);
	case CFA_REGISTER:
		return memory((uint64_t)CFA_REGISTER_NUMBER(r->cfa_offset)) +
		       (uint64_t)CFA_REGISTER_OFFSET(r->cfa_offset);
	case CFA_PLT:
		return m->rsp + 8 + ((m->rip & 15) >= (uint64_t)r->cfa_offset ? 8 : 0);
	default:
		return 0;
	}
}

static struct found apply(const struct unwind_rule *r, const struct machine *m)
{
	struct found f = { .is_unknown = r->cfa == CFA_UNKNOWN, .is_end = r->cfa == CFA_END };
	uint64_t registers = m->rsp + (uint64_t)(int64_t)r->cfa_offset;

	if (f.is_unknown || f.is_end)
		return f;
	if (r->cfa == CFA_SIGNAL)
		return (struct found){
			.is_signal = true,
			.cfa = memory(registers + SIGNAL_RSP),
			.rbp = memory(registers + SIGNAL_RBP),
			.ra_place = registers + SIGNAL_RIP,
		};
	f.cfa = our_cfa(r, m);
	f.ra_place = f.cfa - 8;
	switch (r->fp) {
	case FP_SAME:
		f.rbp = m->rbp;
		break;
	case FP_AT_CFA:
		f.rbp = memory(f.cfa + (uint64_t)(int64_t)r->fp_offset);
		break;
	case FP_AT_FP:
		f.rbp = memory(m->rbp + (uint64_t)(int64_t)r->fp_offset);
		break;
	default:
		f.rbp_is_lost = true;
	}
	return f;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static bool offset_of(Elf *elf, uint64_t vaddr, uint64_t *ret)
{
	size_t n;

	if (elf_getphdrnum(elf, &n) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr p;

		if (!gelf_getphdr(elf, (int)i, &p) || p.p_type != PT_LOAD || !(p.p_flags & PF_X))
			continue;
		if (vaddr >= p.p_vaddr && vaddr - p.p_vaddr < p.p_filesz) {
			*ret = p.p_offset + (vaddr - p.p_vaddr);
			return true;
		}
	}
	return false;
}

static void differ(struct file *f, uint64_t vaddr, const char *what, const struct unwind_rule *r)
{
	if (f->n.different++ < REPORTED_MAX)
		(void)printf("%s: %#" PRIx64 ": %s (cfa %d %d, fp %d %d)\n", f->path, vaddr, what, r->cfa,
		        r->cfa_offset, r->fp, r->fp_offset);
}

static void compare(struct file *f, Dwarf_Frame *frame, uint64_t vaddr, bool is_signal)
{
	const struct machine m = { .rsp = 0x7ffc00001230, .rbp = 0x7ffc00002340, .rip = vaddr };
	struct unwind_rule r;
	struct found theirs, ours;
	uint64_t offset;

	if (!offset_of(f->elf, vaddr, &offset))
		return;
	r = answer_rows_rule(&f->v, offset);
	theirs = ask_libdw(frame, &m, is_signal);
	ours = apply(&r, &m);
	f->n.rows++;
	f->n.unknown += ours.is_unknown;
	f->n.lost_rbp += ours.rbp_is_lost;
	if (theirs.is_unknown && !ours.is_unknown) {
		/* libdw is strict where run times are not: a register for the CFA after an expression keeps the offset
		 * that stood before it */
		f->n.refused++;
		return;
	}
	if (ours.is_unknown != theirs.is_unknown)
		/* A return address that is not below the CFA cannot be said in a rule. */
		return ours.is_unknown && theirs.ra_place != theirs.cfa - 8 ? (void)0 : differ(f, vaddr, "unknown", &r);
	if (ours.is_unknown)
		return;
	if (ours.is_end != theirs.is_end || ours.is_signal != theirs.is_signal)
		return differ(f, vaddr, "kind", &r);
	if (ours.cfa != theirs.cfa)
		return differ(f, vaddr, "CFA", &r);
	if (ours.ra_place != theirs.ra_place)
		return differ(f, vaddr, "return address", &r);
	/* a lost one is counted: it cuts a stack, it never bends it */
	if (!ours.rbp_is_lost && (theirs.rbp_is_lost || ours.rbp != theirs.rbp))
		differ(f, vaddr, "rbp", &r);
}

/* Over a hole smaller than this the row before it goes on (symbolizer/rows.c says why). */
#define HOLE_BYTES 32

static void check_gap(struct file *f, uint64_t vaddr, uint64_t next)
{
	struct unwind_rule r, before;
	uint64_t offset;

	if (!offset_of(f->elf, vaddr, &offset))
		return;
	r = answer_rows_rule(&f->v, offset);
	before = answer_rows_rule(&f->v, offset - 1);
	f->n.gaps++;
	if (r.cfa != CFA_UNKNOWN && (next - vaddr >= HOLE_BYTES || memcmp(&r, &before, sizeof(r)) != 0))
		differ(f, vaddr, "gap", &r);
}

static void check_fde(struct file *f, uint64_t start, uint64_t next)
{
	uint64_t vaddr = start, offset;

	f->n.fdes++;
	while (vaddr < next && offset_of(f->elf, vaddr, &offset)) {
		Dwarf_Frame *frame;
		Dwarf_Addr row_start, row_end;
		bool is_signal = false;

		if (dwarf_cfi_addrframe(f->cfi, vaddr, &frame) != 0) {
			check_gap(f, vaddr, next);
			return;
		}
		if (dwarf_frame_info(frame, &row_start, &row_end, &is_signal) < 0 || row_end <= vaddr) {
			free(frame);
			return;
		}
		compare(f, frame, vaddr, is_signal);
		if (row_end <= next && row_end - 1 > vaddr)
			compare(f, frame, row_end - 1, is_signal);
		free(frame);
		vaddr = row_end;
	}
}

/* FDE starts from the binary search table that the linker wrote, which ember-symbolizer does not look at. */
static int check_all(struct file *f)
{
	size_t n;

	if (elf_getphdrnum(f->elf, &n) != 0)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ uint8_t *table = NULL;
		uint32_t n_entries;
		GElf_Phdr p;

		if (!gelf_getphdr(f->elf, (int)i, &p) || p.p_type != PT_GNU_EH_FRAME || p.p_filesz < 12)
			continue;
		table = malloc(p.p_filesz);
		if (!table || pread(f->fd, table, p.p_filesz, (off_t)p.p_offset) != (ssize_t)p.p_filesz)
			return -EIO;
		if (table[2] != (DW_EH_PE_udata4) || table[3] != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
			return -ENOTSUP;
		memcpy(&n_entries, table + 8, 4);
		for (uint32_t k = 0; k < n_entries && 12 + (uint64_t)(k + 1) * 8 <= p.p_filesz; k++) {
			int32_t start, next = INT32_MAX;

			memcpy(&start, table + 12 + (size_t)k * 8, 4);
			if (k + 1 < n_entries)
				memcpy(&next, table + 12 + (size_t)(k + 1) * 8, 4);
			check_fde(f, p.p_vaddr + (uint64_t)(int64_t)start,
			        k + 1 < n_entries ? p.p_vaddr + (uint64_t)(int64_t)next : UINT64_MAX);
		}
		return 0;
	}
	return -ENODATA;
}

static int check_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC), answer = memfd_create("rows", MFD_CLOEXEC);
	struct file f = { .path = path, .fd = fd };
	uint64_t bytes;
	void *p;
	int r;

	if (fd < 0 || answer < 0)
		return -errno;
	r = rows_answer(&(struct dispatch_input){ .fd = fd }, answer, &bytes);
	if (r < 0)
		return r;
	p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, answer, 0);
	if (p == MAP_FAILED)
		return -errno;
	r = answer_rows(p, bytes, &f.v);
	if (r < 0)
		return r;
	f.elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	f.cfi = dwarf_getcfi_elf(f.elf);
	if (!f.elf || !f.cfi)
		return -EBADMSG;
	r = check_all(&f);
	(void)printf("%s: %" PRIu64 " FDEs, %" PRIu64 " rows compared, %" PRIu64 " gaps; %u rows held, %u rules; "
	             "unknown %" PRIu64 ", rbp lost %" PRIu64 ", refused %" PRIu64 ", different %" PRIu64 "\n",
	        path, f.n.fdes, f.n.rows, f.n.gaps, f.v.n_rows, f.v.n_rules, f.n.unknown, f.n.lost_rbp, f.n.refused,
	        f.n.different);
	(void)dwarf_cfi_end(f.cfi);
	(void)elf_end(f.elf);
	(void)munmap(p, bytes);
	if (r < 0)
		return r;
	return f.n.different || f.n.rows == 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	int failed = 0;

	(void)elf_version(EV_CURRENT);
	for (int i = 1; i < argc; i++) {
		int r = check_file(argv[i]);

		if (r < 0)
			(void)printf("%s: %s\n", argv[i], strerror(-r));
		failed |= r != 0 && r != -ENODATA; /* a library of data has no rows */
	}
	return failed || argc < 2;
}
