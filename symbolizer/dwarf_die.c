#include "symbolizer/dwarf_die.h"

#include <assert.h>

/* Slot of an attribute plus one, 0 for those that are passed over. */
static unsigned slot_of(uint16_t name)
{
	switch (name) {
	case DW_AT_name:
		return DIE_NAME + 1;
	case DW_AT_linkage_name:
	case DW_AT_MIPS_linkage_name:
		return DIE_LINKAGE_NAME + 1;
	case DW_AT_low_pc:
		return DIE_LOW_PC + 1;
	case DW_AT_high_pc:
		return DIE_HIGH_PC + 1;
	case DW_AT_ranges:
		return DIE_RANGES + 1;
	case DW_AT_abstract_origin:
		return DIE_ABSTRACT_ORIGIN + 1;
	case DW_AT_specification:
		return DIE_SPECIFICATION + 1;
	case DW_AT_decl_line:
		return DIE_DECL_LINE + 1;
	case DW_AT_call_file:
		return DIE_CALL_FILE + 1;
	case DW_AT_call_line:
		return DIE_CALL_LINE + 1;
	case DW_AT_call_column:
		return DIE_CALL_COLUMN + 1;
	case DW_AT_stmt_list:
		return DIE_STMT_LIST + 1;
	case DW_AT_comp_dir:
		return DIE_COMP_DIR + 1;
	case DW_AT_str_offsets_base:
		return DIE_STR_OFFSETS_BASE + 1;
	case DW_AT_addr_base:
	case DW_AT_GNU_addr_base:
		return DIE_ADDR_BASE + 1;
	case DW_AT_rnglists_base:
		return DIE_RNGLISTS_BASE + 1;
	default:
		return 0;
	}
}

void die_read(struct cursor *c, const struct dwarf_unit *unit, const struct abbrev_table *t, const struct abbrev *a,
        struct die *ret)
{
	const struct abbrev_attribute *attribute = t->attributes + a->first_attribute;

	ret->present = 0;
	for (unsigned i = 0; i < a->n_attributes; i++, attribute++) {
		unsigned slot = slot_of(attribute->name);

		if (slot == 0) {
			form_skip(c, unit, attribute->form);
			continue;
		}
		form_read(c, unit, attribute, &ret->values[slot - 1]);
		if (c->failed)
			return;
		ret->present |= 1u << (slot - 1);
	}
}

void die_skip(struct cursor *c, const struct dwarf_unit *unit, const struct abbrev_table *t, const struct abbrev *a)
{
	const struct abbrev_attribute *attribute = t->attributes + a->first_attribute;

	if (a->fixed_size >= 0) {
		cursor_skip(c, (uint64_t)a->fixed_size);
		return;
	}
	for (unsigned i = 0; i < a->n_attributes && !c->failed; i++)
		form_skip(c, unit, attribute[i].form);
}

int die_read_at(const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t offset, struct die *ret,
        const struct abbrev **ret_abbrev)
{
	struct span info = dwarf_span(d, DWARF_INFO);
	const struct abbrev_table *t;
	const struct abbrev *a;
	struct cursor c;
	int r;

	if (offset < unit->die || offset >= unit->end)
		return -EBADMSG;
	r = abbrev_table_get(d, unit, &t);
	if (r < 0)
		return r;
	c = cursor_at((struct span){ info.data, unit->end }, offset);
	a = abbrev_find(t, cursor_uleb(&c));
	if (!a)
		return -EBADMSG;
	die_read(&c, unit, t, a, ret);
	if (c.failed)
		return -EBADMSG;
	if (ret_abbrev)
		*ret_abbrev = a;
	return 0;
}

