#include "ctl/table.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>

#include "base/units.h"
#include "base/utf8.h"

#define GAP 2
#define ROWS_MAX (1u << 20)
#define ELLIPSIS "\xe2\x80\xa6"

struct cell {
	char *text;   /* valid UTF-8, nothing that moves the cursor */
	size_t width; /* columns on a terminal */
};

struct table {
	struct table_column columns[TABLE_COLUMNS_MAX];
	size_t n_columns, n_rows, room;
	struct cell *cells; /* n_columns a row; row 0 holds the titles */
};

static size_t code_point_width(uint32_t c)
{
	int width = wcwidth((wchar_t)c);

	return width < 0 ? 1 : (size_t)width;
}

static bool is_harmless(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	/* Marks that turn the direction of what follows can make one name look like another. */
	return !((c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
	         c == 0x2028 || c == 0x2029);
}

int table_append_clean(struct buffer *b, size_t *width, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		char bytes[4];
		uint32_t c;

		i += utf8_decode(s + i, n - i, &c);
		if (!is_harmless(c))
			c = UTF8_REPLACEMENT;
		(void)buffer_append(b, bytes, utf8_encode(c, bytes));
		*width += code_point_width(c);
	}
	return b->error;
}

static int cell_make(const char *s, struct cell *ret)
{
	_cleanup_buffer_ struct buffer b = BUFFER(4 * TABLE_CELL_BYTES_MAX);
	size_t n = s ? strlen(s) : 0, width = 0;
	char *text;

	if (n > TABLE_CELL_BYTES_MAX) {
		(void)table_append_clean(&b, &width, s, TABLE_CELL_BYTES_MAX / 2);
		(void)table_append_clean(&b, &width, ELLIPSIS, strlen(ELLIPSIS));
		s += n - TABLE_CELL_BYTES_MAX / 2;
		n = TABLE_CELL_BYTES_MAX / 2;
	}
	(void)table_append_clean(&b, &width, s, n);
	text = buffer_take_string(&b);
	if (!text)
		return -ENOMEM;
	*ret = (struct cell){ .text = text, .width = width };
	return 0;
}

int table_add_row(struct table *t, const char *const *cells)
{
	size_t at = t->n_rows * t->n_columns;

	if (t->n_rows >= ROWS_MAX)
		return -ENOSPC;
	if (at + t->n_columns > t->room) {
		size_t room = MAX(t->room * 2, at + 32 * t->n_columns);
		struct cell *grown = reallocarray(t->cells, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		t->cells = grown;
		t->room = room;
	}
	for (size_t i = 0; i < t->n_columns; i++) {
		int r = cell_make(cells[i], &t->cells[at + i]);

		if (r < 0) {
			while (i > 0)
				free(t->cells[at + --i].text);
			return r;
		}
	}
	t->n_rows++;
	return 0;
}

int table_new(const struct table_column *columns, size_t n, struct table **ret)
{
	_cleanup_(table_freep) struct table *t = NULL;
	const char *titles[TABLE_COLUMNS_MAX];
	int r;

	if (n == 0 || n > TABLE_COLUMNS_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->n_columns = n;
	for (size_t i = 0; i < n; i++) {
		t->columns[i] = columns[i];
		titles[i] = columns[i].title;
	}
	r = table_add_row(t, titles);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(t);
	return 0;
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
	return NULL;
}

size_t table_rows(const struct table *t)
{
	return t->n_rows - 1;
}

/* Bytes of text that fill at most width columns, from the front, or the offset where the last width columns start. */
static size_t cut_front(const char *text, size_t width)
{
	size_t n = strlen(text), used = 0, i = 0;

	while (i < n) {
		uint32_t c;
		size_t length = utf8_decode(text + i, n - i, &c);

		used += code_point_width(c);
		if (used > width)
			break;
		i += length;
	}
	return i;
}

static size_t cut_back(const struct cell *cell, size_t width)
{
	size_t n = strlen(cell->text), left = cell->width, i = 0;

	while (i < n && left > width) {
		uint32_t c;

		i += utf8_decode(cell->text + i, n - i, &c);
		left -= code_point_width(c);
	}
	return i;
}

static void print_spaces(FILE *f, size_t n)
{
	(void)fprintf(f, "%*s", (int)n, "");
}

static void print_cell(FILE *f, const struct cell *cell, size_t width, uint32_t flags, bool is_last)
{
	size_t front, back, used;

	if (cell->width <= width) {
		if (flags & TABLE_RIGHT)
			print_spaces(f, width - cell->width);
		(void)fputs(cell->text, f);
		if (!(flags & TABLE_RIGHT) && !is_last)
			print_spaces(f, width - cell->width);
		return;
	}
	front = cut_front(cell->text, (width - 1) / 2);
	back = cut_back(cell, width - 1 - (width - 1) / 2);
	(void)fprintf(f, "%.*s%s%s", (int)front, cell->text, ELLIPSIS, cell->text + back);
	used = (width - 1) / 2 + 1 + (width - 1 - (width - 1) / 2);
	if (!is_last && used < width)
		print_spaces(f, width - used);
}

/* Takes columns from the widest that may be cut and has more than least, until the line fits. */
static void fit(const struct table *t, size_t *widths, size_t width, size_t least)
{
	size_t total = GAP * (t->n_columns - 1);

	for (size_t i = 0; i < t->n_columns; i++)
		total += widths[i];
	while (total > width) {
		size_t widest = SIZE_MAX;

		for (size_t i = 0; i < t->n_columns; i++)
			if ((t->columns[i].flags & TABLE_CUT) && widths[i] > least &&
			        (widest == SIZE_MAX || widths[i] > widths[widest]))
				widest = i;
		if (widest == SIZE_MAX)
			return;
		widths[widest]--;
		total--;
	}
}

int table_print(const struct table *t, FILE *f, size_t width)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
		widths[i % t->n_columns] = MAX(widths[i % t->n_columns], t->cells[i].width);
	if (width > 0) {
		fit(t, widths, width, 16);
		fit(t, widths, width, 6); /* better cut short than broken into two lines */
	}
	for (size_t row = 0; row < t->n_rows; row++)
		for (size_t i = 0; i < t->n_columns; i++) {
			bool is_last = i + 1 == t->n_columns;

			print_cell(f, &t->cells[row * t->n_columns + i], widths[i], t->columns[i].flags, is_last);
			if (is_last)
				(void)fputc('\n', f);
			else
				print_spaces(f, GAP);
		}
	return ferror(f) ? -EIO : 0;
}

size_t table_terminal_width(FILE *f)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint64_t n;

	if (!isatty(fileno(f)))
		return 0;
	if (columns && units_parse_size(columns, &n) == 0 && n >= 20 && n < 10000)
		return (size_t)n;
	if (ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
		return size.ws_col;
	return 80;
}
