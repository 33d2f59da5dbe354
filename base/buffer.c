#include "base/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

void *buffer_extend(struct buffer *b, size_t n)
{
	void *start;

	assert(b);

	if (b->error)
		return NULL;
	if (n > b->max || b->size > b->max - n) {
		b->error = -E2BIG;
		return NULL;
	}
	if (b->size + n > b->room) {
		size_t room = MIN(MAX(MAX(b->room * 2, b->size + n), (size_t)256), b->max);
		char *bigger = realloc(b->data, room);

		if (!bigger) {
			b->error = -ENOMEM;
			return NULL;
		}
		b->data = bigger;
		b->room = room;
	}
	start = b->data + b->size;
	memset(start, 0, n);
	b->size += n;
	return start;
}

int buffer_append(struct buffer *b, const void *data, size_t n)
{
	void *to;

	if (n == 0)
		return b->error;
	to = buffer_extend(b, n);
	if (!to)
		return b->error;
	memcpy(to, data, n);
	return 0;
}

int buffer_append_string(struct buffer *b, const char *s)
{
	return buffer_append(b, s, strlen(s));
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		b->error = b->error ? b->error : -ENOMEM;
		return b->error;
	}
	return buffer_append(b, text, (size_t)n);
}

char *buffer_take_string(struct buffer *b)
{
	size_t max = b->max;
	char *s;

	b->max = SIZE_MAX;
	if (!buffer_extend(b, 1)) {
		b->max = max;
		return NULL;
	}
	s = TAKE_PTR(b->data);
	*b = BUFFER(max);
	return s;
}

void buffer_done(struct buffer *b)
{
	free(b->data);
	*b = BUFFER(b->max);
}
