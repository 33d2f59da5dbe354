/* What a stored file says about itself beside the profile: a zstd skippable frame behind the compressed profile, which
 * every reader of zstd passes over. Merged files name there what they hold, so that after a kill between "the merged
 * file is in place" and "what it replaces is gone" the files alone tell which ones are leftovers.
 *
 * A covered file is known by name, size and XXH3 hash of its bytes: a name may be taken again when the clock is set
 * back; the bytes never are, for each trailer has a random number of its own. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/cleanup.h"
#include "store/name.h"

#define TRAILER_COVERED_MAX 100000
#define TRAILER_BYTES_MAX (16u << 20)

struct trailer_covered {
	char path[STORE_PATH_MAX];
	uint64_t size, hash;
};

struct trailer {
	char host[STORE_HOST_MAX];     /* as it was given, not as the name has it; "" where unknown */
	uint64_t n_samples, raw_bytes; /* of the profile before compression; 0: not known */
	uint32_t part, n_parts;        /* of a window that was split; 1 of 1 else */
	struct trailer_covered *covered;
	size_t n_covered;
};

#define TRAILER_INIT ((struct trailer){ .part = 1, .n_parts = 1 })
void trailer_done(struct trailer *t);
#define _cleanup_trailer_ _cleanup_(trailer_done)

int trailer_add_covered(struct trailer *t, const char *path, uint64_t size, uint64_t hash);
/* Appends the frame. */
int trailer_write(const struct trailer *t, struct buffer *out);
/* From the end of a file. -ENODATA: it has none (a file that somebody copied here); -EBADMSG. */
int trailer_read(int fd, struct trailer *ret);
uint64_t trailer_hash(const void *data, size_t n);
