/* Call tree of one or two profiles for one value: root first, equal callers folded together, inlined lines as frames of
 * their own. Pictures are drawn from it. A second profile (side 1) makes it a tree of differences: each node then has
 * the values of both.
 *
 * Nodes are known by an index; node 0 is the root and stands for everything. Children are sorted by name, so that the
 * same program looks the same twice. */
#pragma once
#include <regex.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/frame.h"
#include "profile/profile.h"

struct tree;

#define TREE_NONE UINT32_MAX
#define TREE_NODES_MAX (2u << 20)
#define TREE_DEPTH_MAX 2048 /* frames; what lies deeper is one frame "[truncated: picture depth]" */
#define TREE_SIDES 2

struct tree_options {
	uint32_t value_index;
	/* Frames whose name matches are left out; their values stay with their callers. NULL: none. */
	const regex_t *hide;
	/* A label whose value becomes the first frame of each stack ("comm"); samples without it have no such frame.
	 * NULL: none. */
	const char *group_by;
	uint32_t nodes_max; /* 0: TREE_NODES_MAX */
};

struct tree_frame {
	const char *name;
	size_t name_size;
	const char *file, *mapping; /* of the first place where it was seen; "" where not known */
	int64_t line;
	enum frame_kind kind;
};

struct tree_value {
	int64_t value; /* in the unit of the value asked for */
	int64_t count; /* of samples: the first sample type with the unit "count", else rows */
};

struct tree_node {
	uint32_t frame;                             /* TREE_NONE for the root */
	uint32_t parent, first_child, next_sibling; /* TREE_NONE for none */
	uint32_t depth;                             /* of the root: 0 */
	struct tree_value self[TREE_SIDES], total[TREE_SIDES];
};

int tree_new(struct tree **ret);
struct tree *tree_free(struct tree *t);
DEFINE_CLEANUP(struct tree *, tree_free)

/* Adds a profile to a side (0 or 1). May be called again with more profiles. -ENOSPC: over nodes_max; -ENOMEM; -EINVAL:
 * no such value index. After a failure the tree is only good for freeing. */
int tree_add(struct tree *t, unsigned side, const struct profile *p, const struct tree_options *options);
/* After the last tree_add(): totals and the order of children. */
void tree_finish(struct tree *t);

uint32_t tree_n_nodes(const struct tree *t);
uint32_t tree_n_frames(const struct tree *t);
uint32_t tree_depth(const struct tree *t); /* of the deepest node */
const struct tree_node *tree_node(const struct tree *t, uint32_t i);
const struct tree_frame *tree_frame(const struct tree *t, uint32_t i);

/* Which sample type counts what a value is the sum of: the last one with the unit "count" up to it, else the first
 * after it (inuse_objects for inuse_space); PROFILE_NONE where there is none. */
uint32_t tree_count_index(const struct profile *p, uint32_t value_index);
/* What that one counts, in the plural, by the last word of its name: "samples", "objects", "faults". */
#define TREE_NOUN_MAX 24
const char *tree_count_noun(const struct profile *p, uint32_t value_index);
/* So many bytes of a noun in the plural are right for n: "1 object". */
int tree_noun_bytes(const char *noun, int64_t n);
