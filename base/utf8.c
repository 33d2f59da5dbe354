#include "base/utf8.h"

size_t utf8_decode(const char *s, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *u = (const unsigned char *)s;
	size_t length = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
	uint32_t c;

	*ret = UTF8_REPLACEMENT;
	if (length == 0 || length > n)
		return 1;
	c = length == 1 ? u[0] : u[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 1;
	*ret = c;
	return length;
}

size_t utf8_encode(uint32_t c, char ret[4])
{
	size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = length; i > 1; i--, c >>= 6)
		ret[i - 1] = (char)(0x80 | (c & 0x3f));
	ret[0] = (char)(lead[length] | c);
	return length;
}

int utf8_append_clean(struct buffer *b, const char *s, size_t n)
{
	size_t start = 0, i = 0;

	while (i < n) {
		uint32_t c;
		size_t length = utf8_decode(s + i, n - i, &c);

		if (c == UTF8_REPLACEMENT && length == 1) {
			(void)buffer_append(b, s + start, i - start);
			(void)buffer_append(b, "\xef\xbf\xbd", 3);
			start = i + 1;
		}
		i += length;
	}
	(void)buffer_append(b, s + start, n - start);
	return b->error;
}
