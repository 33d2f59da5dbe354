/* Functions, inlined calls and lines of many addresses at once, from the units that cover them. */
#pragma once
#include "symbolizer/dwarf_file.h"
#include "symbolizer/symbol_writer.h"

#define DWARF_NONE UINT32_MAX

struct dwarf_place {                 /* of one address */
	uint32_t node;               /* innermost call or function; DWARF_NONE: not known */
	uint32_t file, line, column; /* file: a text of the writer; line 0: not known */
};

struct dwarf_node {
	uint32_t parent;                            /* the caller it is inlined into; DWARF_NONE for a function */
	uint32_t name, system_name, start_line;     /* as in struct function_name */
	uint32_t call_file, call_line, call_column; /* in the parent */
};

struct dwarf_places {
	struct dwarf_place *places; /* n of them, as the addresses */
	struct dwarf_node *nodes;
	uint32_t n_nodes;
};

/* addresses are n sorted virtual addresses of the file. Damaged units are left out: what is known of the others stays.
 * -ENOMEM; the writer's failures stay in the writer. */
int dwarf_lookup(struct dwarf_file *d, const uint64_t *addresses, uint32_t n, struct symbol_writer *w,
        struct dwarf_places **ret);
struct dwarf_places *dwarf_places_free(struct dwarf_places *p);
DEFINE_CLEANUP(struct dwarf_places *, dwarf_places_free)
