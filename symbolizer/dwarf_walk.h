/* One pass over the DIEs of a unit: which function, and which calls inlined into it, cover each address. */
#pragma once
#include "symbolizer/dwarf_die.h"

#define WALK_DEPTH_MAX 512u
#define WALK_INLINE_DEPTH_MAX 128u
#define WALK_NODES_MAX (8u << 20)
#define WALK_NONE UINT32_MAX

struct walk_node {
	uint32_t parent; /* the caller it is inlined into; WALK_NONE for a function */
	uint32_t depth;
	uint64_t die;                               /* in .debug_info */
	uint32_t call_file, call_line, call_column; /* of an inlined call, in its caller */
};

struct walk {
	const struct dwarf_file *dwarf; /* borrowed, and so is: */
	const uint64_t *addresses;      /* sorted */
	uint32_t n_addresses;
	uint32_t *node_of; /* one an address: innermost node or WALK_NONE; the walk writes it */
	struct walk_node *nodes;
	uint32_t n_nodes, room_nodes;
	struct die_ranges ranges;
	uint64_t work; /* left: hostile ranges that overlap over and over end the walk */
};

/* Adds the nodes of unit that cover an address without one. is_thorough: also those that stand inside other functions
 * (lambdas, nested functions): nothing is jumped over. -ENOMEM; -E2BIG: a limit; -EBADMSG: damage, what was found
 * before it stays. */
int walk_unit(struct walk *w, const struct dwarf_unit *unit, bool is_thorough);
void walk_done(struct walk *w);
