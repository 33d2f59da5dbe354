/* gzip and zstd, whole buffers, with a limit on what comes out: a bomb is -E2BIG after at most max bytes.
 * No I/O, no globals. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

enum compression {
	COMPRESSION_NONE,
	COMPRESSION_GZIP,
	COMPRESSION_ZSTD,
};

#define COMPRESSION_LEVEL_DEFAULT 0 /* gzip 6, zstd 3 */

/* zstd frames may ask for a window of this at most (level 19 needs 8 MiB): the memory of decoding one. */
#define COMPRESSION_WINDOW_LOG_MAX 25

/* By the first bytes; COMPRESSION_NONE for all else. */
enum compression compression_sniff(const void *data, size_t n);

/* Appends to out; on failure out holds what it held. -E2BIG: over out's maximum. */
int compress_bytes(enum compression c, int level, const void *data, size_t n, struct buffer *out);

/* Several members or frames in a row are one text, as gzip and zstd have it; trailing zeros after a gzip member are
 * taken as padding. *ret belongs to the caller; one NUL byte follows it (not counted). -EBADMSG: malformed or cut
 * short; -E2BIG: more than max bytes would come out. */
int decompress_bytes(enum compression c, const void *data, size_t n, size_t max, char **ret, size_t *ret_size);
