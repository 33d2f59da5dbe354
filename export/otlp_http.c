#include "export/otlp.h"

#include <stdio.h>
#include "export/packer.h"
#include "export/retry.h"

static enum export_outcome post(struct delivery *d, const char *url, struct buffer *body)
{
	_cleanup_(http_answer_done) struct http_answer a = { 0 };
	const char *encoding = packer_name(d->c->compression);
	char encoding_line[64];
	const char *headers[] = { "Content-Type: application/x-protobuf", "OTLP-Profiles-Development-Version: 1",
		encoding ? encoding_line : NULL, NULL };
	const struct http_request request = { .url = url, .headers = headers, .body = body };
	enum export_outcome outcome;

	snprintf(encoding_line, sizeof(encoding_line), "Content-Encoding: %s", encoding ? encoding : "");
	outcome = delivery_post(d, &request, retry_otlp_status, &a);
	if (outcome == EXPORT_SENT && !a.is_cut)
		otlp_take_answer(d, a.body.data, a.body.size);
	return outcome;
}

static void send_window(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply)
{
	_cleanup_free_ char *url = delivery_url(c->url, "/v1development/profiles");

	if (!url) {
		reply_set(reply, EXPORT_RETRY, "out of memory");
		return;
	}
	otlp_send(c, http, w, reply, url, 0, post);
}

const struct sender otlp_http_sender = {
	.name = "otlp-http",
	.needs_network = true,
	.needs_profile = true,
	.bytes_max = (4u << 20) - (64u << 10),
	.samples_max = 16000,
	.send = send_window,
};
