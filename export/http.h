/* One HTTP POST at a time to one destination, on libcurl: bounded answers, no redirects, http and https only, TLS
 * material and token from memory, a proxy only from the configuration. Knows how gRPC says its status. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "export/config.h"

#define HTTP_BODY_MAX 65536u    /* of an answer */
#define HTTP_HEADERS_MAX 32768u /* all header lines of an answer */
#define HTTP_URL_MAX 8192u
#define HTTP_TEXT_MAX 420u /* of an answer, for a log line: servers wrap the reason in many words */

struct http;

int http_new(const struct export_config *c, struct http **ret);
struct http *http_free(struct http *h);
DEFINE_CLEANUP(struct http *, http_free)

struct http_request {
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end */
	const struct buffer *body;
	bool is_grpc; /* HTTP/2, and the status is in grpc-status */
};

struct http_answer {
	long status;
	bool is_cut;   /* the status, or in gRPC the message, came whole; what follows did not */
	bool is_grpc;  /* it says so of itself */
	bool is_reset; /* HTTP/2 RST_STREAM with reset_code, before a gRPC status */
	uint32_t reset_code;
	bool is_gzip; /* grpc-encoding: gzip */
	bool has_grpc_status, has_retry_after;
	long grpc_status;
	uint64_t retry_after_ns;
	char message[HTTP_TEXT_MAX]; /* grpc-message, decoded; or "" */
	struct buffer body;
};

/* 0: the destination answered. -EIO: it did not (refused, timed out, broken protocol...): http_error() says what
 * happened. -EREMOTEIO: it did not and will not until a person changes something, which http_error() says. -ENOMEM. The
 * answer's body belongs to the caller: http_answer_done(). */
int http_post(struct http *h, const struct http_request *request, struct http_answer *ret);
void http_answer_done(struct http_answer *a);
/* A gRPC answer whose message came whole: the receiver took the request, also where its status is missing. */
bool http_answer_has_message(const struct http_answer *a);
const char *http_error(const struct http *h);
/* The first printable bytes of an answer that is no success, for a log line. */
void http_answer_text(const struct http_answer *a, char *text, size_t n);
