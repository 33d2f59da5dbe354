#include "profile/utf8.h"

#include <stdint.h>

/* Bytes of the sequence at s, 0 where it is none. */
static size_t utf8_sequence(const uint8_t *s, size_t n)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t size;

	if (s[0] < 0x80)
		return 1;
	size = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
	if (size == 0 || size > n)
		return 0;
	low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : low;
	high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : high;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

size_t utf8_span(const char *text, size_t n)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t at = 0, step;

	while (at < n && (step = utf8_sequence(s + at, n - at)) > 0)
		at += step;
	return at;
}
