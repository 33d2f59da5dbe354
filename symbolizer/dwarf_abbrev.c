#include "symbolizer/dwarf_abbrev.h"

#include <assert.h>
#include "symbolizer/dwarf_form.h"

#define CACHE_TABLES 64u

struct abbrev_cache {
	struct abbrev_table tables[CACHE_TABLES];
};

void abbrev_table_done(struct abbrev_table *t)
{
	free(t->entries);
	free(t->attributes);
	*t = (struct abbrev_table){ 0 };
}

int abbrev_cache_new(struct abbrev_cache **ret)
{
	struct abbrev_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*ret = c;
	return 0;
}

struct abbrev_cache *abbrev_cache_free(struct abbrev_cache *c)
{
	if (!c)
		return NULL;
	for (unsigned i = 0; i < CACHE_TABLES; i++)
		abbrev_table_done(&c->tables[i]);
	free(c);
	return NULL;
}

/* Room for one more element: 8 first, then twice as many at each power of two. */
static int grow(void **array, uint32_t n, uint32_t max, size_t element)
{
	void *bigger;

	if (n >= max)
		return -E2BIG;
	if (*array && (n < 8 || (n & (n - 1)) != 0))
		return 0;
	bigger = reallocarray(*array, MAX(n * 2, 8u), element);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

static int attributes_read(struct cursor *c, const struct dwarf_unit *unit, struct abbrev_table *t, struct abbrev *a)
{
	int64_t fixed = 0;

	for (;;) {
		uint64_t name = cursor_uleb(c), form = cursor_uleb(c);
		int64_t implicit = form == DW_FORM_implicit_const ? cursor_sleb(c) : 0;
		int size, r;

		if (c->failed)
			return -EBADMSG;
		if (name == 0 && form == 0)
			break;
		if (form > UINT16_MAX || a->n_attributes == UINT16_MAX)
			return -EBADMSG;
		r = grow((void **)&t->attributes, t->n_attributes, ABBREV_ATTRIBUTES_MAX, sizeof(*t->attributes));
		if (r < 0)
			return r;
		t->attributes[t->n_attributes++] = (struct abbrev_attribute){
			.name = name > UINT16_MAX ? 0 : (uint16_t)name, .form = (uint16_t)form, .implicit = implicit
		};
		a->n_attributes++;
		if (name == DW_AT_sibling && form == DW_FORM_ref4 && fixed >= 0 && fixed <= INT16_MAX)
			a->sibling_at = (int16_t)fixed;
		if (name == DW_AT_low_pc || name == DW_AT_high_pc || name == DW_AT_ranges)
			a->has_code = true;
		size = form_fixed_size(unit, (uint16_t)form);
		fixed = size < 0 || fixed < 0 ? -1 : fixed + size;
	}
	a->fixed_size = fixed > INT32_MAX ? -1 : (int32_t)fixed;
	return 0;
}

static int compare_codes(const void *a, const void *b)
{
	const struct abbrev *x = a, *y = b;

	return x->code < y->code ? -1 : x->code > y->code;
}

/* All entries, or the one with that code where only is not 0. */
static int table_read(const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t only, struct abbrev_table *t)
{
	struct cursor c = cursor_at(dwarf_span(d, DWARF_ABBREV), unit->abbrev);
	bool sorted = true;

	for (;;) {
		struct abbrev a = { .code = cursor_uleb(&c), .sibling_at = -1 };
		int r;

		if (c.failed)
			return -EBADMSG;
		if (a.code == 0)
			break;
		a.tag = (uint16_t)MIN(cursor_uleb(&c), (uint64_t)UINT16_MAX);
		a.has_children = cursor_u8(&c) != 0;
		a.first_attribute = t->n_attributes;
		r = attributes_read(&c, unit, t, &a);
		if (r < 0)
			return r;
		if (only && a.code != only) {
			t->n_attributes = 0;
			continue;
		}
		r = grow((void **)&t->entries, t->n_entries, ABBREV_ENTRIES_MAX, sizeof(*t->entries));
		if (r < 0)
			return r;
		if (t->n_entries > 0 && t->entries[t->n_entries - 1].code >= a.code)
			sorted = false;
		t->entries[t->n_entries++] = a;
		if (only)
			break;
	}
	if (!sorted)
		qsort(t->entries, t->n_entries, sizeof(*t->entries), compare_codes);
	return 0;
}

int abbrev_table_get(const struct dwarf_file *d, const struct dwarf_unit *unit, const struct abbrev_table **ret)
{
	uint64_t hash = (unit->abbrev * 0x9e3779b97f4a7c15ull) >> 58;
	struct abbrev_table *t = &d->abbrevs->tables[hash % CACHE_TABLES];
	int r;

	if (t->entries && t->offset == unit->abbrev && t->version == unit->version &&
	        t->address_size == unit->address_size && t->offset_size == unit->offset_size) {
		*ret = t;
		return 0;
	}
	abbrev_table_done(t);
	t->offset = unit->abbrev;
	t->version = unit->version;
	t->address_size = unit->address_size;
	t->offset_size = unit->offset_size;
	r = table_read(d, unit, 0, t);
	if (r < 0) {
		abbrev_table_done(t);
		return r;
	}
	*ret = t;
	return 0;
}

int abbrev_table_read_one(
        const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t code, struct abbrev_table *ret)
{
	struct abbrev_table t = { 0 };
	int r = table_read(d, unit, code, &t);

	if (r < 0) {
		abbrev_table_done(&t);
		return r;
	}
	*ret = t;
	return 0;
}
