/* Attribute values: reading, skipping, and what they stand for in their unit. */
#pragma once
#include "symbolizer/dwarf_abbrev.h"

#define FORM_STRING_MAX 16384u

struct form_value {
	uint16_t form;      /* 0: the attribute is absent */
	uint64_t number;    /* constant, address, offset, index or flag */
	const char *string; /* DW_FORM_string */
	size_t string_size;
};

/* Bytes that the form takes in this unit, -1 where that varies. */
int form_fixed_size(const struct dwarf_unit *unit, uint16_t form);
/* Both mark the cursor bad at an unknown form. */
void form_skip(struct cursor *c, const struct dwarf_unit *unit, uint16_t form);
void form_read(
        struct cursor *c, const struct dwarf_unit *unit, const struct abbrev_attribute *a, struct form_value *ret);

/* NULL where the value is no string of this file. Not NUL-terminated beyond *ret_size by promise; at most
 * FORM_STRING_MAX bytes. */
const char *form_string(
        const struct dwarf_file *d, const struct dwarf_unit *unit, const struct form_value *v, size_t *ret_size);
bool form_address(const struct dwarf_file *d, const struct dwarf_unit *unit, const struct form_value *v, uint64_t *ret);
/* The offset in .debug_info of the DIE that is meant. */
bool form_reference(
        const struct dwarf_file *d, const struct dwarf_unit *unit, const struct form_value *v, uint64_t *ret);
/* A constant that fits 32 bits, else 0. */
uint32_t form_u32(const struct form_value *v);

static inline bool form_is_address(const struct form_value *v)
{
	switch (v->form) {
	case DW_FORM_addr:
	case DW_FORM_addrx:
	case DW_FORM_addrx1:
	case DW_FORM_addrx2:
	case DW_FORM_addrx3:
	case DW_FORM_addrx4:
	case DW_FORM_GNU_addr_index:
		return true;
	default:
		return false;
	}
}