static int range_add(struct die_ranges *ranges, uint64_t low, uint64_t high)
{
	if (low >= high || low <= 1 || low >= UINT64_MAX - 1 || ranges->n == DIE_RANGES_MAX)
		return 0;
	if (ranges->n == ranges->room) {
		uint32_t room = ranges->room ? ranges->room * 2 : 16;
		struct die_range *bigger = reallocarray(ranges->ranges, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		ranges->ranges = bigger;
		ranges->room = room;
	}
	ranges->ranges[ranges->n++] = (struct die_range){ low, high };
	return 0;
}

void die_ranges_done(struct die_ranges *ranges)
{
	free(ranges->ranges);
	*ranges = (struct die_ranges){ 0 };
}

/* .debug_ranges of versions 2 to 4. */
static int ranges_read_v4(
        const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t offset, struct die_ranges *ranges)
{
	struct cursor c = cursor_at(dwarf_span(d, DWARF_RANGES), offset);
	uint64_t base = unit->low_pc, last = unit->address_size == 4 ? UINT32_MAX : UINT64_MAX;

	for (uint32_t i = 0; i < DIE_RANGES_MAX; i++) {
		uint64_t low = cursor_number(&c, unit->address_size);
		uint64_t high = cursor_number(&c, unit->address_size);
		int r;

		if (c.failed || (low == 0 && high == 0))
			break;
		if (low == last) {
			base = high;
			continue;
		}
		if (low >= last - 1 || (base == 0 && low <= 1))
			continue;
		r = range_add(ranges, base + low, base + high);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool address_at(const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t index, uint64_t *ret)
{
	struct form_value v = { .form = DW_FORM_addrx, .number = index };

	return form_address(d, unit, &v, ret);
}

/* One entry of a .debug_rnglists list: 1 where it gave a range, 0 where it changed the base, -1 at the end or at
 * damage. */
static int rnglist_entry(const struct dwarf_file *d, const struct dwarf_unit *unit, struct cursor *c, uint64_t *base,
        struct die_range *ret)
{
	switch (cursor_u8(c)) {
	case DW_RLE_base_addressx:
		return address_at(d, unit, cursor_uleb(c), base) ? 0 : -1;
	case DW_RLE_base_address:
		*base = cursor_number(c, unit->address_size);
		return 0;
	case DW_RLE_startx_endx:
		if (!address_at(d, unit, cursor_uleb(c), &ret->low) || !address_at(d, unit, cursor_uleb(c), &ret->high))
			return -1;
		return 1;
	case DW_RLE_startx_length:
		if (!address_at(d, unit, cursor_uleb(c), &ret->low))
			return -1;
		ret->high = ret->low + cursor_uleb(c);
		return 1;
	case DW_RLE_offset_pair:
		ret->low = *base + cursor_uleb(c);
		ret->high = *base + cursor_uleb(c);
		if (*base <= 1 || *base >= UINT64_MAX - 1) /* dropped by the linker, unless the base is really 0 */
			ret->low = *base == 0 ? ret->low : 0;
		return 1;
	case DW_RLE_start_end:
		ret->low = cursor_number(c, unit->address_size);
		ret->high = cursor_number(c, unit->address_size);
		return 1;
	case DW_RLE_start_length:
		ret->low = cursor_number(c, unit->address_size);
		ret->high = ret->low + cursor_uleb(c);
		return 1;
	default: /* DW_RLE_end_of_list too */
		return -1;
	}
}

static int ranges_read_v5(const struct dwarf_file *d, const struct dwarf_unit *unit, const struct form_value *v,
        struct die_ranges *ranges)
{
	struct span lists = dwarf_span(d, DWARF_RNGLISTS);
	uint64_t offset = v->number, base = unit->low_pc;
	struct cursor c;

	if (v->form == DW_FORM_rnglistx) {
		if (v->number > UINT32_MAX)
			return 0;
		c = cursor_at(lists, unit->rnglists_base);
		cursor_skip(&c, v->number * unit->offset_size);
		offset = cursor_number(&c, unit->offset_size);
		if (c.failed || offset > lists.size || unit->rnglists_base > lists.size)
			return 0;
		offset += unit->rnglists_base;
	}
	c = cursor_at(lists, offset);
	for (uint32_t i = 0; i < DIE_RANGES_MAX; i++) {
		struct die_range range;
		int k = rnglist_entry(d, unit, &c, &base, &range), r;

		if (k < 0 || c.failed)
			break;
		if (k == 0)
			continue;
		r = range_add(ranges, range.low, range.high);
		if (r < 0)
			return r;
	}
	return 0;
}

int die_ranges_read(
        const struct dwarf_file *d, const struct dwarf_unit *unit, const struct die *die, struct die_ranges *ranges)
{
	const struct form_value *low = die_get(die, DIE_LOW_PC), *high = die_get(die, DIE_HIGH_PC),
	                        *list = die_get(die, DIE_RANGES);
	uint64_t start, end;

	ranges->n = 0;
	if (list)
		return unit->version >= 5 ? ranges_read_v5(d, unit, list, ranges)
		                          : ranges_read_v4(d, unit, list->number, ranges);
	if (!low || !high || !form_address(d, unit, low, &start))
		return 0;
	if (!form_address(d, unit, high, &end))
		end = start + high->number;
	return range_add(ranges, start, end);
}

int die_read_root(const struct dwarf_file *d, struct dwarf_unit *unit, struct die *ret)
{
	_cleanup_(abbrev_table_done) struct abbrev_table t = { 0 };
	struct cursor c = cursor_at((struct span){ dwarf_span(d, DWARF_INFO).data, unit->end }, unit->die);
	const struct form_value *v;
	uint64_t code = cursor_uleb(&c);
	int r;

	if (code == 0)
		return -EBADMSG;
	r = abbrev_table_read_one(d, unit, code, &t);
	if (r < 0)
		return r;
	if (t.n_entries == 0)
		return -EBADMSG;
	die_read(&c, unit, &t, &t.entries[0], ret);
	if (c.failed)
		return -EBADMSG;

	v = die_get(ret, DIE_STR_OFFSETS_BASE);
	if (v)
		unit->str_offsets_base = v->number;
	v = die_get(ret, DIE_ADDR_BASE);
	if (v)
		unit->addr_base = v->number;
	v = die_get(ret, DIE_RNGLISTS_BASE);
	if (v)
		unit->rnglists_base = v->number;
	v = die_get(ret, DIE_LOW_PC);
	if (v && !form_address(d, unit, v, &unit->low_pc))
		unit->low_pc = 0;
	unit->has_ranges = die_get(ret, DIE_RANGES) || die_get(ret, DIE_HIGH_PC);
	return 0;
}
