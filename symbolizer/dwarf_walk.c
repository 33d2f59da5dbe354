#include "symbolizer/dwarf_walk.h"

#include <assert.h>
#include "symbolizer/addresses.h"

struct scope {
	uint32_t node;
	bool is_active; /* node covers an address */
};

struct position {
	const struct dwarf_unit *unit;
	const struct abbrev_table *table;
	struct cursor cursor;
	uint64_t die; /* offset of the current DIE */
	uint32_t depth;
	bool is_thorough;
	struct scope scopes[WALK_DEPTH_MAX];
};

static int node_add(struct walk *w, const struct walk_node *node)
{
	if (w->n_nodes == w->room_nodes) {
		uint32_t room = w->room_nodes ? w->room_nodes * 2 : 256;
		struct walk_node *bigger;

		if (room > WALK_NODES_MAX)
			return -E2BIG;
		bigger = reallocarray(w->nodes, room, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		w->nodes = bigger;
		w->room_nodes = room;
	}
	w->nodes[w->n_nodes++] = *node;
	return 0;
}

/* Gives the DIE's addresses to a new node where parent has them now. 1 where there was one. */
static int cover(struct walk *w, const struct position *at, const struct die *die, uint32_t parent)
{
	struct walk_node node = { .parent = parent, .die = at->die };
	bool is_new = true;
	int r;

	r = die_ranges_read(w->dwarf, at->unit, die, &w->ranges);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < w->ranges.n; i++) {
		const struct die_range *range = &w->ranges.ranges[i];

		for (uint32_t k = addresses_from(w->addresses, w->n_addresses, range->low);
		        k < w->n_addresses && w->addresses[k] < range->high; k++) {
			if (w->work-- == 0)
				return -E2BIG;
			if (w->node_of[k] != parent)
				continue;
			if (is_new) {
				const struct form_value *v = die_get(die, DIE_CALL_FILE);

				node.call_file = v ? form_u32(v) : 0;
				v = die_get(die, DIE_CALL_LINE);
				node.call_line = v ? form_u32(v) : 0;
				v = die_get(die, DIE_CALL_COLUMN);
				node.call_column = v ? form_u32(v) : 0;
				node.depth = parent == WALK_NONE ? 0 : w->nodes[parent].depth + 1;
				r = node_add(w, &node);
				if (r < 0)
					return r;
				is_new = false;
			}
			w->node_of[k] = w->n_nodes - 1;
		}
	}
	return is_new ? 0 : 1;
}

/* Goes past the attributes and children of the DIE whose attributes start at attributes, where the DIE says how. */
static bool jump(struct position *at, const struct abbrev *a, const uint8_t *attributes)
{
	const uint8_t *start = at->cursor.end - at->unit->end; /* of the section */
	struct cursor c = at->cursor;
	uint64_t offset;

	if (a->sibling_at < 0 || !a->has_children)
		return false;
	c.p = attributes;
	cursor_skip(&c, (uint64_t)a->sibling_at);
	offset = at->unit->offset + cursor_u32(&c);
	if (c.failed || offset >= at->unit->end || start + offset <= at->cursor.p)
		return false;
	at->cursor.p = start + offset;
	return true;
}

/* Children of these, and of functions without code, have no code of their own as a rule; is_thorough is for the rest.
 */
static bool may_be_jumped_over(const struct position *at, const struct abbrev *a)
{
	switch (at->is_thorough ? 0 : a->tag) {
	case DW_TAG_subprogram:
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_subroutine_type:
	case DW_TAG_array_type:
		return true;
	default:
		return false;
	}
}

/* Reads the attributes of the current DIE; *ret is the scope of its children. 1 where its children were jumped over. */
static int enter(
        struct walk *w, struct position *at, const struct abbrev *a, const struct scope *outer, struct scope *ret)
{
	bool is_function = a->tag == DW_TAG_subprogram;
	const uint8_t *attributes = at->cursor.p;
	uint32_t parent = is_function ? WALK_NONE : outer->node;
	struct die die;
	int r = 0;

	*ret = *outer;
	if (is_function)
		*ret = (struct scope){ .node = WALK_NONE };
	if (!a->has_code || !(is_function || (a->tag == DW_TAG_inlined_subroutine && outer->is_active))) {
		if (may_be_jumped_over(at, a) && jump(at, a, attributes))
			return 1;
		die_skip(&at->cursor, at->unit, at->table, a);
		return 0;
	}
	die_read(&at->cursor, at->unit, at->table, a, &die);
	if (at->cursor.failed)
		return -EBADMSG;
	if (parent == WALK_NONE || w->nodes[parent].depth < WALK_INLINE_DEPTH_MAX)
		r = cover(w, at, &die, parent);
	if (r < 0)
		return r;
	*ret = (struct scope){ .node = w->n_nodes - 1, .is_active = r > 0 };
	return r == 0 && (!is_function || !at->is_thorough) ? jump(at, a, attributes) : 0;
}

int walk_unit(struct walk *w, const struct dwarf_unit *unit, bool is_thorough)
{
	struct span info = dwarf_span(w->dwarf, DWARF_INFO);
	struct position at = { .unit = unit, .is_thorough = is_thorough };
	int r;

	r = abbrev_table_get(w->dwarf, unit, &at.table);
	if (r < 0)
		return r;
	at.cursor = cursor_at((struct span){ info.data, unit->end }, unit->die);
	at.scopes[0] = (struct scope){ .node = WALK_NONE };
	while (at.cursor.p < at.cursor.end) {
		const struct abbrev *a;
		uint64_t code;

		at.die = (uint64_t)(at.cursor.p - info.data);
		code = cursor_uleb(&at.cursor);
		if (code == 0) {
			if (at.depth <= 1)
				break;
			at.depth--;
			continue;
		}
		a = abbrev_find(at.table, code);
		if (!a)
			return -EBADMSG;
		if (at.depth + 1 >= WALK_DEPTH_MAX)
			return -E2BIG;
		r = enter(w, &at, a, &at.scopes[at.depth], &at.scopes[at.depth + 1]);
		if (r < 0)
			return r;
		if (at.cursor.failed)
			return -EBADMSG;
		if (a->has_children && r == 0)
			at.depth++;
		else if (at.depth == 0)
			break; /* a root without children */
	}
	return 0;
}

void walk_done(struct walk *w)
{
	free(w->nodes);
	die_ranges_done(&w->ranges);
	w->nodes = NULL;
	w->n_nodes = w->room_nodes = 0;
}
