#include "profile/sum.h"
#include "profile/tree.h"

#include <stdbool.h>
#include <string.h>

#include "base/intern.h"
#include "profile/drop_frames.h"

#define FRAMES_MAX (1u << 20)
#define FRAME_BYTES_MAX ((size_t)256 << 20)
#define GROUP_NAME_MAX 256

struct tree {
	struct intern *frame_keys; /* kind, name, NUL -> frame */
	struct tree_frame *frames;
	size_t frames_room, kept;
	struct intern *node_keys; /* parent, frame -> node - 1 */
	struct tree_node *nodes;
	size_t n_nodes, nodes_room;
	uint32_t depth, truncated_frame;
};

/* The frames of one profile's locations, so that no name is hashed twice. */
struct frame_map {
	uint32_t *first; /* of each location, in frames; n_locations + 1 of them */
	uint32_t *frames;
	struct drop_frames dropped;
};

static void frame_map_done(struct frame_map *m)
{
	free(m->first);
	free(m->frames);
	drop_frames_done(&m->dropped);
}

int tree_new(struct tree **ret)
{
	_cleanup_(tree_freep) struct tree *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->truncated_frame = TREE_NONE;
	r = intern_new(FRAMES_MAX, FRAME_BYTES_MAX, &t->frame_keys);
	if (r < 0)
		return r;
	r = intern_new(TREE_NODES_MAX, (size_t)TREE_NODES_MAX * 8, &t->node_keys);
	if (r < 0)
		return r;
	t->nodes_room = 256;
	t->nodes = calloc(t->nodes_room, sizeof(*t->nodes));
	if (!t->nodes)
		return -ENOMEM;
	t->n_nodes = 1;
	t->nodes[0] = (struct tree_node){
		.frame = TREE_NONE, .parent = TREE_NONE, .first_child = TREE_NONE, .next_sibling = TREE_NONE
	};
	*ret = TAKE_PTR(t);
	return 0;
}

static void free_frames(struct tree *t)
{
	for (uint32_t i = 0; t->frame_keys && i < intern_count(t->frame_keys); i++) {
		free((char *)t->frames[i].file);
		free((char *)t->frames[i].mapping);
	}
	free(t->frames);
}

struct tree *tree_free(struct tree *t)
{
	if (!t)
		return NULL;
	free_frames(t);
	if (t->frame_keys)
		intern_free(t->frame_keys);
	if (t->node_keys)
		intern_free(t->node_keys);
	free(t->nodes);
	free(t);
	return NULL;
}

static int frames_reserve(struct tree *t)
{
	size_t n = intern_count(t->frame_keys), room = MAX(t->frames_room * 2, (size_t)64);
	struct tree_frame *grown;

	if (n < t->frames_room)
		return 0;
	grown = reallocarray(t->frames, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	t->frames = grown;
	t->frames_room = room;
	return 0;
}

static int add_frame(struct tree *t, const struct frame *f, uint32_t *ret)
{
	_cleanup_free_ char *key = calloc(1, f->name_size + 2), *file = NULL, *mapping = NULL;
	const char *kept;
	uint32_t id;
	int r;

	if (!key)
		return -ENOMEM;
	key[0] = (char)f->kind;
	memcpy(key + 1, f->name, f->name_size);
	r = intern_find(t->frame_keys, key, f->name_size + 2, ret);
	if (r != -ENOENT)
		return r;
	r = frame_keep(f->file, f->mapping, &t->kept, &file, &mapping);
	if (r >= 0)
		r = frames_reserve(t);
	if (r < 0)
		return r;
	r = intern_put(t->frame_keys, key, f->name_size + 2, &id);
	if (r < 0)
		return r;
	kept = intern_get(t->frame_keys, id, NULL);
	t->frames[id] = (struct tree_frame){ .name = kept + 1,
		.name_size = f->name_size,
		.file = TAKE_PTR(file),
		.mapping = TAKE_PTR(mapping),
		.line = f->line,
		.kind = f->kind };
	*ret = id;
	return 0;
}

/* TREE_NONE where the frame is hidden. */
static int add_shown_frame(struct tree *t, const struct frame *f, const regex_t *hide, uint32_t *ret)
{
	if (hide && regexec(hide, f->name, 0, NULL, 0) == 0) {
		*ret = TREE_NONE;
		return 0;
	}
	return add_frame(t, f, ret);
}

static int map_frames(struct tree *t, const struct profile *p, const regex_t *hide, struct frame_map *ret)
{
	uint32_t n = profile_n_locations(p), at = 0;
	size_t total = 0;

	for (uint32_t i = 0; i < n; i++)
		total += frame_count(p, i);
	if (total >= UINT32_MAX)
		return -ENOSPC;
	ret->first = calloc((size_t)n + 1, sizeof(*ret->first));
	ret->frames = calloc(total + 1, sizeof(*ret->frames));
	if (!ret->first || !ret->frames)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t lines = frame_count(p, i);

		ret->first[i] = at;
		/* Outermost first: the order in which a tree goes down. */
		for (uint32_t line = lines; line-- > 0;) {
			struct frame f;
			int r;

			frame_get(p, i, line, &f);
			r = add_shown_frame(t, &f, hide, &ret->frames[at++]);
			if (r < 0)
				return r;
		}
	}
	ret->first[n] = at;
	return drop_frames_find(p, &ret->dropped);
}

