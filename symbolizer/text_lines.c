#include "symbolizer/text_lines.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"

void text_lines_init(struct text_lines *t, int fd, uint64_t max)
{
	assert(t);

	t->fd = fd;
	t->offset = t->line_offset = 0;
	t->max = max;
	t->start = t->end = 0;
}

/* More bytes behind those that are left. 0 at the end of the file. */
static int fill(struct text_lines *t)
{
	ssize_t n;

	memmove(t->chunk, t->chunk + t->start, t->end - t->start);
	t->end -= t->start;
	t->start = 0;
	if (t->offset >= t->max)
		return -E2BIG;
	do
		n = pread(t->fd, t->chunk + t->end, sizeof(t->chunk) - 1 - t->end, (off_t)t->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	t->end += (size_t)n;
	t->offset += (uint64_t)n;
	return n > 0;
}

int text_lines_next(struct text_lines *t, char **ret, size_t *ret_size)
{
	size_t searched = 0;
	int r = 1;

	assert(t);

	for (;;) {
		char *line = t->chunk + t->start;
		char *newline = memchr(line + searched, '\n', t->end - t->start - searched);
		size_t size = newline ? (size_t)(newline - line) : t->end - t->start;

		if (!newline && r > 0 && size < sizeof(t->chunk) / 2) {
			searched = size;
			r = fill(t);
			if (r < 0)
				return r;
			continue;
		}
		if (size == 0 && !newline)
			return 0;
		t->line_offset = t->offset - (t->end - t->start);
		t->start += size + (newline ? 1 : 0);
		line[MIN(size, (size_t)TEXT_LINE_MAX)] = '\0';
		*ret = line;
		*ret_size = MIN(size, (size_t)TEXT_LINE_MAX);
		return 1;
	}
}

int text_parse_hex(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t value = 0;
	unsigned digits = 0;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		p += 2;
	for (;; p++, digits++) {
		char c = *p;
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (unsigned)(c - 'A') + 10;
		else
			break;
		if (digits == 16)
			return -ERANGE;
		value = value << 4 | digit;
	}
	if (digits == 0)
		return -EINVAL;
	*s = p;
	*ret = value;
	return 0;
}
