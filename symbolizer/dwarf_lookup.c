#include "symbolizer/dwarf_lookup.h"

#include <assert.h>
#include "symbolizer/addresses.h"
#include "symbolizer/dwarf_aranges.h"
#include "symbolizer/dwarf_line.h"
#include "symbolizer/dwarf_name.h"
#include "symbolizer/dwarf_walk.h"

/* Overlapping ranges may claim an address this often on average. */
#define WORK_PER_ADDRESS 256ull
#define WORK_AT_LEAST (1ull << 24)

/* Pages of .debug_info are given back after each unit and after that much of root DIEs; those of the other sections,
 * which units share, after four times as much. */
#define FORGET_BYTES (8ull << 20)

struct lookup {
	struct dwarf_file *dwarf;
	const uint64_t *addresses;
	uint32_t n;
	struct symbol_writer *writer;
	struct dwarf_places *places;
	struct walk walk;
	struct line_table lines;
	struct line_matches matches;
	struct name_cache *names;
	bool *needed;         /* one a unit */
	uint32_t *node_of;    /* one an address */
	uint32_t *file_texts; /* of the current unit: one a file of its line table, 0: not asked for yet */
	uint32_t room_file_texts, room_nodes;
	uint64_t read_bytes; /* of units, since pages were given back */
};

static void lookup_done(struct lookup *l)
{
	walk_done(&l->walk);
	line_table_done(&l->lines);
	free(l->matches.matches);
	free(l->matches.order);
	name_cache_free(l->names);
	free(l->needed);
	free(l->node_of);
	free(l->file_texts);
}

static int lookup_allocate(struct lookup *l)
{
	l->needed = calloc(l->dwarf->n_units, sizeof(*l->needed));
	l->node_of = malloc(l->n * sizeof(*l->node_of));
	l->matches.matches = calloc(l->n, sizeof(*l->matches.matches));
	l->matches.order = malloc(l->n * sizeof(*l->matches.order));
	l->places = calloc(1, sizeof(*l->places));
	if (!l->needed || !l->node_of || !l->matches.matches || !l->matches.order || !l->places)
		return -ENOMEM;
	l->places->places = calloc(l->n, sizeof(*l->places->places));
	if (!l->places->places)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->n; i++) {
		l->node_of[i] = WALK_NONE;
		l->places->places[i].node = DWARF_NONE;
	}
	l->walk = (struct walk){ .dwarf = l->dwarf,
		.addresses = l->addresses,
		.n_addresses = l->n,
		.node_of = l->node_of,
		.work = WORK_AT_LEAST + l->n * WORK_PER_ADDRESS };
	return name_cache_new(&l->names);
}

/* Reads every root DIE, because a name may stand in any unit, and marks the units that cover an address. */
static int units_choose(struct lookup *l)
{
	bool incomplete = false;
	uint64_t forgotten = 0;

	for (uint32_t i = 0; i < l->dwarf->n_units; i++) {
		struct dwarf_unit *unit = &l->dwarf->units[i];
		struct die root;
		int r;

		if (unit->end - forgotten > FORGET_BYTES) { /* each root brings its neighbourhood into memory */
			section_forget(&l->dwarf->sections[DWARF_INFO], forgotten, unit->offset - forgotten);
			forgotten = unit->offset;
		}
		if (unit->type == DW_UT_type || unit->type == DW_UT_split_type)
			continue;
		r = die_read_root(l->dwarf, unit, &root);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			continue;
		if (!unit->has_ranges) {
			incomplete = incomplete || die_get(&root, DIE_STMT_LIST);
			continue;
		}
		r = die_ranges_read(l->dwarf, unit, &root, &l->walk.ranges);
		if (r < 0)
			return r;
		for (uint32_t k = 0; k < l->walk.ranges.n && !l->needed[i]; k++)
			l->needed[i] = addresses_any(
			        l->addresses, l->n, l->walk.ranges.ranges[k].low, l->walk.ranges.ranges[k].high);
	}
	if (incomplete)
		aranges_mark(l->dwarf, l->addresses, l->n, l->needed);
	return 0;
}

static uint32_t file_text(struct lookup *l, uint32_t index)
{
	char path[LINE_PATH_MAX];
	size_t size;

	if (index >= l->lines.n_files)
		return 0;
	if (l->file_texts[index] == 0) {
		size = line_table_path(&l->lines, index, path);
		l->file_texts[index] = size ? symbol_writer_text(l->writer, path, size) : UINT32_MAX;
	}
	return l->file_texts[index] == UINT32_MAX ? 0 : l->file_texts[index];
}

