#include "export/transfer.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"

#define TOO_LARGE 100 /* CURLE_TOO_LARGE, which came with libcurl 8.6 */
#define TRUST "CaFile= (--ca-file) names whom to trust"
#define OUR_CERTIFICATE "correct CertFile= and KeyFile= (--cert-file, --key-file)"
#define ADDRESS "correct Url= (--to)"
#define SPEAKS "no server of this protocol is there; correct Url= (--to) and Protocol= (--protocol)"

static const struct {
	CURLcode code;
	const char *advice;
} by_code[] = {
	{ CURLE_PEER_FAILED_VERIFICATION, TRUST },
	{ CURLE_SSL_ISSUER_ERROR, TRUST },
	{ CURLE_SSL_CACERT_BADFILE, TRUST },
	{ CURLE_SSL_CERTPROBLEM, OUR_CERTIFICATE },
	{ CURLE_SSL_INVALIDCERTSTATUS, "the server must renew its certificate" },
	{ CURLE_SSL_CIPHER, "the server must offer TLS 1.2 or newer" },
	{ CURLE_URL_MALFORMAT, ADDRESS },
	{ CURLE_UNSUPPORTED_PROTOCOL, SPEAKS }, /* HTTP/0.9, that is: bytes that are no HTTP */
	{ CURLE_TOO_MANY_REDIRECTS, ADDRESS },
	{ CURLE_WEIRD_SERVER_REPLY, SPEAKS },
	{ CURLE_NOT_BUILT_IN, "this libcurl cannot do that" },
};

/* A handshake that the other side ended with an alert, where the same certificates would get the same answer. Whatever
 * else ends one (a reset, a server that starts) is not here. */
static const struct {
	const char *text, *advice;
} by_text[] = {
	{ "alert certificate required", OUR_CERTIFICATE },
	{ "alert bad certificate", OUR_CERTIFICATE },
	{ "alert unsupported certificate", OUR_CERTIFICATE },
	{ "alert certificate revoked", OUR_CERTIFICATE },
	{ "alert certificate expired", OUR_CERTIFICATE },
	{ "alert certificate unknown", OUR_CERTIFICATE },
	{ "alert unknown ca", OUR_CERTIFICATE },
	{ "alert access denied", OUR_CERTIFICATE },
	{ "alert handshake failure", OUR_CERTIFICATE },
	{ "alert protocol version", "the server must offer TLS 1.2 or newer" },
	{ "wrong version number", "the server speaks no TLS there; correct Url= (--to)" },
};

const char *transfer_advice(CURLcode code, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(by_code); i++)
		if (by_code[i].code == code)
			return by_code[i].advice;
	if (code != CURLE_SSL_CONNECT_ERROR && code != CURLE_RECV_ERROR && code != CURLE_SEND_ERROR)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(by_text); i++)
		if (strcasestr(text, by_text[i].text))
			return by_text[i].advice;
	return NULL;
}

bool transfer_is_too_large(CURLcode code, const char *text, bool is_answering)
{
	/* A limit of libcurl's in a callback of nghttp2, one of nghttp2's, one of libcurl 8 over HTTP/1. */
	static const char *const marks[] = { "user callback function failed", "Too many CONTINUATION frames",
		"Too large response headers" };

	if (code == CURLE_OUT_OF_MEMORY) /* so does libcurl 7 call it */
		return is_answering;
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (strcasestr(text, marks[i]))
			return true;
	return code == TOO_LARGE;
}

bool transfer_is_reset(CURLcode code, const char *text, uint32_t *ret_http2_code)
{
	/* How libcurl 7 and 8 write the number; without one the stream ended by NO_ERROR before its headers. */
	static const char *const marks[] = { "(err ", "(error " };

	if (code != CURLE_HTTP2_STREAM || strstr(text, "end of the underlying")) /* the connection's end */
		return false;
	*ret_http2_code = 0;
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		const char *at = strstr(text, marks[i]);

		if (at)
			*ret_http2_code = (uint32_t)strtoul(at + strlen(marks[i]), NULL, 0);
	}
	return true;
}
