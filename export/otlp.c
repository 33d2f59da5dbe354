#include "export/otlp.h"

#include <string.h>
#include "base/fd.h"
#include "export/packer.h"
#include "profile/pprof.h"
#include "profile/pprof_wire.h"

enum {
	RESPONSE_PARTIAL_SUCCESS = 1,
	PARTIAL_REJECTED_PROFILES = 1,
	PARTIAL_ERROR_MESSAGE = 2,
};

void otlp_take_answer(struct delivery *d, const void *data, size_t n)
{
	struct cursor c = { .at = data, .end = (const uint8_t *)data + n }, partial;
	uint64_t rejected = 0;
	char text[128] = "";
	struct field f;

	while (cursor_field(&c, &f) == 1) {
		if (f.number != RESPONSE_PARTIAL_SUCCESS || f.wire != WIRE_BYTES)
			continue;
		partial = f.bytes;
		while (cursor_field(&partial, &f) == 1) {
			if (f.number == PARTIAL_REJECTED_PROFILES && f.wire == WIRE_VARINT)
				rejected = f.value >> 62 ? 0 : f.value;
			else if (f.number == PARTIAL_ERROR_MESSAGE && f.wire == WIRE_BYTES) {
				size_t k = MIN((size_t)(f.bytes.end - f.bytes.at), sizeof(text) - 1);

				memcpy(text, f.bytes.at, k);
				text[k] = 0;
			}
		}
	}
	d->reply->rejected += rejected;
	if (rejected || *text)
		reply_set(d->reply, EXPORT_SENT, "taken in part: %llu profiles refused: %s",
		        (unsigned long long)rejected, text);
}

/* The original file, uncompressed, where it is asked for. */
static int read_payload(const struct export_config *c, const struct window *w, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *data = NULL;
	size_t n;
	int r;

	if (!c->payload)
		return 0;
	if (lseek(w->input, 0, SEEK_SET) < 0)
		return -errno;
	r = fd_read_all(w->input, PPROF_BYTES_MAX, &data, &n);
	if (r < 0)
		return r;
	return decompress_bytes(compression_sniff(data, n), data, n, PPROF_BYTES_MAX, ret, ret_size);
}

static int discard(void *userdata, const void *data, size_t n)
{
	(void)userdata;
	(void)data;
	(void)n;
	return 0;
}

/* 1: one part was sent or skipped; 0: there is no more; negative: our own failure. */
static int send_part(struct delivery *d, struct otlp_encoder *e, const char *url, size_t head_bytes, otlp_post post)
{
	_cleanup_buffer_ struct buffer body = BUFFER(64u << 20);
	_cleanup_(packer_freep) struct packer *packer = NULL;
	struct otlp_part part = { 0 };
	enum export_outcome outcome;
	int r;

	if (!delivery_wants(d)) {
		r = d->stopped ? 0 : otlp_encoder_next(e, discard, NULL, &part);
		return r == -E2BIG ? 1 : r;
	}
	if (head_bytes && !buffer_extend(&body, head_bytes))
		return -ENOMEM;
	r = packer_new(d->c->compression, &body, &packer);
	if (r < 0)
		return r;
	r = otlp_encoder_next(e, packer_write, packer, &part);
	if (r == -E2BIG) {
		reply_set(d->reply, EXPORT_REJECTED, "one sample alone is larger than a request may be");
		delivery_note(d, EXPORT_REJECTED, 0, 1);
		return 1;
	}
	if (r > 0 && packer_end(packer) < 0)
		r = -ENOMEM;
	if (r <= 0)
		return r;
	packer = packer_free(packer);
	outcome = post(d, url, &body);
	delivery_note(d, outcome, part.samples, part.profiles);
	return 1;
}

void otlp_send(const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply,
        const char *url, size_t head_bytes, otlp_post post)
{
	_cleanup_(otlp_encoder_freep) struct otlp_encoder *e = NULL;
	_cleanup_free_ char *payload = NULL;
	struct delivery d = delivery_begin(c, http, w, reply);
	struct otlp_options o = {
		.flags = (c->timestamps ? OTLP_TIMESTAMPS : 0) | (c->processes ? OTLP_PER_PROCESS : 0),
		.attributes = (const char *const *)c->attributes,
		.resource = c->resource,
		.n_resource = c->n_resource,
		.services = c->services,
		.samples_max = c->samples_max,
		.bytes_max = c->bytes_max,
	};
	int r;

	memcpy(o.id, w->id, sizeof(o.id));
	r = read_payload(c, w, &payload, &o.payload_size);
	o.payload = payload;
	if (r >= 0)
		r = otlp_encoder_new(w->profile, &o, &e);
	while (r >= 0 && !d.stopped) {
		r = send_part(&d, e, url, head_bytes, post);
		if (r == 0)
			break;
	}
	if (r < 0)
		delivery_fail(&d, r);
	delivery_end(&d);
}
