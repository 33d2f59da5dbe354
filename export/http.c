#include "export/http.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/clock.h"
#include "export/grpc.h"
#include "export/retry.h"
#include "export/transfer.h"

#define CONNECT_TIMEOUT_MS 5000L
/* All headers that libcurl takes over HTTP/2: of what is over its buffer, libcurl 7.88 forgets to read on until
 * something else comes, and there may be nothing to come. */
#define BUFFER_BYTES (128L << 10)

struct http {
	const struct export_config *c;
	CURL *curl;
	struct curl_slist *headers;
	struct http_answer *answer; /* of the request in hand */
	size_t header_bytes;
	char too_large[32]; /* what the answer has more of; "": nothing */
	char error[CURL_ERROR_SIZE + 128];
};

/* Ends the transfer from inside a callback. */
static size_t stop(struct http *h, unsigned limit, const char *of)
{
	(void)snprintf(h->too_large, sizeof(h->too_large), "%u bytes of %s", limit, of);
	return 0;
}

static size_t take_body(char *data, size_t size, size_t n, void *userdata)
{
	struct http *h = userdata;

	n *= size;
	return buffer_append(&h->answer->body, data, n) < 0 ? stop(h, HTTP_BODY_MAX, "body") : n;
}

/* Copies a header's value where the line is that header; false where it is not. */
static bool header_is(const char *line, size_t n, const char *name, char *value, size_t room)
{
	size_t k = strlen(name);

	if (n <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
		return false;
	for (line += k + 1, n -= k + 1; n && (*line == ' ' || *line == '\t'); n--)
		line++;
	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	n = MIN(n, room - 1);
	memcpy(value, line, n);
	value[n] = 0;
	return true;
}

static void take_retry_after(struct http_answer *a, uint64_t ns)
{
	a->has_retry_after = true;
	a->retry_after_ns = ns;
}

static size_t take_header(char *data, size_t size, size_t n, void *userdata)
{
	struct http *h = userdata;
	struct http_answer *a = h->answer;
	char value[2048];
	uint64_t ns;

	n *= size;
	h->header_bytes += n;
	if (h->header_bytes > HTTP_HEADERS_MAX)
		return stop(h, HTTP_HEADERS_MAX, "headers");
	if (header_is(data, n, "retry-after", value, sizeof(value))) {
		if (retry_parse_after(value, clock_now_ns(CLOCK_REALTIME) / NS_PER_SEC, &ns) == 0)
			take_retry_after(a, ns);
	} else if (header_is(data, n, "grpc-status", value, sizeof(value))) {
		a->has_grpc_status = isdigit((unsigned char)*value);
		a->grpc_status = strtol(value, NULL, 10);
	} else if (header_is(data, n, "grpc-message", value, sizeof(value))) {
		grpc_decode_message(value, a->message, sizeof(a->message));
	} else if (header_is(data, n, "grpc-status-details-bin", value, sizeof(value))) {
		if (grpc_find_retry_delay(value, &ns) == 0)
			take_retry_after(a, ns);
	} else if (header_is(data, n, "content-type", value, sizeof(value))) {
		a->is_grpc = strncasecmp(value, "application/grpc", strlen("application/grpc")) == 0;
	} else if (header_is(data, n, "grpc-encoding", value, sizeof(value))) {
		a->is_gzip = strcasecmp(value, "gzip") == 0;
	}
	return n;
}

static void set_blob(CURL *curl, CURLoption option, const struct export_config *c, enum export_file file)
{
	struct curl_blob blob = { .data = c->files[file], .len = c->file_sizes[file], .flags = CURL_BLOB_NOCOPY };

	if (c->files[file])
		(void)curl_easy_setopt(curl, option, &blob);
}

/* Only http and https, also where curl knows forty others. The way to say it changed in 7.85. */
static void restrict_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "");
#else
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	(void)curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, 0L);
#endif
}

static void set_options(struct http *h)
{
	CURL *curl = h->curl;

	restrict_protocols(curl);
	(void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, h->c->proxy ? h->c->proxy : ""); /* "" keeps the environment out */
	(void)curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)h->c->timeout_ms);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, MIN((long)h->c->timeout_ms, CONNECT_TIMEOUT_MS));
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, h->error);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, h);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, h);
	(void)curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "emberd/" EMBER_VERSION);
	(void)curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
	set_blob(curl, CURLOPT_CAINFO_BLOB, h->c, EXPORT_FILE_CA);
	set_blob(curl, CURLOPT_SSLCERT_BLOB, h->c, EXPORT_FILE_CERT);
	set_blob(curl, CURLOPT_SSLKEY_BLOB, h->c, EXPORT_FILE_KEY);
	(void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* nothing from the file system */
	if (h->c->files[EXPORT_FILE_CA])
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
}

int http_new(const struct export_config *c, struct http **ret)
{
	_cleanup_(http_freep) struct http *h = calloc(1, sizeof(*h));

	assert(ret);

	if (!h)
		return -ENOMEM;
	h->c = c;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	h->curl = curl_easy_init();
	if (!h->curl)
		return -ENOMEM;
	set_options(h);
	*ret = TAKE_PTR(h);
	return 0;
}

struct http *http_free(struct http *h)
{
	if (!h)
		return NULL;
	curl_easy_cleanup(h->curl);
	curl_slist_free_all(h->headers);
	free(h);
	return NULL;
}

static int add_header(struct http *h, const char *line)
{
	struct curl_slist *longer = curl_slist_append(h->headers, line);

	if (!longer)
		return -ENOMEM;
	h->headers = longer;
	return 0;
}

