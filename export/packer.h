/* Compression of a stream into memory: what is written never stands uncompressed as a whole. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "profile/compress.h"

struct packer;

/* Appends to out, which is borrowed until the end. */
int packer_new(enum compression c, struct buffer *out, struct packer **ret);
struct packer *packer_free(struct packer *p);
DEFINE_CLEANUP(struct packer *, packer_free)
/* As otlp_sink: userdata is the packer. */
int packer_write(void *userdata, const void *data, size_t n);
/* Ends the stream; the packer can begin another. */
int packer_end(struct packer *p);
/* "gzip", "zstd", NULL for none. */
const char *packer_name(enum compression c);
