/* What ember-symbolizer answered about one file: file offset -> frames, in one block of bytes that is the same in
 * memory and on disk. An offset that was asked and has no name is known too, so nothing is asked twice.
 *
 * Nothing in an answer or in a file is believed: every index is checked when the table is made. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "symbolizer/protocol.h"

struct symbol_table;

#define SYMBOL_TABLE_BYTES_MAX (64u << 20)
#define SYMBOL_TABLE_NAME_MAX 256

/* From a SYMBOLS, KALLSYMS or PERF_MAP answer to these sorted queries. -EBADMSG: malformed. */
int symbol_table_from_answer(
        const uint64_t *queries, uint32_t n_queries, const void *answer, size_t bytes, struct symbol_table **ret);
/* Both; where both know an offset, b is taken. -E2BIG over the limit. */
int symbol_table_merge(const struct symbol_table *a, const struct symbol_table *b, struct symbol_table **ret);
struct symbol_table *symbol_table_free(struct symbol_table *t);
DEFINE_CLEANUP(struct symbol_table *, symbol_table_free)

/* -ENOENT; -EBADMSG: not a table, or damaged. */
int symbol_table_read(int dirfd, const char *name, struct symbol_table **ret);
int symbol_table_write(const struct symbol_table *t, int dirfd, const char *name);

/* Frames of an offset, innermost first: their number, 0 where it has no name, -ENOENT where it was never asked. */
int symbol_table_find(const struct symbol_table *t, uint64_t offset, const struct symbols_frame **ret);
const char *symbol_table_string(const struct symbol_table *t, uint32_t string);
uint32_t symbol_table_n_queries(const struct symbol_table *t);
