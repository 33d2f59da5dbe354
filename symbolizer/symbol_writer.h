/* The answer to SYMBOLS, KALLSYMS and PERF_MAP while it is made: frames of one query after the other, texts each stored
 * once. Texts come from hostile files: what is not UTF-8 or not printable becomes '?', what is too long is cut and ends
 * in "...". The first failure stays and is what symbol_writer_finish() answers. */
#pragma once
#include <stdbool.h>
#include "base/cleanup.h"
#include "symbolizer/protocol.h"

#define SYMBOL_TEXT_MAX 4096u             /* of one name or path */
#define SYMBOL_TEXT_BYTES_MAX (64u << 20) /* of all */
#define SYMBOL_FRAMES_MAX (4u << 20)

struct symbol_writer;

int symbol_writer_new(uint32_t n_queries, struct symbol_writer **ret);
struct symbol_writer *symbol_writer_free(struct symbol_writer *w);
DEFINE_CLEANUP(struct symbol_writer *, symbol_writer_free)

/* Offset of that text, 0 for none. */
uint32_t symbol_writer_text(struct symbol_writer *w, const char *text, size_t size);
/* Offset of the demangled form of the text at that offset; the same offset where it is not mangled. */
uint32_t symbol_writer_demangled(struct symbol_writer *w, uint32_t system_name);

/* One more frame of the current query, then the end of the current query. */
void symbol_writer_frame(struct symbol_writer *w, const struct symbols_frame *frame);
void symbol_writer_next(struct symbol_writer *w);

/* The first failure so far, 0 for none. */
int symbol_writer_error(const struct symbol_writer *w);

/* Writes the answer. Queries that symbol_writer_next() was not called for have no frames. -ENODATA: none has. */
int symbol_writer_finish(struct symbol_writer *w, int answer_fd, uint64_t *ret_bytes);
