/* Names of PLT entries: the symbol of the relocation that fills the slot which the entry jumps through. */
#pragma once
#include "symbolizer/elf_file.h"
#include "symbolizer/symbol_writer.h"

#define PLT_RELOCATIONS_MAX (1u << 20)

/* Sets names[i] (a text of the writer, "malloc@plt") for each of the n sorted addresses that lies in a PLT section and
 * has no name yet. -EBADMSG, -E2BIG, -ENOMEM. */
int plt_names(
        const struct elf_file *f, const uint64_t *addresses, uint32_t n, struct symbol_writer *w, uint32_t *names);
