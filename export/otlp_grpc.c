#include "export/otlp.h"

#include <stdio.h>
#include <string.h>
#include "export/grpc.h"
#include "export/packer.h"
#include "export/retry.h"

#define EXPORT_PATH "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
#define ANSWER_BYTES_MAX (1u << 20)

static void take_message(struct delivery *d, const struct http_answer *a)
{
	_cleanup_buffer_ struct buffer scratch = BUFFER(ANSWER_BYTES_MAX);
	const void *message;
	size_t n;

	if (grpc_take_message(&a->body, a->is_gzip, &scratch, &message, &n) == 0)
		otlp_take_answer(d, message, n);
}

/* An answer without a grpc-status. Where the message came whole, the destination took the request: sent again, it would
 * be there twice. Else the gRPC specification says which status the HTTP status, or the reset of the stream, stands
 * for, and OTLP which of those may be tried again. */
static enum export_outcome judge_plain(struct delivery *d, const struct http_answer *a)
{
	char text[HTTP_TEXT_MAX];

	if (http_answer_has_message(a)) {
		reply_set(d->reply, EXPORT_SENT, "taken, but the gRPC status did not come: %s", http_error(d->http));
		take_message(d, a);
		return EXPORT_SENT;
	}
	if (a->is_reset) {
		reply_set(d->reply, retry_grpc_reset(a->reset_code), "the destination ended the call: %s",
		        http_error(d->http));
		return d->reply->outcome;
	}
	http_answer_text(a, text, sizeof(text));
	d->reply->retry_after_ns = a->retry_after_ns;
	reply_set(d->reply, retry_grpc_http_status(a->status), "HTTP status %ld without a gRPC status%s %s", a->status,
	        a->status / 100 == 3 ? ": redirects are not followed; correct Url=" : "", text);
	return d->reply->outcome;
}

static enum export_outcome judge(struct delivery *d, const struct http_answer *a)
{
	struct export_reply *reply = d->reply;

	if (!a->has_grpc_status)
		return judge_plain(d, a);
	reply->status = (uint32_t)a->grpc_status;
	if (a->grpc_status == 0) {
		reply->outcome = EXPORT_SENT;
		if (!a->is_cut)
			take_message(d, a);
		return EXPORT_SENT;
	}
	reply->retry_after_ns = a->retry_after_ns;
	reply_set(reply, retry_grpc_status(a->grpc_status, a->has_retry_after), "gRPC status %ld %s", a->grpc_status,
	        a->message);
	return reply->outcome;
}

static enum export_outcome post(struct delivery *d, const char *url, struct buffer *body)
{
	_cleanup_(http_answer_done) struct http_answer a = { 0 };
	const char *encoding = packer_name(d->c->compression);
	char timeout[48], encoding_line[64];
	const char *headers[] = { "Content-Type: application/grpc", "TE: trailers", "grpc-accept-encoding: gzip",
		timeout, encoding ? encoding_line : NULL, NULL };
	const struct http_request request = { .url = url, .headers = headers, .body = body, .is_grpc = true };
	int r;

	snprintf(timeout, sizeof(timeout), "grpc-timeout: %llum",
	        (unsigned long long)MIN(d->c->timeout_ms, 99999999ull));
	snprintf(encoding_line, sizeof(encoding_line), "grpc-encoding: %s", encoding ? encoding : "");
	grpc_put_head(body->data, encoding != NULL, body->size - GRPC_HEAD_BYTES);
	d->reply->requests++;
	d->reply->bytes += body->size;
	r = http_post(d->http, &request, &a);
	if (r < 0) {
		reply_set_failure(d->reply, d->http, r);
		return d->reply->outcome;
	}
	return judge(d, &a);
}

static void send_window(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply)
{
	_cleanup_free_ char *url = delivery_url(c->url, EXPORT_PATH);

	if (!url) {
		reply_set(reply, EXPORT_RETRY, "out of memory");
		return;
	}
	otlp_send(c, http, w, reply, url, GRPC_HEAD_BYTES, post);
}

const struct sender otlp_grpc_sender = {
	.name = "otlp-grpc",
	.needs_network = true,
	.needs_profile = true,
	.bytes_max = (4u << 20) - (64u << 10), /* servers take 4 MiB, uncompressed */
	.samples_max = 16000,
	.send = send_window,
};
