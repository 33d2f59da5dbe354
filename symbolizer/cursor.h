/* Reading from a piece of memory whose end is known. A read beyond it gives 0, sets .failed and leaves the cursor at
 * the end, so a parser may check once after several reads. Little-endian, as all files that are read here. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/cleanup.h"

struct span {
	const uint8_t *data;
	size_t size;
};

struct cursor {
	const uint8_t *p, *end;
	bool failed;
};

#define CURSOR(data, n) ((struct cursor){ .p = (data), .end = (data) + (n) })

/* From offset to the end of s; failed at once where that is outside. */
_unused_ static inline struct cursor cursor_at(struct span s, uint64_t offset)
{
	if (!s.data || offset > s.size)
		return (struct cursor){ .failed = true };
	return (struct cursor){ .p = s.data + offset, .end = s.data + s.size };
}

_unused_ static inline size_t cursor_room(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

_unused_ static inline void cursor_fail(struct cursor *c)
{
	c->failed = true;
	c->p = c->end;
}

/* n bytes where they are, or NULL. */
_unused_ static inline const uint8_t *cursor_bytes(struct cursor *c, uint64_t n)
{
	const uint8_t *at = c->p;

	if (n > cursor_room(c)) {
		cursor_fail(c);
		return NULL;
	}
	c->p += n;
	return at;
}

_unused_ static inline void cursor_skip(struct cursor *c, uint64_t n)
{
	(void)cursor_bytes(c, n);
}

/* A number of n <= 8 bytes. */
_unused_ static inline uint64_t cursor_number(struct cursor *c, unsigned n)
{
	const uint8_t *at = cursor_bytes(c, n);
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, n);
	return value;
}

#define CURSOR_READ(name, type)                                                                                        \
	_unused_ static inline type name(struct cursor *c)                                                             \
	{                                                                                                              \
		type value = 0;                                                                                        \
		const uint8_t *at = cursor_bytes(c, sizeof(value));                                                    \
                                                                                                                       \
		if (at)                                                                                                \
			memcpy(&value, at, sizeof(value));                                                             \
		return value;                                                                                          \
	}
CURSOR_READ(cursor_u8, uint8_t)
CURSOR_READ(cursor_u16, uint16_t)
CURSOR_READ(cursor_u32, uint32_t)
CURSOR_READ(cursor_u64, uint64_t)

/* Bits beyond 64 are dropped, as other readers do. */
_unused_ static inline uint64_t cursor_uleb(struct cursor *c)
{
	uint64_t value = cursor_u8(c);

	if (value < 0x80) /* most are this short */
		return value;
	value &= 0x7f;
	for (unsigned shift = 7; c->p < c->end; shift += 7) {
		uint8_t byte = *c->p++;

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	cursor_fail(c);
	return 0;
}

_unused_ static inline int64_t cursor_sleb(struct cursor *c)
{
	uint64_t value = 0;
	unsigned shift = 0;

	while (c->p < c->end) {
		uint8_t byte = *c->p++;

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (!(byte & 0x80)) {
			if (shift < 64 && (byte & 0x40))
				value |= ~0ull << shift;
			return (int64_t)value;
		}
	}
	cursor_fail(c);
	return 0;
}

/* NUL-terminated text inside the memory, or NULL. */
_unused_ static inline const char *cursor_string(struct cursor *c)
{
	const uint8_t *at = c->p, *nul = at < c->end ? memchr(at, 0, cursor_room(c)) : NULL;

	if (!nul) {
		cursor_fail(c);
		return NULL;
	}
	c->p = nul + 1;
	return (const char *)at;
}

/* The same with its length, without the NUL. */
_unused_ static inline const char *cursor_text(struct cursor *c, size_t *ret_size)
{
	const char *s = cursor_string(c);

	*ret_size = s ? (size_t)((const char *)c->p - s) - 1 : 0;
	return s;
}