static int file_texts_clear(struct lookup *l)
{
	if (l->lines.n_files > l->room_file_texts) {
		uint32_t *bigger = reallocarray(l->file_texts, l->lines.room_files, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		l->file_texts = bigger;
		l->room_file_texts = l->lines.room_files;
	}
	if (l->lines.n_files > 0)
		memset(l->file_texts, 0, l->lines.n_files * sizeof(*l->file_texts));
	return 0;
}

static int unit_lines(struct lookup *l, const struct dwarf_unit *unit, const struct die *root)
{
	const struct form_value *list = die_get(root, DIE_STMT_LIST), *comp_dir = die_get(root, DIE_COMP_DIR);
	struct span directory = { 0 };
	uint32_t before = l->matches.n_found;
	int r;

	l->lines.n_files = 0;
	if (!list)
		return 0;
	if (comp_dir)
		directory.data = (const uint8_t *)form_string(l->dwarf, unit, comp_dir, &directory.size);
	r = line_table_open(l->dwarf, unit, list->number, directory, &l->lines);
	if (r == -ENOMEM)
		return r;
	if (r >= 0)
		line_table_run(&l->lines, l->addresses, l->n, &l->matches);
	else
		l->lines.n_files = 0;
	r = file_texts_clear(l);
	if (r < 0)
		return r;
	for (uint32_t i = before; i < l->matches.n_found; i++) {
		uint32_t k = l->matches.order[i];
		const struct line_match *m = &l->matches.matches[k];
		struct dwarf_place *place = &l->places->places[k];

		place->file = file_text(l, m->file);
		place->line = m->line;
		place->column = m->column;
	}
	return 0;
}

/* The nodes that the walk added since, with their names. */
static int unit_nodes(struct lookup *l)
{
	struct dwarf_places *p = l->places;

	if (l->walk.n_nodes > l->room_nodes) {
		struct dwarf_node *bigger = reallocarray(p->nodes, l->walk.room_nodes, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		p->nodes = bigger;
		l->room_nodes = l->walk.room_nodes;
	}
	for (; p->n_nodes < l->walk.n_nodes; p->n_nodes++) {
		const struct walk_node *from = &l->walk.nodes[p->n_nodes];
		struct function_name name = function_name_get(l->names, l->dwarf, from->die, l->writer);

		p->nodes[p->n_nodes] = (struct dwarf_node){ .parent = from->parent,
			.name = name.name,
			.system_name = name.system_name,
			.start_line = name.start_line,
			.call_file = from->parent == WALK_NONE ? 0 : file_text(l, from->call_file),
			.call_line = from->call_line,
			.call_column = from->call_column };
	}
	return 0;
}

/* Whether an address of the unit is still without a function. */
static int unit_is_incomplete(struct lookup *l, const struct dwarf_unit *unit, const struct die *root)
{
	int r = die_ranges_read(l->dwarf, unit, root, &l->walk.ranges);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < l->walk.ranges.n; i++) {
		const struct die_range *range = &l->walk.ranges.ranges[i];

		for (uint32_t k = addresses_from(l->addresses, l->n, range->low);
		        k < l->n && l->addresses[k] < range->high; k++)
			if (l->node_of[k] == WALK_NONE)
				return 1;
	}
	return 0;
}

static int unit_lookup(struct lookup *l, struct dwarf_unit *unit)
{
	struct die root;
	int r;

	r = die_read_root(l->dwarf, unit, &root);
	if (r < 0)
		return r;
	r = unit_lines(l, unit, &root);
	if (r < 0)
		return r;
	r = walk_unit(&l->walk, unit, false);
	if (r == -ENOMEM)
		return r;
	if (unit_is_incomplete(l, unit, &root) > 0) {
		r = walk_unit(&l->walk, unit, true);
		if (r == -ENOMEM)
			return r;
	}
	r = unit_nodes(l);
	section_forget(&l->dwarf->sections[DWARF_INFO], unit->offset, unit->end - unit->offset);
	l->read_bytes += unit->end - unit->offset;
	if (l->read_bytes > 4 * FORGET_BYTES) {
		for (int i = 0; i < DWARF_SECTIONS; i++)
			section_forget(&l->dwarf->sections[i], 0, dwarf_span(l->dwarf, i).size);
		l->read_bytes = 0;
	}
	return r;
}

int dwarf_lookup(
        struct dwarf_file *d, const uint64_t *addresses, uint32_t n, struct symbol_writer *w, struct dwarf_places **ret)
{
	_cleanup_(lookup_done) struct lookup l = { .dwarf = d, .addresses = addresses, .n = n, .writer = w };
	_cleanup_(dwarf_places_freep) struct dwarf_places *places = NULL;
	int r;

	assert(d);
	assert(n > 0);
	assert(ret);

	r = lookup_allocate(&l);
	places = l.places;
	if (r < 0)
		return r;
	r = units_choose(&l);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < d->n_units; i++) {
		r = l.needed[i] ? unit_lookup(&l, &d->units[i]) : 0;
		if (r == -ENOMEM)
			return r;
	}
	for (uint32_t i = 0; i < n; i++)
		if (l.node_of[i] < places->n_nodes)
			places->places[i].node = l.node_of[i];
	*ret = TAKE_PTR(places);
	return 0;
}

struct dwarf_places *dwarf_places_free(struct dwarf_places *p)
{
	if (!p)
		return NULL;
	free(p->places);
	free(p->nodes);
	free(p);
	return NULL;
}
