/* Abbreviation tables of .debug_abbrev: what the DIEs of a unit look like. Few tables are kept, since neighbouring
 * units share one or each has its own. */
#pragma once
#include "symbolizer/dwarf_file.h"

#define ABBREV_ENTRIES_MAX (1u << 16)
#define ABBREV_ATTRIBUTES_MAX (1u << 18) /* of one table */

struct abbrev_attribute {
	uint16_t name, form;
	int64_t implicit; /* the value, for DW_FORM_implicit_const */
};

struct abbrev {
	uint64_t code;
	uint32_t first_attribute;
	uint16_t n_attributes, tag;
	int32_t fixed_size;          /* bytes of its attributes, -1 where that varies */
	bool has_children, has_code; /* has_code: it may say which code it covers */
	int16_t sibling_at;          /* offset of a DW_FORM_ref4 sibling behind attributes of fixed size, -1 for none */
};

struct abbrev_table {
	uint64_t offset; /* in .debug_abbrev; with the three below the key of the cache */
	uint8_t version, address_size, offset_size;
	uint32_t n_entries, n_attributes;
	struct abbrev *entries; /* sorted by code */
	struct abbrev_attribute *attributes;
};

struct abbrev_cache;

int abbrev_cache_new(struct abbrev_cache **ret);
struct abbrev_cache *abbrev_cache_free(struct abbrev_cache *c);

/* The unit's table; it stays valid until the next call for another unit. -EBADMSG, -E2BIG, -ENOMEM. */
int abbrev_table_get(const struct dwarf_file *d, const struct dwarf_unit *unit, const struct abbrev_table **ret);

/* One entry without the rest of its table, for root DIEs: a table of one that abbrev_table_done() frees. */
int abbrev_table_read_one(
        const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t code, struct abbrev_table *ret);
void abbrev_table_done(struct abbrev_table *t);

static inline const struct abbrev *abbrev_find(const struct abbrev_table *t, uint64_t code)
{
	uint32_t low = 0, high = t->n_entries;

	if (code - 1 < t->n_entries && t->entries[code - 1].code == code) /* the usual: 1, 2, 3, ... */
		return &t->entries[code - 1];
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (t->entries[mid].code < code)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->n_entries && t->entries[low].code == code ? &t->entries[low] : NULL;
}
