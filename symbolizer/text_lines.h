/* A text file line by line through a small buffer, as /proc/kallsyms and perf maps are read: their size is not known
 * before. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define TEXT_LINE_MAX 4096u          /* a longer line is cut there */
#define TEXT_CHUNK_BYTES (64u << 10) /* half of it without a newline is taken for a line */

struct text_lines {
	int fd;               /* borrowed */
	uint64_t offset;      /* of the next read */
	uint64_t line_offset; /* where the current line starts in the file */
	uint64_t max;         /* -E2BIG beyond that many bytes */
	size_t start, end;
	char chunk[TEXT_CHUNK_BYTES];
};

void text_lines_init(struct text_lines *t, int fd, uint64_t max);

/* 1 and a line without its newline, NUL-terminated, valid until the next call; 0 at the end; -E2BIG; -errno. */
int text_lines_next(struct text_lines *t, char **ret, size_t *ret_size);

/* A hexadecimal number at *s, with or without 0x, of at most 16 digits; *s stands behind it afterwards. */
int text_parse_hex(const char **s, uint64_t *ret);
