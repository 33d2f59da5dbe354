#include "symbolizer/dwarf_file.h"

#include <assert.h>
#include "symbolizer/dwarf_abbrev.h"

static const char *const section_names[DWARF_SECTIONS] = {
	[DWARF_INFO] = ".debug_info",
	[DWARF_ABBREV] = ".debug_abbrev",
	[DWARF_STR] = ".debug_str",
	[DWARF_LINE_STR] = ".debug_line_str",
	[DWARF_LINE] = ".debug_line",
	[DWARF_RANGES] = ".debug_ranges",
	[DWARF_RNGLISTS] = ".debug_rnglists",
	[DWARF_ADDR] = ".debug_addr",
	[DWARF_STR_OFFSETS] = ".debug_str_offsets",
	[DWARF_ARANGES] = ".debug_aranges",
};

/* Reads the header at c, which must be at offset. False where the rest of the section cannot be trusted. unit->version
 * is 0 for a unit of a kind that is passed over. */
static bool unit_header(struct cursor *c, uint64_t offset, struct dwarf_unit *unit)
{
	const uint8_t *start = c->p;
	uint64_t length;

	*unit = (struct dwarf_unit){ .offset = offset, .offset_size = 4 };
	length = cursor_u32(c);
	if (length == 0xffffffff) {
		unit->offset_size = 8;
		length = cursor_u64(c);
	}
	if (c->failed || length > cursor_room(c))
		return false;
	unit->end = offset + (uint64_t)(c->p - start) + length;
	unit->version = (uint8_t)MIN(cursor_u16(c), 255);
	if (unit->version >= 5) {
		unit->type = cursor_u8(c);
		unit->address_size = cursor_u8(c);
		unit->abbrev = cursor_number(c, unit->offset_size);
		if (unit->type == DW_UT_skeleton || unit->type == DW_UT_split_compile)
			cursor_skip(c, 8);
		else if (unit->type == DW_UT_type || unit->type == DW_UT_split_type)
			cursor_skip(c, 8 + unit->offset_size);
		/* The offset tables that a unit without base attributes means start after their header. */
		unit->str_offsets_base = unit->addr_base = unit->offset_size == 8 ? 16 : 8;
		unit->rnglists_base = unit->offset_size == 8 ? 20 : 12;
	} else {
		unit->type = DW_UT_compile;
		unit->abbrev = cursor_number(c, unit->offset_size);
		unit->address_size = cursor_u8(c);
	}
	unit->die = offset + (uint64_t)(c->p - start);
	if (c->failed || unit->version < 2 || unit->version > 5 || unit->die > unit->end ||
	        (unit->address_size != 4 && unit->address_size != 8))
		unit->version = 0;
	return true;
}

static int units_read(struct dwarf_file *d)
{
	struct span info = dwarf_span(d, DWARF_INFO);
	uint64_t offset = 0;
	uint32_t room = 0;

	while (offset < info.size) {
		struct cursor c = cursor_at(info, offset);
		struct dwarf_unit unit;

		if (!unit_header(&c, offset, &unit))
			break;
		offset = unit.end;
		if (unit.version == 0)
			continue;
		if (d->n_units == DWARF_UNITS_MAX)
			return -E2BIG;
		if (d->n_units == room) {
			struct dwarf_unit *bigger;

			room = room ? room * 2 : 64;
			bigger = reallocarray(d->units, room, sizeof(*bigger));
			if (!bigger)
				return -ENOMEM;
			d->units = bigger;
		}
		d->units[d->n_units++] = unit;
	}
	return d->n_units > 0 ? 0 : -ENODATA;
}

int dwarf_file_open(const struct elf_file *f, struct dwarf_file **ret)
{
	_cleanup_(dwarf_file_freep) struct dwarf_file *d = NULL;
	int r;

	assert(f);
	assert(ret);

	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	for (int i = 0; i < DWARF_SECTIONS; i++) {
		r = section_load(f, section_names[i], &d->sections[i]);
		if (r < 0 && (r != -EBADMSG || i == DWARF_INFO || i == DWARF_ABBREV))
			return r;
		if (i == DWARF_INFO && d->sections[i].span.size == 0)
			return -ENODATA;
	}
	r = abbrev_cache_new(&d->abbrevs);
	if (r < 0)
		return r;
	r = units_read(d);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

struct dwarf_file *dwarf_file_free(struct dwarf_file *d)
{
	if (!d)
		return NULL;
	for (int i = 0; i < DWARF_SECTIONS; i++)
		section_done(&d->sections[i]);
	abbrev_cache_free(d->abbrevs);
	free(d->units);
	free(d);
	return NULL;
}

/* The last unit that starts at or before offset. */
static struct dwarf_unit *unit_before(const struct dwarf_file *d, uint64_t offset)
{
	uint32_t low = 0, high = d->n_units;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (d->units[mid].offset <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 ? &d->units[low - 1] : NULL;
}

struct dwarf_unit *dwarf_file_unit_at(const struct dwarf_file *d, uint64_t offset)
{
	struct dwarf_unit *unit = unit_before(d, offset);

	return unit && offset >= unit->die && offset < unit->end ? unit : NULL;
}

struct dwarf_unit *dwarf_file_unit_from(const struct dwarf_file *d, uint64_t offset)
{
	struct dwarf_unit *unit = unit_before(d, offset);

	return unit && unit->offset == offset ? unit : NULL;
}
