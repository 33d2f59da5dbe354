/* One DIE: the attributes that symbolizing needs, and the code that it covers. */
#pragma once
#include "symbolizer/dwarf_form.h"

enum die_slot {
	DIE_NAME,
	DIE_LINKAGE_NAME,
	DIE_LOW_PC,
	DIE_HIGH_PC,
	DIE_RANGES,
	DIE_ABSTRACT_ORIGIN,
	DIE_SPECIFICATION,
	DIE_DECL_LINE,
	DIE_CALL_FILE,
	DIE_CALL_LINE,
	DIE_CALL_COLUMN,
	DIE_STMT_LIST,
	DIE_COMP_DIR,
	DIE_STR_OFFSETS_BASE,
	DIE_ADDR_BASE,
	DIE_RNGLISTS_BASE,
	DIE_SLOTS
};

struct die {
	uint32_t present; /* bit SLOT: values[SLOT] is set */
	struct form_value values[DIE_SLOTS];
};

/* Reads the attributes that a describes; the cursor stands behind them afterwards. */
void die_read(struct cursor *c, const struct dwarf_unit *unit, const struct abbrev_table *t, const struct abbrev *a,
        struct die *ret);
void die_skip(struct cursor *c, const struct dwarf_unit *unit, const struct abbrev_table *t, const struct abbrev *a);

static inline const struct form_value *die_get(const struct die *die, enum die_slot slot)
{
	return die->present & (1u << slot) ? &die->values[slot] : NULL;
}

/* The DIE at that offset of .debug_info, in unit. -EBADMSG and what abbrev_table_get() answers. */
int die_read_at(const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t offset, struct die *ret,
        const struct abbrev **ret_abbrev);

#define DIE_RANGES_MAX (1u << 16)

struct die_range {
	uint64_t low, high;
};

struct die_ranges { /* reused from DIE to DIE */
	struct die_range *ranges;
	uint32_t n, room;
};

/* Fills ranges with what the DIE covers: none is an ordinary answer. Ranges that a linker dropped (they start at 0, 1
 * or at the end of the address space) are left out. -ENOMEM; damage ends the list early. */
int die_ranges_read(
        const struct dwarf_file *d, const struct dwarf_unit *unit, const struct die *die, struct die_ranges *ranges);
void die_ranges_done(struct die_ranges *ranges);

/* Reads the root DIE into the unit: bases, low_pc, has_ranges. */
int die_read_root(const struct dwarf_file *d, struct dwarf_unit *unit, struct die *ret);
