/* Text for formats that insist on UTF-8. */
#pragma once
#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the well-formed beginning of text (RFC 3629: no surrogates, no overlong forms). */
size_t utf8_span(const char *text, size_t n);
