/* Field numbers of the public message layout (github.com/google/pprof/proto/profile.proto) and the protobuf wire format
 * as far as it is needed: varints, lengths, fixed words to skip. For pprof_read.c and pprof_write.c. */
#pragma once
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	PPROF_SAMPLE_TYPE = 1,
	PPROF_SAMPLE = 2,
	PPROF_MAPPING = 3,
	PPROF_LOCATION = 4,
	PPROF_FUNCTION = 5,
	PPROF_STRING_TABLE = 6,
	PPROF_DROP_FRAMES = 7,
	PPROF_KEEP_FRAMES = 8,
	PPROF_TIME_NANOS = 9,
	PPROF_DURATION_NANOS = 10,
	PPROF_PERIOD_TYPE = 11,
	PPROF_PERIOD = 12,
	PPROF_COMMENT = 13,
	PPROF_DEFAULT_SAMPLE_TYPE = 14,
	PPROF_DOC_URL = 15,

	VALUE_TYPE_TYPE = 1,
	VALUE_TYPE_UNIT = 2,

	SAMPLE_LOCATION_ID = 1,
	SAMPLE_VALUE = 2,
	SAMPLE_LABEL = 3,

	LABEL_KEY = 1,
	LABEL_STR = 2,
	LABEL_NUM = 3,
	LABEL_NUM_UNIT = 4,

	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_OFFSET = 4,
	MAPPING_FILENAME = 5,
	MAPPING_BUILD_ID = 6,
	MAPPING_HAS_FUNCTIONS = 7, /* to 10, in the order of PROFILE_MAPPING_* */
	MAPPING_HAS_INLINE_FRAMES = 10,

	LOCATION_ID = 1,
	LOCATION_MAPPING_ID = 2,
	LOCATION_ADDRESS = 3,
	LOCATION_LINE = 4,
	LOCATION_IS_FOLDED = 5,

	LINE_FUNCTION_ID = 1,
	LINE_LINE = 2,
	LINE_COLUMN = 3,

	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILENAME = 4,
	FUNCTION_START_LINE = 5,
};

enum {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
};

#define VARINT_BYTES_MAX 10

struct cursor {
	const uint8_t *at, *end;
};

struct field {
	uint32_t number, wire;
	uint64_t value;      /* varint */
	struct cursor bytes; /* WIRE_BYTES */
	const uint8_t *start;
};

/* The rare case of each reader below is a function; it is given copies. So a caller's cursor and field have no address
 * that leaves it and stay in registers: from memory, two words that were just written are slow to read as one. */
bool cursor_varint_long(struct cursor *c, uint64_t *ret);

static inline bool cursor_varint_rare(struct cursor *c, uint64_t *ret)
{
	struct cursor copy = *c;
	uint64_t value = 0;
	bool ok = cursor_varint_long(&copy, &value);

	*c = copy;
	*ret = value;
	return ok;
}

static inline bool cursor_varint(struct cursor *c, uint64_t *ret)
{
	if (c->at < c->end && c->at[0] < 0x80) {
		*ret = *c->at++;
		return true;
	}
	if (c->end - c->at >= 2 && c->at[1] < 0x80) {
		*ret = (uint64_t)(c->at[0] & 0x7f) | (uint64_t)c->at[1] << 7;
		c->at += 2;
		return true;
	}
	return cursor_varint_rare(c, ret);
}

/* A number of up to 8 bytes and how many they are; 0 for a longer one. Whether it has one byte or two, which nobody can
 * foretell, costs no branch. VARINT_SLACK bytes must be readable, however short the number is. */
#define VARINT_SLACK 8
static inline size_t varint_get(const uint8_t *at, uint64_t *ret)
{
	const uint64_t is_long = at[0] >> 7;
	uint64_t v, stops;

	if (!(is_long & at[1] >> 7)) {
		*ret = (at[0] & 0x7fu) | (at[1] & -is_long) << 7;
		return 1 + is_long;
	}
	memcpy(&v, at, sizeof(v));
	v = le64toh(v);
	stops = ~v & 0x8080808080808080u; /* the high bit of each byte that may be the last */
	if (!stops)
		return 0;
	v &= (stops ^ (stops - 1)) & 0x7f7f7f7f7f7f7f7fu;
	v = (v & 0x007f007f007f007fu) | (v & 0x7f007f007f007f00u) >> 1;
	v = (v & 0x00003fff00003fffu) | (v & 0x3fff00003fff0000u) >> 2;
	*ret = (v & 0x000000000fffffffu) | (v & 0x0fffffff00000000u) >> 4;
	return (size_t)__builtin_ctzll(stops) / 8 + 1;
}

int cursor_field_long(struct cursor *c, struct field *ret);

static inline int cursor_field_rare(struct cursor *c, struct field *ret)
{
	struct cursor copy = *c;
	struct field field = { 0 };
	int r = cursor_field_long(&copy, &field);

	*c = copy;
	*ret = field;
	return r;
}

/* 1: a field; 0: the end; -EBADMSG. Most fields have one byte of tag and a number or length of one or two. */
static inline int cursor_field(struct cursor *c, struct field *ret)
{
	const uint8_t *at = c->at;
	size_t head = 2, number;

	if (c->end - at < 3 || at[0] < 8 || at[0] >= 0x80)
		return at == c->end ? 0 : cursor_field_rare(c, ret);
	number = at[1];
	if (number >= 0x80) {
		if (at[2] >= 0x80)
			return cursor_field_rare(c, ret);
		number = (number & 0x7f) | (size_t)at[2] << 7;
		head = 3;
	}
	ret->start = at;
	ret->number = at[0] >> 3;
	ret->wire = at[0] & 7;
	at += head;
	if (ret->wire == WIRE_VARINT) {
		ret->value = number;
		ret->bytes = (struct cursor){ at, at };
		c->at = at;
		return 1;
	}
	if (ret->wire == WIRE_BYTES && number <= (size_t)(c->end - at)) {
		ret->bytes = (struct cursor){ at, at + number };
		c->at = ret->bytes.end;
		return 1;
	}
	return cursor_field_rare(c, ret);
}

static inline size_t varint_size(uint64_t v)
{
	return (size_t)(((63 - __builtin_clzll(v | 1)) * 9 + 73) / 64);
}

static inline uint8_t *varint_put(uint8_t *to, uint64_t v)
{
	while (v >= 0x80) {
		*to++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*to++ = (uint8_t)v;
	return to;
}
