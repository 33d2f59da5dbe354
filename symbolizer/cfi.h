/* Call frame instructions (DWARF 5, section 6.4) turned into unwind rules. Only what the rules speak of is followed:
 * the CFA, the frame pointer, the stack pointer and the return address; whatever cannot be said in a rule is
 * CFA_UNKNOWN. Input is hostile; work is linear in its size. No allocation, no I/O. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bpf/abi.h"
#include "symbolizer/cursor.h"

/* DWARF register numbers of one machine, and how it keeps things on the stack. */
struct cfi_machine {
	uint16_t elf_machine;
	uint8_t sp, fp, ra, pc;
	int8_t ra_offset;                        /* of the return address, from the CFA */
	uint8_t signal_fp, signal_sp, signal_pc; /* inside a signal frame's registers */
};

/* NULL for a machine whose rules are not known. */
const struct cfi_machine *cfi_machine(uint16_t elf_machine);

enum cfi_register_kind {
	CFI_UNSET = 0,
	CFI_SAME,
	CFI_UNDEFINED,
	CFI_OFFSET,     /* saved at CFA + offset */
	CFI_VALUE,      /* is CFA + offset */
	CFI_EXPRESSION, /* saved where an expression says */
	CFI_OTHER,
};

struct cfi_register {
	enum cfi_register_kind kind;
	uint32_t expression_size;
	int64_t offset;
	const uint8_t *expression;
};

struct cfi_state {
	uint64_t cfa_register;
	int64_t cfa_offset;
	const uint8_t *cfa_expression; /* NULL: register + offset */
	uint32_t cfa_expression_size;
	struct cfi_register fp, sp, ra;
};

struct cfi_cie {
	const struct cfi_machine *machine;
	uint64_t code_alignment;
	int64_t data_alignment;
	uint8_t fde_encoding; /* DW_EH_PE_* */
	bool has_augmentation_size, is_signal_frame;
	struct cfi_state initial;
};

/* A pointer in one of the DW_EH_PE encodings; vaddr is the address of the byte at c->p. Those that would need the
 * running process (indirect, relative to text, data or function) fail. */
uint64_t cfi_read_pointer(struct cursor *c, uint8_t encoding, uint64_t vaddr);

/* Runs a CIE's instructions: the state that each of its FDEs begins with. -EBADMSG. */
int cfi_run_cie(struct cfi_cie *cie, struct cursor instructions);

/* offset counts from the FDE's start: rises from 0, below size. */
typedef int (*cfi_row_t)(void *userdata, uint64_t offset, const struct unwind_rule *rule);

struct cfi_fde {
	const struct cfi_cie *cie;
	uint64_t start, size; /* addresses */
	struct cursor instructions;
	uint64_t instructions_vaddr;
};

/* Calls row for each place where something may change. -EBADMSG: the rows so far are right and the rest is told as one
 * row of CFA_UNKNOWN. A failure of row ends it and is returned. */
int cfi_run_fde(const struct cfi_fde *fde, cfi_row_t row, void *userdata);

/* The rule that a state amounts to. */
struct unwind_rule cfi_rule(const struct cfi_cie *cie, const struct cfi_state *s);
