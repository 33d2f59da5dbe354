/* A table for people: columns as wide as they need to be, numbers to the right, long names cut in the middle so that a
 * line fits the terminal. Cells are any bytes; what could move the cursor or is not UTF-8 becomes U+FFFD. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/buffer.h"
#include "base/cleanup.h"

struct table;

enum {
	TABLE_RIGHT = 1 << 0, /* numbers */
	TABLE_CUT = 1 << 1,   /* may be cut in the middle where the line is too long */
};

struct table_column {
	const char *title;
	uint32_t flags; /* TABLE_* */
};

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_BYTES_MAX 4096 /* the middle of a longer cell is left out */

int table_new(const struct table_column *columns, size_t n, struct table **ret);
struct table *table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free)

/* Appends n bytes as a cell shows them, and adds the columns they take to *width. */
int table_append_clean(struct buffer *b, size_t *width, const char *s, size_t n);

/* One cell a column, copied; NULL is an empty one. */
int table_add_row(struct table *t, const char *const *cells);
size_t table_rows(const struct table *t);
/* width 0: as wide as it gets. -EIO where f fails. */
int table_print(const struct table *t, FILE *f, size_t width);
/* Columns of the terminal behind f; $COLUMNS where it is set; 0 where f is a file or a pipe. */
size_t table_terminal_width(FILE *f);
