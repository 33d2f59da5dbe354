#include "profile/compress.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define GZIP_WINDOW_BITS (15 + 16) /* 16: gzip framing */

static void zstd_cctx_free(ZSTD_CCtx *c)
{
	(void)ZSTD_freeCCtx(c);
}

static void zstd_dctx_free(ZSTD_DCtx *d)
{
	(void)ZSTD_freeDCtx(d);
}

DEFINE_CLEANUP(ZSTD_CCtx *, zstd_cctx_free)
DEFINE_CLEANUP(ZSTD_DCtx *, zstd_dctx_free)

enum compression compression_sniff(const void *data, size_t n)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (n >= sizeof(gzip) && memcmp(data, gzip, sizeof(gzip)) == 0)
		return COMPRESSION_GZIP;
	if (n >= sizeof(zstd) && memcmp(data, zstd, sizeof(zstd)) == 0)
		return COMPRESSION_ZSTD;
	return COMPRESSION_NONE;
}

/* ---- in ---- */

static int compress_zstd(int level, const void *data, size_t n, struct buffer *out)
{
	_cleanup_(zstd_cctx_freep) ZSTD_CCtx *c = ZSTD_createCCtx();
	const size_t before = out->size;
	size_t bound = ZSTD_compressBound(n), written;
	char *to;

	if (!c)
		return -ENOMEM;
	/* The bound is a little over n: a text near the limit may still fit, so take what room there is. */
	bound = MIN(bound, out->max - out->size);
	to = buffer_extend(out, bound);
	if (!to)
		return out->error;
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level ? level : 3);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	written = ZSTD_compress2(c, to, bound, data, n);
	if (ZSTD_isError(written)) {
		out->size = before;
		return bound < ZSTD_compressBound(n) ? -E2BIG : -ENOMEM;
	}
	out->size = before + written;
	return 0;
}

static int compress_gzip(int level, const void *data, size_t n, struct buffer *out)
{
	const size_t before = out->size;
	z_stream z = { .next_in = (Bytef *)data, .avail_in = (uInt)n };
	size_t bound;
	int state;

	if (n > UINT32_MAX)
		return -E2BIG;
	if (deflateInit2(&z, level ? level : 6, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	bound = MIN(deflateBound(&z, n), out->max - out->size);
	z.next_out = buffer_extend(out, bound);
	if (!z.next_out) {
		(void)deflateEnd(&z);
		return out->error;
	}
	z.avail_out = (uInt)MIN(bound, (size_t)UINT32_MAX);
	state = deflate(&z, Z_FINISH);
	(void)deflateEnd(&z);
	out->size = before + (state == Z_STREAM_END ? z.total_out : 0);
	return state == Z_STREAM_END ? 0 : -E2BIG;
}

int compress_bytes(enum compression c, int level, const void *data, size_t n, struct buffer *out)
{
	assert(out);

	switch (c) {
	case COMPRESSION_GZIP:
		return compress_gzip(level, data, n, out);
	case COMPRESSION_ZSTD:
		return compress_zstd(level, data, n, out);
	case COMPRESSION_NONE:
	default:
		return buffer_append(out, data, n);
	}
}

/* ---- out ---- */

struct output {
	char *data;
	size_t size, room, max;
};

static void output_done(struct output *o)
{
	free(o->data);
}

/* More room, one byte beyond the text kept for the NUL. The room may pass max by one, so that a text of exactly max
 * bytes is told from a longer one. */
static int output_grow(struct output *o, size_t hint)
{
	size_t room = MIN(MAX(MAX(o->room * 2, hint), (size_t)4096), o->max + 1);
	char *bigger;

	if (room <= o->room)
		return -E2BIG;
	bigger = realloc(o->data, room + 1);
	if (!bigger)
		return -ENOMEM;
	o->data = bigger;
	o->room = room;
	return 0;
}

static int decompress_zstd(const void *data, size_t n, struct output *o)
{
	_cleanup_(zstd_dctx_freep) ZSTD_DCtx *d = ZSTD_createDCtx();
	unsigned long long hint = ZSTD_getFrameContentSize(data, n);
	ZSTD_inBuffer in = { data, n, 0 };
	int r;

	if (!d)
		return -ENOMEM;
	(void)ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, COMPRESSION_WINDOW_LOG_MAX);
	if (hint == ZSTD_CONTENTSIZE_ERROR || hint == ZSTD_CONTENTSIZE_UNKNOWN)
		hint = n * 4;
	for (;;) {
		ZSTD_outBuffer out;
		size_t left;

		if (o->size == o->room) {
			r = output_grow(o, (size_t)MIN(hint + 1, (unsigned long long)SIZE_MAX));
			if (r < 0)
				return r;
		}
		out = (ZSTD_outBuffer){ o->data, o->room, o->size };
		left = ZSTD_decompressStream(d, &out, &in);
		o->size = out.pos;
		if (ZSTD_isError(left))
			return -EBADMSG;
		if (o->size > o->max)
			return -E2BIG;
		if (in.pos == in.size && left == 0)
			return 0;
		if (in.pos == in.size && o->size < o->room)
			return -EBADMSG; /* cut short */
	}
}

static bool all_zero(const Bytef *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (data[i])
			return false;
	return true;
}

static int inflate_members(z_stream *z, struct output *o)
{
	int r;

	for (;;) {
		int state;

		if (o->size == o->room) {
			r = output_grow(o, (size_t)z->avail_in * 4);
			if (r < 0)
				return r;
		}
		z->next_out = (Bytef *)o->data + o->size;
		z->avail_out = (uInt)MIN(o->room - o->size, (size_t)1 << 30);
		state = inflate(z, Z_NO_FLUSH);
		o->size = (size_t)((char *)z->next_out - o->data);
		if (o->size > o->max)
			return -E2BIG;
		if (state == Z_STREAM_END) {
			if (all_zero(z->next_in, z->avail_in))
				return 0;
			if (inflateReset(z) != Z_OK)
				return -EBADMSG;
		} else if (state == Z_MEM_ERROR) {
			return -ENOMEM;
		} else if (state != Z_OK && !(state == Z_BUF_ERROR && o->size == o->room)) {
			return -EBADMSG;
		}
	}
}

static int decompress_gzip(const void *data, size_t n, struct output *o)
{
	z_stream z = { .next_in = (Bytef *)data, .avail_in = (uInt)n };
	int r;

	if (n > UINT32_MAX)
		return -E2BIG;
	if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	r = inflate_members(&z, o);
	(void)inflateEnd(&z);
	return r;
}

int decompress_bytes(enum compression c, const void *data, size_t n, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(output_done) struct output o = { .max = MIN(max, SIZE_MAX / 2) };
	int r;

	assert(ret);
	assert(ret_size);

	if (c == COMPRESSION_NONE) {
		if (n > max)
			return -E2BIG;
		r = output_grow(&o, n + 1);
		if (r < 0)
			return r;
		if (n)
			memcpy(o.data, data, n);
		o.size = n;
	} else {
		r = c == COMPRESSION_ZSTD ? decompress_zstd(data, n, &o) : decompress_gzip(data, n, &o);
	}
	if (r < 0)
		return r;
	o.data[o.size] = 0;
	*ret_size = o.size;
	*ret = TAKE_PTR(o.data);
	return 0;
}
