#include "export/packer.h"

#include <assert.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK_BYTES 16384u
/* Levels by bench/export: more costs far more CPU than it saves in bytes. */
#define GZIP_LEVEL 4
#define GZIP_WINDOW_BITS (15 + 16)
#define GZIP_MEMORY_LEVEL 8
#define ZSTD_LEVEL 3

struct packer {
	enum compression c;
	struct buffer *out;
	z_stream z;
	ZSTD_CCtx *zstd;
};

static int begin(struct packer *p)
{
	if (p->c == COMPRESSION_GZIP && deflateInit2(&p->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
	                                        Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	if (p->c == COMPRESSION_ZSTD) {
		p->zstd = ZSTD_createCCtx();
		if (!p->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)))
			return -ENOMEM;
	}
	return 0;
}

int packer_new(enum compression c, struct buffer *out, struct packer **ret)
{
	struct packer *p = calloc(1, sizeof(*p));
	int r;

	assert(ret);

	if (!p)
		return -ENOMEM;
	p->c = c;
	p->out = out;
	r = begin(p);
	if (r < 0) {
		(void)packer_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct packer *packer_free(struct packer *p)
{
	if (!p)
		return NULL;
	if (p->c == COMPRESSION_GZIP)
		(void)deflateEnd(&p->z);
	ZSTD_freeCCtx(p->zstd);
	free(p);
	return NULL;
}

static int deflate_all(struct packer *p, const void *data, size_t n, int how)
{
	uint8_t chunk[CHUNK_BYTES];
	int r;

	p->z.next_in = (Bytef *)data;
	p->z.avail_in = (uInt)n;
	do {
		p->z.next_out = chunk;
		p->z.avail_out = sizeof(chunk);
		r = deflate(&p->z, how);
		if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
			return -EIO;
		if (buffer_append(p->out, chunk, sizeof(chunk) - p->z.avail_out) < 0)
			return p->out->error;
	} while (p->z.avail_out == 0 || (how == Z_FINISH && r != Z_STREAM_END));
	return 0;
}

static int zstd_all(struct packer *p, const void *data, size_t n, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { .src = data, .size = n };
	uint8_t chunk[CHUNK_BYTES];
	size_t left;

	do {
		ZSTD_outBuffer out = { .dst = chunk, .size = sizeof(chunk) };

		left = ZSTD_compressStream2(p->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return -EIO;
		if (buffer_append(p->out, chunk, out.pos) < 0)
			return p->out->error;
	} while (in.pos < in.size || (how == ZSTD_e_end && left));
	return 0;
}

int packer_write(void *userdata, const void *data, size_t n)
{
	struct packer *p = userdata;

	for (size_t done = 0; done < n;) {
		size_t k = MIN(n - done, (size_t)1 << 30);
		int r = 0;

		if (p->c == COMPRESSION_GZIP)
			r = deflate_all(p, (const char *)data + done, k, Z_NO_FLUSH);
		else if (p->c == COMPRESSION_ZSTD)
			r = zstd_all(p, (const char *)data + done, k, ZSTD_e_continue);
		else
			r = buffer_append(p->out, (const char *)data + done, k);
		if (r < 0)
			return r;
		done += k;
	}
	return 0;
}

int packer_end(struct packer *p)
{
	int r;

	if (p->c == COMPRESSION_GZIP) {
		r = deflate_all(p, "", 0, Z_FINISH);
		return r < 0 ? r : deflateReset(&p->z) == Z_OK ? 0 : -EIO;
	}
	return p->c == COMPRESSION_ZSTD ? zstd_all(p, "", 0, ZSTD_e_end) : 0;
}

const char *packer_name(enum compression c)
{
	static const char *const names[] = { [COMPRESSION_GZIP] = "gzip", [COMPRESSION_ZSTD] = "zstd" };

	return names[c];
}
