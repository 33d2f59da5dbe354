#include "profile/pprof_wire.h"

#include <errno.h>

bool cursor_varint_long(struct cursor *c, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < VARINT_BYTES_MAX && c->at + i < c->end; i++) {
		uint8_t byte = c->at[i];

		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			return false; /* beyond 64 bits */
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			c->at += i + 1;
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool cursor_skip(struct cursor *c, uint64_t n)
{
	if (n > (uint64_t)(c->end - c->at))
		return false;
	c->at += n;
	return true;
}

int cursor_field_long(struct cursor *c, struct field *ret)
{
	uint64_t tag, size;
	bool ok;

	if (c->at == c->end)
		return 0;
	ret->start = c->at;
	if (!cursor_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
		return -EBADMSG;
	ret->number = (uint32_t)(tag >> 3);
	ret->wire = (uint32_t)(tag & 7);
	switch (ret->wire) {
	case WIRE_VARINT:
		ok = cursor_varint(c, &ret->value);
		break;
	case WIRE_BYTES:
		ok = cursor_varint(c, &size);
		ret->bytes.at = c->at;
		ok = ok && cursor_skip(c, size);
		ret->bytes.end = c->at;
		break;
	case WIRE_FIXED64:
		ok = cursor_skip(c, 8);
		break;
	case WIRE_FIXED32:
		ok = cursor_skip(c, 4);
		break;
	default: /* groups were never part of this layout */
		ok = false;
		break;
	}
	return ok ? 1 : -EBADMSG;
}
