#include "export/grpc.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include "base/clock.h"
#include "profile/compress.h"
#include "profile/pprof_wire.h"

enum {
	STATUS_DETAILS = 3, /* google.rpc.Status */
	ANY_TYPE_URL = 1,   /* google.protobuf.Any */
	ANY_VALUE = 2,
	RETRY_INFO_DELAY = 1,
	DURATION_SECONDS = 1,
	DURATION_NANOS = 2,
};

void grpc_put_head(void *head, int is_compressed, size_t message_bytes)
{
	uint8_t *to = head;

	to[0] = is_compressed ? 1 : 0;
	for (int i = 0; i < 4; i++)
		to[1 + i] = (uint8_t)(message_bytes >> (24 - 8 * i));
}

static size_t message_bytes(const uint8_t *head)
{
	return (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
}

int grpc_is_message(const struct buffer *body)
{
	const uint8_t *p = (const uint8_t *)body->data;

	return body->size >= GRPC_HEAD_BYTES && p[0] <= 1 && message_bytes(p) == body->size - GRPC_HEAD_BYTES;
}

int grpc_take_message(
        const struct buffer *body, int is_gzip, struct buffer *scratch, const void **ret, size_t *ret_size)
{
	const uint8_t *p = (const uint8_t *)body->data;
	_cleanup_free_ char *plain = NULL;
	size_t n, size;
	int r;

	if (body->size == 0) { /* an empty message needs no frame here */
		*ret = "";
		*ret_size = 0;
		return 0;
	}
	if (body->size < GRPC_HEAD_BYTES)
		return -EBADMSG;
	n = message_bytes(p);
	if (n > body->size - GRPC_HEAD_BYTES || p[0] > 1 || (p[0] == 1 && !is_gzip))
		return -EBADMSG;
	if (p[0] == 0) {
		*ret = p + GRPC_HEAD_BYTES;
		*ret_size = n;
		return 0;
	}
	r = decompress_bytes(COMPRESSION_GZIP, p + GRPC_HEAD_BYTES, n, scratch->max, &plain, &size);
	if (r < 0)
		return r;
	scratch->size = 0;
	r = buffer_append(scratch, plain, size);
	if (r < 0)
		return r;
	*ret = scratch->data;
	*ret_size = size;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_decode_message(const char *value, char *text, size_t n)
{
	size_t k = 0;

	for (; *value && k + 1 < n; value++) {
		int c = (unsigned char)*value;

		if (c == '%' && hex_digit(value[1]) >= 0 && hex_digit(value[2]) >= 0) {
			c = hex_digit(value[1]) << 4 | hex_digit(value[2]);
			value += 2;
		}
		text[k++] = c >= 0x20 && c < 0x7f ? (char)c : ' ';
	}
	text[k] = 0;
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at;

	c = c == '-' ? '+' : c == '_' ? '/' : c;
	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

static size_t base64_decode(const char *from, uint8_t *to, size_t room)
{
	uint32_t bits = 0, n_bits = 0;
	size_t n = 0;

	for (; *from && n < room; from++) {
		int d = base64_digit(*from);

		if (d < 0)
			break;
		bits = bits << 6 | (uint32_t)d;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			to[n++] = (uint8_t)(bits >> n_bits);
		}
	}
	return n;
}

/* The last field of that number; false where there is none or the message is malformed. */
static bool find_field(struct cursor message, uint32_t number, struct field *ret)
{
	bool found = false;
	struct field f;

	while (cursor_field(&message, &f) == 1)
		if (f.number == number) {
			*ret = f;
			found = true;
		}
	return found;
}

static int read_retry_info(struct cursor any, uint64_t *ret_ns)
{
	static const char type[] = "google.rpc.RetryInfo";
	struct field url, value, delay, seconds = { 0 }, nanos = { 0 };
	size_t n;

	if (!find_field(any, ANY_TYPE_URL, &url) || url.wire != WIRE_BYTES || !find_field(any, ANY_VALUE, &value) ||
	        value.wire != WIRE_BYTES)
		return -ENOENT;
	n = (size_t)(url.bytes.end - url.bytes.at);
	if (n < sizeof(type) - 1 || memcmp(url.bytes.end - (sizeof(type) - 1), type, sizeof(type) - 1) != 0)
		return -ENOENT;
	if (!find_field(value.bytes, RETRY_INFO_DELAY, &delay) || delay.wire != WIRE_BYTES)
		return -ENOENT;
	(void)find_field(delay.bytes, DURATION_SECONDS, &seconds);
	(void)find_field(delay.bytes, DURATION_NANOS, &nanos);
	if (seconds.value > 1u << 30 || nanos.value >= NS_PER_SEC)
		return -EBADMSG;
	*ret_ns = seconds.value * NS_PER_SEC + nanos.value;
	return 0;
}

int grpc_find_retry_delay(const char *base64, uint64_t *ret_ns)
{
	uint8_t bytes[1536];
	struct cursor c = { .at = bytes };
	struct field f;

	c.end = bytes + base64_decode(base64, bytes, sizeof(bytes));
	while (cursor_field(&c, &f) == 1)
		if (f.number == STATUS_DETAILS && f.wire == WIRE_BYTES && read_retry_info(f.bytes, ret_ns) == 0)
			return 0;
	return -ENOENT;
}
