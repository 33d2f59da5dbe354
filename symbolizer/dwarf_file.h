/* The DWARF of one ELF file (versions 2 to 5, 64-bit little-endian targets): its sections and the list of its units.
 * An own reader, because libdw's look-ups by address are slow and miss inlined calls, and because each byte here is
 * hostile: every read is bounded, every reference is checked, every loop has a limit. Work is done unit by unit. */
#pragma once
#include <dwarf.h>
#include "symbolizer/section.h"

#define DWARF_UNITS_MAX (1u << 20)

enum dwarf_section {
	DWARF_INFO,
	DWARF_ABBREV,
	DWARF_STR,
	DWARF_LINE_STR,
	DWARF_LINE,
	DWARF_RANGES,
	DWARF_RNGLISTS,
	DWARF_ADDR,
	DWARF_STR_OFFSETS,
	DWARF_ARANGES,
	DWARF_SECTIONS
};

struct dwarf_unit {
	uint64_t offset, die, end; /* header, first DIE, one past the last byte; all in .debug_info */
	uint64_t abbrev;           /* in .debug_abbrev */
	uint64_t low_pc;           /* base of its range lists */
	uint64_t str_offsets_base, addr_base, rnglists_base;
	uint8_t version, address_size, offset_size, type;
	bool has_ranges; /* its root DIE says which code it describes */
};

struct dwarf_file {
	struct section sections[DWARF_SECTIONS];
	struct dwarf_unit *units; /* sorted by offset */
	uint32_t n_units;
	struct abbrev_cache *abbrevs;
};

/* f is borrowed for the call. -ENODATA: no .debug_info or no unit in it; -ENOMEM; -E2BIG. Damage ends the list of units
 * early, it is no failure. Root DIEs are not read yet. */
int dwarf_file_open(const struct elf_file *f, struct dwarf_file **ret);
struct dwarf_file *dwarf_file_free(struct dwarf_file *d);
DEFINE_CLEANUP(struct dwarf_file *, dwarf_file_free)

/* The unit whose DIEs hold that offset of .debug_info; NULL for none. */
struct dwarf_unit *dwarf_file_unit_at(const struct dwarf_file *d, uint64_t offset);

/* The unit whose header is at that offset; NULL for none. */
struct dwarf_unit *dwarf_file_unit_from(const struct dwarf_file *d, uint64_t offset);

static inline struct span dwarf_span(const struct dwarf_file *d, enum dwarf_section s)
{
	return d->sections[s].span;
}
