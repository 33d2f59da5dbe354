/* Names of addresses from ELF symbol tables and, for PLT entries, from the relocation that fills their slot. */
#pragma once
#include "symbolizer/elf_file.h"
#include "symbolizer/section.h"

#define SYMTAB_SYMBOLS_MAX (16u << 20)
#define SYMTAB_NAME_MAX 16384u

struct symtab;

/* addresses are n sorted virtual addresses, borrowed; the sections of f say how far code reaches. */
int symtab_new(const struct elf_file *f, const uint64_t *addresses, uint32_t n, struct symtab **ret);
struct symtab *symtab_free(struct symtab *t);
DEFINE_CLEANUP(struct symtab *, symtab_free)

/* Adds the table of that section type (SHT_SYMTAB, SHT_DYNSYM) of f, which may be the separate debug file; its
 * mappings live as long as t. 1 where there is one, 0 where there is none; -EBADMSG, -E2BIG, -ENOMEM. */
int symtab_add(struct symtab *t, const struct elf_file *f, uint32_t type);

/* Call after the last table. The name of address number i without its version, not NUL-terminated; NULL where no symbol
 * covers it. Symbols without a size reach to the next one. */
const char *symtab_name(struct symtab *t, uint32_t i, size_t *ret_size);
