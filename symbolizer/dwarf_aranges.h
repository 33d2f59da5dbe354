/* .debug_aranges, for units whose root DIE does not say which code they describe. */
#pragma once
#include "symbolizer/dwarf_file.h"

/* Sets needed[i] for each unit without ranges of its own that the section gives one of the n sorted addresses. */
void aranges_mark(const struct dwarf_file *d, const uint64_t *addresses, uint32_t n, bool *needed);