static int nodes_reserve(struct tree *t)
{
	size_t room = t->nodes_room * 2;
	struct tree_node *grown;

	if (t->n_nodes < t->nodes_room)
		return 0;
	grown = reallocarray(t->nodes, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	t->nodes = grown;
	t->nodes_room = room;
	return 0;
}

static int add_child(struct tree *t, uint32_t parent, uint32_t frame, uint32_t nodes_max, uint32_t *ret)
{
	const uint32_t key[2] = { parent, frame };
	uint32_t id;
	int r;

	r = intern_find(t->node_keys, key, sizeof(key), &id);
	if (r != -ENOENT) {
		*ret = id + 1;
		return r;
	}
	if (t->n_nodes >= nodes_max)
		return -ENOSPC;
	r = nodes_reserve(t);
	if (r < 0)
		return r;
	r = intern_put(t->node_keys, key, sizeof(key), &id);
	if (r < 0)
		return r;
	t->nodes[t->n_nodes] = (struct tree_node){ .frame = frame,
		.parent = parent,
		.first_child = TREE_NONE,
		.next_sibling = TREE_NONE,
		.depth = t->nodes[parent].depth + 1 };
	t->depth = MAX(t->depth, t->nodes[t->n_nodes].depth);
	*ret = (uint32_t)t->n_nodes++;
	return 0;
}

static int truncated_frame(struct tree *t, uint32_t *ret)
{
	static const char name[] = "[truncated: picture depth]";
	const struct frame f = {
		.name = name, .name_size = sizeof(name) - 1, .file = "", .mapping = "", .kind = FRAME_TRUNCATED
	};
	int r;

	if (t->truncated_frame == TREE_NONE) {
		r = add_frame(t, &f, &t->truncated_frame);
		if (r < 0)
			return r;
	}
	*ret = t->truncated_frame;
	return 0;
}

/* The node of the sample's label, below the root; the root where the sample lacks it. */
static int add_group(struct tree *t, const struct profile *p, uint32_t label_set, const struct tree_options *o,
        uint32_t nodes_max, uint32_t *ret)
{
	size_t n;
	const struct profile_label *labels = profile_label_set(p, label_set, &n);

	*ret = 0;
	for (size_t i = 0; o->group_by && i < n; i++) {
		struct frame f = { .file = "", .mapping = "", .kind = FRAME_GROUP };
		uint32_t frame;
		int r;

		if (strcmp(profile_string(p, labels[i].key, NULL), o->group_by) != 0)
			continue;
		f.name = f.made;
		if (labels[i].unit == PROFILE_NONE)
			f.name = profile_string(p, (uint32_t)labels[i].value, &f.name_size);
		else
			f.name_size = (size_t)snprintf(f.made, sizeof(f.made), "%lld", (long long)labels[i].value);
		if (f.name_size == 0)
			return 0;
		r = add_frame(t, &f, &frame);
		if (r < 0)
			return r;
		return add_child(t, 0, frame, nodes_max, ret);
	}
	return 0;
}

static int add_stack(struct tree *t, const struct profile *p, uint32_t stack, const struct frame_map *map,
        uint32_t nodes_max, uint32_t *node)
{
	size_t n;
	const uint32_t *locations = profile_stack(p, stack, &n);
	const size_t dropped = drop_frames_of_stack(&map->dropped, locations, n);
	int r;

	while (n-- > dropped)
		for (uint32_t i = map->first[locations[n]]; i < map->first[locations[n] + 1]; i++) {
			uint32_t frame = map->frames[i];
			bool is_last = t->nodes[*node].depth + 1 >= TREE_DEPTH_MAX;

			/* A run of frames without names in one library says no more than one of them. */
			if (frame == TREE_NONE ||
			        (frame == t->nodes[*node].frame && t->frames[frame].kind == FRAME_UNKNOWN))
				continue;
			if (is_last) {
				r = truncated_frame(t, &frame);
				if (r < 0)
					return r;
			}
			r = add_child(t, *node, frame, nodes_max, node);
			if (r < 0 || is_last)
				return r;
		}
	return 0;
}

uint32_t tree_count_index(const struct profile *p, uint32_t value_index)
{
	const struct profile_header *h = profile_header_const(p);
	uint32_t found = PROFILE_NONE;

	for (uint32_t i = 0; i < h->n_sample_types && (i <= value_index || found == PROFILE_NONE); i++)
		if (strcmp(profile_string(p, h->sample_types[i].unit, NULL), "count") == 0)
			found = i;
	return found;
}

const char *tree_count_noun(const struct profile *p, uint32_t value_index)
{
	uint32_t index = tree_count_index(p, value_index);
	const char *type, *word;
	size_t n;

	if (index == PROFILE_NONE)
		return "samples";
	type = profile_string(p, profile_header_const(p)->sample_types[index].type, NULL);
	word = strrchr(type, '_');
	word = word ? word + 1 : type;
	n = strspn(word, "abcdefghijklmnopqrstuvwxyz");
	return n < 2 || n > TREE_NOUN_MAX || word[n] || word[n - 1] != 's' ? "samples" : word;
}

int tree_noun_bytes(const char *noun, int64_t n)
{
	return (int)strlen(noun) - (n == 1);
}

static void tree_value_add(struct tree_value *to, const struct tree_value *v)
{
	to->value = sum_saturating(to->value, v->value);
	to->count = sum_saturating(to->count, v->count);
}

int tree_add(struct tree *t, unsigned side, const struct profile *p, const struct tree_options *o)
{
	_cleanup_(frame_map_done) struct frame_map map = { 0 };
	uint32_t nodes_max = o->nodes_max ? MIN(o->nodes_max, TREE_NODES_MAX) : TREE_NODES_MAX;
	uint32_t count_index = tree_count_index(p, o->value_index);
	int r;

	if (o->value_index >= profile_header_const(p)->n_sample_types || side >= TREE_SIDES)
		return -EINVAL;
	r = map_frames(t, p, o->hide, &map);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < profile_n_samples(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		const int64_t *values = profile_values_const(p, i);
		struct tree_value v = { .value = values[o->value_index],
			.count = count_index == PROFILE_NONE ? 1 : values[count_index] };
		uint32_t node;

		if (v.value == 0)
			continue;
		r = add_group(t, p, s->labels, o, nodes_max, &node);
		if (r < 0)
			return r;
		r = add_stack(t, p, s->stack, &map, nodes_max, &node);
		if (r < 0)
			return r;
		tree_value_add(&t->nodes[node].self[side], &v);
	}
	return 0;
}

static int compare_names(const struct tree *t, uint32_t a, uint32_t b)
{
	const struct tree_frame *x = &t->frames[t->nodes[a].frame], *y = &t->frames[t->nodes[b].frame];
	int order = memcmp(x->name, y->name, MIN(x->name_size, y->name_size));

	if (order != 0)
		return order;
	if (x->name_size != y->name_size)
		return x->name_size < y->name_size ? -1 : 1;
	return x->kind < y->kind ? -1 : x->kind > y->kind;
}

/* Merges two sorted lists of siblings. */
static uint32_t merge_siblings(struct tree *t, uint32_t a, uint32_t b)
{
	uint32_t first = TREE_NONE, *at = &first;

	while (a != TREE_NONE && b != TREE_NONE) {
		uint32_t *less = compare_names(t, a, b) <= 0 ? &a : &b;

		*at = *less;
		at = &t->nodes[*less].next_sibling;
		*less = t->nodes[*less].next_sibling;
	}
	*at = a != TREE_NONE ? a : b;
	return first;
}

/* Bottom-up merge sort of a list of siblings: slots[i] holds a sorted list of 2^i of them. */
static uint32_t sort_siblings(struct tree *t, uint32_t list)
{
	uint32_t slots[32];
	uint32_t sorted = TREE_NONE;

	memset(slots, 0xff, sizeof(slots));
	while (list != TREE_NONE) {
		uint32_t one = list;
		size_t i = 0;

		list = t->nodes[list].next_sibling;
		t->nodes[one].next_sibling = TREE_NONE;
		for (; slots[i] != TREE_NONE; i++) {
			one = merge_siblings(t, slots[i], one);
			slots[i] = TREE_NONE;
		}
		slots[i] = one;
	}
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
		sorted = merge_siblings(t, slots[i], sorted);
	return sorted;
}

void tree_finish(struct tree *t)
{
	for (size_t i = 0; i < t->n_nodes; i++) {
		struct tree_node *n = &t->nodes[i];

		memcpy(n->total, n->self, sizeof(n->total));
		n->first_child = TREE_NONE;
	}
	/* A child's index is above its parent's: one pass from the end adds all up. */
	for (size_t i = t->n_nodes; i-- > 1;) {
		struct tree_node *n = &t->nodes[i], *parent = &t->nodes[n->parent];

		for (unsigned side = 0; side < TREE_SIDES; side++)
			tree_value_add(&parent->total[side], &n->total[side]);
		n->next_sibling = parent->first_child;
		parent->first_child = (uint32_t)i;
	}
	for (size_t i = 0; i < t->n_nodes; i++)
		t->nodes[i].first_child = sort_siblings(t, t->nodes[i].first_child);
}

uint32_t tree_n_nodes(const struct tree *t)
{
	return (uint32_t)t->n_nodes;
}

uint32_t tree_n_frames(const struct tree *t)
{
	return intern_count(t->frame_keys);
}

uint32_t tree_depth(const struct tree *t)
{
	return t->depth;
}

const struct tree_node *tree_node(const struct tree *t, uint32_t i)
{
	return &t->nodes[i];
}

const struct tree_frame *tree_frame(const struct tree *t, uint32_t i)
{
	return &t->frames[i];
}
