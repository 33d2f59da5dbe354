#include "symbolizer/dwarf_aranges.h"

#include "symbolizer/addresses.h"

/* The tuples of one set, aligned to their size from the start of the set's header. */
static bool set_covers(
        struct cursor *c, const uint8_t *start, unsigned address_size, const uint64_t *addresses, uint32_t n)
{
	uint64_t tuple = 2 * (uint64_t)address_size, used = (uint64_t)(c->p - start);

	cursor_skip(c, (tuple - used % tuple) % tuple);
	while (!c->failed && cursor_room(c) >= tuple) {
		uint64_t low = cursor_number(c, address_size), size = cursor_number(c, address_size);

		if (low == 0 && size == 0)
			break;
		if (low > 1 && size <= UINT64_MAX - low && addresses_any(addresses, n, low, low + size))
			return true;
	}
	return false;
}

void aranges_mark(const struct dwarf_file *d, const uint64_t *addresses, uint32_t n, bool *needed)
{
	struct cursor c = cursor_at(dwarf_span(d, DWARF_ARANGES), 0);

	while (!c.failed && cursor_room(&c) > 0) {
		const uint8_t *start = c.p;
		unsigned offset_size = 4, address_size;
		uint64_t length = cursor_u32(&c), offset;
		struct dwarf_unit *unit;
		struct cursor set;

		if (length == 0xffffffff) {
			offset_size = 8;
			length = cursor_u64(&c);
		}
		if (length > cursor_room(&c))
			return;
		set = (struct cursor){ .p = c.p, .end = c.p + length };
		c.p += length;
		cursor_skip(&set, 2); /* version */
		offset = cursor_number(&set, offset_size);
		address_size = cursor_u8(&set);
		cursor_skip(&set, 1); /* segment selectors */
		if (set.failed || (address_size != 4 && address_size != 8) || offset > UINT64_MAX - 64)
			continue;
		unit = dwarf_file_unit_from(d, offset);
		if (unit && !unit->has_ranges && set_covers(&set, start, address_size, addresses, n))
			needed[unit - d->units] = true;
	}
}
