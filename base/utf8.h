/* UTF-8 as a stranger may send it: names of functions, processes and files are any bytes. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

#define UTF8_REPLACEMENT 0xfffdu

/* The code point at s; n bytes are left, at least 1. Returns the bytes it takes. What is not well-formed (overlong,
 * surrogate, above U+10FFFF, cut short) is UTF8_REPLACEMENT and takes one byte. */
size_t utf8_decode(const char *s, size_t n, uint32_t *ret);
/* Returns the bytes written, 1 to 4. */
size_t utf8_encode(uint32_t code_point, char ret[4]);
/* Appends s with each malformed byte replaced, so the result is valid UTF-8. */
int utf8_append_clean(struct buffer *b, const char *s, size_t n);