_printf_(2, 3) static int add_header_text(struct http *h, const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&line, format, ap);
	va_end(ap);
	if (r < 0) {
		line = NULL;
		return -ENOMEM;
	}
	if (strpbrk(line, "\r\n"))
		return -EINVAL; /* one line stays one line */
	r = add_header(h, line);
	explicit_bzero(line, strlen(line));
	return r;
}

static int add_token(struct http *h)
{
	const char *token = h->c->files[EXPORT_FILE_TOKEN];
	size_t n;

	if (!token)
		return 0;
	n = strcspn(token, "\r\n");
	return add_header_text(h, "Authorization: Bearer %.*s", (int)n, token);
}

static int set_headers(struct http *h, const struct http_request *q)
{
	int r = 0;

	curl_slist_free_all(h->headers);
	h->headers = NULL;
	for (size_t i = 0; q->headers[i] && r >= 0; i++)
		r = add_header(h, q->headers[i]);
	for (size_t i = 0; i < h->c->n_headers && r >= 0; i++)
		r = add_header_text(h, "%s: %s", h->c->headers[i].key, h->c->headers[i].value);
	if (r >= 0 && h->c->tenant)
		r = add_header_text(h, "X-Scope-OrgID: %s", h->c->tenant);
	if (r >= 0)
		r = add_token(h);
	if (r >= 0)
		r = add_header(h, "Expect:"); /* no pause before the body */
	(void)curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->headers);
	return r;
}

static void set_version(struct http *h, const struct http_request *q)
{
	bool is_tls = strncmp(q->url, "https:", 6) == 0;
	long version = CURL_HTTP_VERSION_1_1;

	if (q->is_grpc)
		version = is_tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	(void)curl_easy_setopt(h->curl, CURLOPT_HTTP_VERSION, version);
	/* A second h2c request on one connection fails in libcurl 7.88. */
	(void)curl_easy_setopt(h->curl, CURLOPT_FRESH_CONNECT, (long)(q->is_grpc && !is_tls));
}

/* What the destination said before the transfer failed counts: a status, and in a gRPC call the message, since only a
 * call that succeeded has one. */
static bool has_decided(const struct http_answer *a, bool is_grpc)
{
	return is_grpc ? a->has_grpc_status || http_answer_has_message(a) : a->status >= 200;
}

_printf_(2, 3) static void set_error(struct http *h, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(h->error, sizeof(h->error), format, ap);
	va_end(ap);
}

static int add_advice(struct http *h, const char *advice)
{
	size_t n = strlen(h->error);

	if (!advice)
		return -EIO;
	(void)snprintf(h->error + n, sizeof(h->error) - n, "; %s", advice);
	return -EREMOTEIO;
}

static bool is_sent(const struct http *h, const struct http_request *q)
{
	curl_off_t n = 0;

	(void)curl_easy_getinfo(h->curl, CURLINFO_SIZE_UPLOAD_T, &n);
	return n >= (curl_off_t)q->body->size;
}

static int after_failure(struct http *h, const struct http_request *q, CURLcode code, struct http_answer *a)
{
	(void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &a->status);
	if (!*h->error)
		set_error(h, "%s", curl_easy_strerror(code));
	if (code == CURLE_GOT_NOTHING && q->is_grpc) /* of both libcurl says no more */
		set_error(h, "the call ended without an answer, or a header of it has more than 65536 bytes");
	if (!*h->too_large && transfer_is_too_large(code, h->error, a->status || is_sent(h, q)))
		(void)stop(h, HTTP_HEADERS_MAX, "headers");
	if (*h->too_large)
		set_error(h, "the answer has more than %s", h->too_large);
	else if (code == CURLE_OUT_OF_MEMORY)
		return -ENOMEM;
	if (has_decided(a, q->is_grpc)) {
		a->is_cut = true;
		return 0;
	}
	if (*h->too_large)
		return add_advice(h, "no such server is meant to be there; correct Url= (--to)");
	a->is_reset = q->is_grpc && transfer_is_reset(code, h->error, &a->reset_code);
	return a->is_reset ? 0 : add_advice(h, transfer_advice(code, h->error));
}

static int perform(struct http *h, const struct http_request *q, struct http_answer *a)
{
	CURLcode code;

	(void)curl_easy_setopt(h->curl, CURLOPT_URL, q->url);
	(void)curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, q->body->data ? q->body->data : "");
	(void)curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body->size);
	h->answer = a;
	h->header_bytes = 0;
	*h->too_large = 0;
	*h->error = 0;
	code = curl_easy_perform(h->curl);
	h->answer = NULL;
	if (code != CURLE_OK)
		return after_failure(h, q, code, a);
	(void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &a->status);
	return 0;
}

int http_post(struct http *h, const struct http_request *request, struct http_answer *ret)
{
	struct http_answer a = { .body = BUFFER(HTTP_BODY_MAX) };
	int r;

	r = set_headers(h, request);
	if (r < 0) {
		snprintf(h->error, sizeof(h->error), "a header cannot be sent: %s", strerror(-r));
		return r == -ENOMEM ? r : -EREMOTEIO;
	}
	set_version(h, request);
	r = perform(h, request, &a);
	if (r < 0) {
		http_answer_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}

void http_answer_done(struct http_answer *a)
{
	buffer_done(&a->body);
}

bool http_answer_has_message(const struct http_answer *a)
{
	return a->status == 200 && a->is_grpc && grpc_is_message(&a->body);
}

const char *http_error(const struct http *h)
{
	return *h->error ? h->error : "no answer";
}

void http_answer_text(const struct http_answer *a, char *text, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < a->body.size && k + 1 < n; i++) {
		unsigned char c = (unsigned char)a->body.data[i];

		text[k++] = c >= 0x20 && c < 0x7f ? (char)c : ' ';
	}
	text[k] = 0;
}
