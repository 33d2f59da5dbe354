/* The names of functions: a concrete DIE's own linkage name, else that of the abstract or declared function that it
 * stands for, else the plain name. */
#pragma once
#include "symbolizer/dwarf_die.h"
#include "symbolizer/symbol_writer.h"

#define NAME_HOPS_MAX 16u

struct function_name {
	uint32_t system_name; /* the linkage name, 0 where there is none; both are texts of the writer */
	uint32_t name;        /* 0: not known */
	uint32_t start_line;
};

struct name_cache;

int name_cache_new(struct name_cache **ret);
struct name_cache *name_cache_free(struct name_cache *c);
DEFINE_CLEANUP(struct name_cache *, name_cache_free)

/* die: offset in .debug_info of a DW_TAG_subprogram or DW_TAG_inlined_subroutine. Damage gives an unknown name. */
struct function_name function_name_get(
        struct name_cache *c, const struct dwarf_file *d, uint64_t die, struct symbol_writer *w);
