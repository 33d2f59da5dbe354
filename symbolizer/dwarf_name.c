#include "symbolizer/dwarf_name.h"

#include <assert.h>

struct entry {
	uint64_t die; /* 0: free, no DIE starts a section */
	struct function_name name;
};

struct name_cache {
	struct entry *entries;
	uint32_t n, room; /* room is a power of two */
};

int name_cache_new(struct name_cache **ret)
{
	struct name_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->room = 1024;
	c->entries = calloc(c->room, sizeof(*c->entries));
	if (!c->entries) {
		free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

struct name_cache *name_cache_free(struct name_cache *c)
{
	if (!c)
		return NULL;
	free(c->entries);
	free(c);
	return NULL;
}

static struct entry *entry_find(struct entry *entries, uint32_t room, uint64_t die)
{
	uint32_t k = (uint32_t)((die * 0x9e3779b97f4a7c15ull) >> 32) & (room - 1);

	while (entries[k].die != 0 && entries[k].die != die)
		k = (k + 1) & (room - 1);
	return &entries[k];
}

/* Without memory for more the name is just not remembered. */
static void entry_put(struct name_cache *c, uint64_t die, struct function_name name)
{
	if (c->n * 4 >= c->room * 3) {
		struct entry *bigger = calloc((size_t)c->room * 2, sizeof(*bigger));

		if (!bigger)
			return;
		for (uint32_t i = 0; i < c->room; i++)
			if (c->entries[i].die != 0)
				*entry_find(bigger, c->room * 2, c->entries[i].die) = c->entries[i];
		free(c->entries);
		c->entries = bigger;
		c->room *= 2;
	}
	*entry_find(c->entries, c->room, die) = (struct entry){ die, name };
	c->n++;
}

static uint32_t text_of(const struct dwarf_file *d, const struct dwarf_unit *unit, const struct die *die,
        enum die_slot slot, struct symbol_writer *w)
{
	const struct form_value *v = die_get(die, slot);
	const char *s;
	size_t size;

	if (!v)
		return 0;
	s = form_string(d, unit, v, &size);
	return s ? symbol_writer_text(w, s, size) : 0;
}

/* Takes from the DIE what is not known yet. The offset of the DIE that it stands for, 0 for none. */
static uint64_t name_hop(const struct dwarf_file *d, uint64_t offset, struct symbol_writer *w,
        struct function_name *name, uint32_t *plain)
{
	const struct dwarf_unit *unit = dwarf_file_unit_at(d, offset);
	const struct form_value *v;
	uint64_t origin;
	struct die die;

	if (!unit || die_read_at(d, unit, offset, &die, NULL) < 0)
		return 0;
	if (name->system_name == 0)
		name->system_name = text_of(d, unit, &die, DIE_LINKAGE_NAME, w);
	if (*plain == 0)
		*plain = text_of(d, unit, &die, DIE_NAME, w);
	v = die_get(&die, DIE_DECL_LINE);
	if (name->start_line == 0 && v)
		name->start_line = form_u32(v);
	v = die_get(&die, DIE_ABSTRACT_ORIGIN);
	if (!v)
		v = die_get(&die, DIE_SPECIFICATION);
	return v && form_reference(d, unit, v, &origin) ? origin : 0;
}

static void name_finish(struct function_name *name, uint32_t plain, struct symbol_writer *w)
{
	if (name->system_name != 0) {
		name->name = symbol_writer_demangled(w, name->system_name);
		if (name->name == name->system_name && plain != 0)
			name->name = plain;
	} else {
		name->name = plain;
	}
}

struct function_name function_name_get(
        struct name_cache *c, const struct dwarf_file *d, uint64_t die, struct symbol_writer *w)
{
	struct function_name name = { 0 };
	uint32_t plain = 0;
	uint64_t origin = name_hop(d, die, w, &name, &plain), first = 0;

	if (name.system_name == 0 && plain == 0 && origin != 0) {
		struct entry *known = entry_find(c->entries, c->room, origin);

		if (known->die != 0)
			return known->name;
		first = origin;
	}
	for (unsigned hop = 0; origin != 0 && hop < NAME_HOPS_MAX; hop++) {
		if (name.system_name != 0 && name.start_line != 0)
			break;
		origin = name_hop(d, origin, w, &name, &plain);
	}
	name_finish(&name, plain, w);
	if (first != 0)
		entry_put(c, first, name);
	return name;
}
