/* A growing byte buffer that is given its maximum where it is made (curl's dynbuf). A failed append leaves the buffer
 * as it was and is remembered in .error, so a long run of appends needs one check at the end. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "base/cleanup.h"

struct buffer {
	char *data; /* not NUL-terminated, NULL while empty */
	size_t size, room, max;
	int error; /* 0, -ENOMEM or -E2BIG: first failure */
};

#define BUFFER(max_bytes) ((struct buffer){ .max = (max_bytes) })

int buffer_append(struct buffer *b, const void *data, size_t n);
int buffer_append_string(struct buffer *b, const char *s);
_printf_(2, 3) int buffer_printf(struct buffer *b, const char *format, ...);
/* n zeroed bytes at the end, or NULL. Valid until the next append. */
void *buffer_extend(struct buffer *b, size_t n);
/* NUL-terminated contents that belong to the caller, NULL on failure; the buffer is empty afterwards. */
char *buffer_take_string(struct buffer *b);
void buffer_done(struct buffer *b);

#define _cleanup_buffer_ _cleanup_(buffer_done)
