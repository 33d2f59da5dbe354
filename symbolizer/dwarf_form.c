#include "symbolizer/dwarf_form.h"

int form_fixed_size(const struct dwarf_unit *unit, uint16_t form)
{
	switch (form) {
	case DW_FORM_flag_present:
	case DW_FORM_implicit_const:
		return 0;
	case DW_FORM_data1:
	case DW_FORM_ref1:
	case DW_FORM_flag:
	case DW_FORM_strx1:
	case DW_FORM_addrx1:
		return 1;
	case DW_FORM_data2:
	case DW_FORM_ref2:
	case DW_FORM_strx2:
	case DW_FORM_addrx2:
		return 2;
	case DW_FORM_strx3:
	case DW_FORM_addrx3:
		return 3;
	case DW_FORM_data4:
	case DW_FORM_ref4:
	case DW_FORM_strx4:
	case DW_FORM_addrx4:
	case DW_FORM_ref_sup4:
		return 4;
	case DW_FORM_data8:
	case DW_FORM_ref8:
	case DW_FORM_ref_sig8:
	case DW_FORM_ref_sup8:
		return 8;
	case DW_FORM_data16:
		return 16;
	case DW_FORM_addr:
		return unit->address_size;
	case DW_FORM_ref_addr:
		return unit->version <= 2 ? unit->address_size : unit->offset_size;
	case DW_FORM_strp:
	case DW_FORM_sec_offset:
	case DW_FORM_line_strp:
	case DW_FORM_strp_sup:
	case DW_FORM_GNU_ref_alt:
	case DW_FORM_GNU_strp_alt:
		return unit->offset_size;
	default:
		return -1;
	}
}

static void block_skip(struct cursor *c, uint16_t form)
{
	switch (form) {
	case DW_FORM_block1:
		cursor_skip(c, cursor_u8(c));
		break;
	case DW_FORM_block2:
		cursor_skip(c, cursor_u16(c));
		break;
	case DW_FORM_block4:
		cursor_skip(c, cursor_u32(c));
		break;
	case DW_FORM_block:
	case DW_FORM_exprloc:
		cursor_skip(c, cursor_uleb(c));
		break;
	default:
		cursor_fail(c);
	}
}

void form_read(
        struct cursor *c, const struct dwarf_unit *unit, const struct abbrev_attribute *a, struct form_value *ret)
{
	uint16_t form = a->form;
	int size;

	if (form == DW_FORM_indirect) /* once: an indirect form that names another one is damage */
		form = (uint16_t)MIN(cursor_uleb(c), (uint64_t)UINT16_MAX);
	*ret = (struct form_value){ .form = form };
	size = form_fixed_size(unit, form);
	if (form == DW_FORM_implicit_const) {
		ret->number = (uint64_t)a->implicit;
	} else if (form == DW_FORM_flag_present) {
		ret->number = 1;
	} else if (size > 8) {
		cursor_skip(c, (uint64_t)size);
	} else if (size >= 0) {
		ret->number = cursor_number(c, (unsigned)size);
	} else {
		switch (form) {
		case DW_FORM_udata:
		case DW_FORM_ref_udata:
		case DW_FORM_strx:
		case DW_FORM_addrx:
		case DW_FORM_loclistx:
		case DW_FORM_rnglistx:
		case DW_FORM_GNU_addr_index:
		case DW_FORM_GNU_str_index:
			ret->number = cursor_uleb(c);
			break;
		case DW_FORM_sdata:
			ret->number = (uint64_t)cursor_sleb(c);
			break;
		case DW_FORM_string:
			ret->string = cursor_text(c, &ret->string_size);
			break;
		default:
			block_skip(c, form);
		}
	}
	if (c->failed)
		ret->form = 0;
}

void form_skip(struct cursor *c, const struct dwarf_unit *unit, uint16_t form)
{
	int size = form_fixed_size(unit, form);
	struct abbrev_attribute a = { .form = form };
	struct form_value value;

	if (size >= 0)
		cursor_skip(c, (uint64_t)size);
	else
		form_read(c, unit, &a, &value);
}

static const char *string_at(struct span s, uint64_t offset, size_t *ret_size)
{
	const char *p, *nul;
	size_t left;

	if (!s.data || offset >= s.size)
		return NULL;
	p = (const char *)s.data + offset;
	left = MIN(s.size - offset, (size_t)FORM_STRING_MAX);
	nul = memchr(p, 0, left);
	if (!nul && left < FORM_STRING_MAX)
		return NULL;
	*ret_size = nul ? (size_t)(nul - p) : left;
	return p;
}

/* Element index of a table that starts at base. */
static bool table_number(struct span s, uint64_t base, uint64_t index, unsigned size, uint64_t *ret)
{
	struct cursor c;

	if (index > UINT32_MAX || base > s.size)
		return false;
	c = cursor_at(s, base);
	cursor_skip(&c, index * size);
	*ret = cursor_number(&c, size);
	return !c.failed;
}

const char *form_string(
        const struct dwarf_file *d, const struct dwarf_unit *unit, const struct form_value *v, size_t *ret_size)
{
	uint64_t offset = v->number;

	*ret_size = 0;
	switch (v->form) {
	case DW_FORM_string:
		*ret_size = MIN(v->string_size, (size_t)FORM_STRING_MAX);
		return v->string;
	case DW_FORM_strp:
		return string_at(dwarf_span(d, DWARF_STR), offset, ret_size);
	case DW_FORM_line_strp:
		return string_at(dwarf_span(d, DWARF_LINE_STR), offset, ret_size);
	case DW_FORM_strx:
	case DW_FORM_strx1:
	case DW_FORM_strx2:
	case DW_FORM_strx3:
	case DW_FORM_strx4:
	case DW_FORM_GNU_str_index:
		if (!table_number(dwarf_span(d, DWARF_STR_OFFSETS), unit->str_offsets_base, v->number,
		            unit->offset_size, &offset))
			return NULL;
		return string_at(dwarf_span(d, DWARF_STR), offset, ret_size);
	default:
		return NULL;
	}
}

bool form_address(const struct dwarf_file *d, const struct dwarf_unit *unit, const struct form_value *v, uint64_t *ret)
{
	if (!form_is_address(v))
		return false;
	if (v->form == DW_FORM_addr) {
		*ret = v->number;
		return true;
	}
	return table_number(dwarf_span(d, DWARF_ADDR), unit->addr_base, v->number, unit->address_size, ret);
}

bool form_reference(
        const struct dwarf_file *d, const struct dwarf_unit *unit, const struct form_value *v, uint64_t *ret)
{
	switch (v->form) {
	case DW_FORM_ref1:
	case DW_FORM_ref2:
	case DW_FORM_ref4:
	case DW_FORM_ref8:
	case DW_FORM_ref_udata:
		if (v->number >= unit->end - unit->offset)
			return false;
		*ret = unit->offset + v->number;
		return true;
	case DW_FORM_ref_addr:
		*ret = v->number;
		return v->number < dwarf_span(d, DWARF_INFO).size;
	default:
		return false;
	}
}

uint32_t form_u32(const struct form_value *v)
{
	return v->form && v->number <= UINT32_MAX ? (uint32_t)v->number : 0;
}
