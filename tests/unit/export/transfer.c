#include "tests/unit/unit.h"
#include "export/transfer.h"

#include <string.h>
#include "base/cleanup.h"

static void what_may_pass_has_no_advice(void **state)
{
	static const CURLcode codes[] = { CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST,
		CURLE_COULDNT_RESOLVE_PROXY, CURLE_OPERATION_TIMEDOUT, CURLE_GOT_NOTHING, CURLE_SEND_ERROR,
		CURLE_RECV_ERROR, CURLE_PARTIAL_FILE, CURLE_SSL_CONNECT_ERROR, CURLE_HTTP2, CURLE_HTTP2_STREAM };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		assert_null(transfer_advice(codes[i], "Recv failure: Connection reset by peer"));
	/* Words of the address are no alert. */
	assert_null(transfer_advice(
	        CURLE_COULDNT_CONNECT, "Failed to connect to alert-unknown-ca port 1: alert unknown ca"));
}

static void what_stays_so_says_what_to_do(void **state)
{
	static const CURLcode codes[] = { CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE,
		CURLE_SSL_CERTPROBLEM, CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_TOO_MANY_REDIRECTS,
		CURLE_WEIRD_SERVER_REPLY };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		assert_non_null(transfer_advice(codes[i], ""));
	assert_non_null(strstr(transfer_advice(CURLE_PEER_FAILED_VERIFICATION, ""), "CaFile="));
	assert_non_null(
	        strstr(transfer_advice(CURLE_RECV_ERROR, "OpenSSL SSL_read: error:0A00045C:SSL "
	                                                 "routines::tlsv13 alert certificate required, errno 0"),
	                "CertFile="));
	assert_non_null(strstr(
	        transfer_advice(CURLE_SSL_CONNECT_ERROR, "error:0A00010B:SSL routines::wrong version number"), "Url="));
}

static void resets(void **state)
{
	uint32_t code = 99;

	(void)state;
	assert_false(transfer_is_reset(CURLE_HTTP2, "(err 7)", &code));
	assert_int_equal(code, 99);
	assert_true(
	        transfer_is_reset(CURLE_HTTP2_STREAM, "HTTP/2 stream 1 was not closed cleanly: CANCEL (err 8)", &code));
	assert_int_equal(code, 8);
	assert_true(transfer_is_reset(CURLE_HTTP2_STREAM, "HTTP/2 stream 1 reset by server (error 0xb CALM)", &code));
	assert_int_equal(code, 11);
	assert_true(transfer_is_reset(CURLE_HTTP2_STREAM, "HTTP/2 stream 1 was closed cleanly, but before", &code));
	assert_int_equal(code, 0);
}

static void headers_over_a_limit(void **state)
{
	(void)state;
	assert_true(transfer_is_too_large(CURLE_RECV_ERROR,
	        "h2_process_pending_input: nghttp2_session_mem_recv() returned -902:The user callback function failed",
	        true));
	assert_true(transfer_is_too_large(
	        CURLE_HTTP2, "nghttp2 recv error -905: Too many CONTINUATION frames following a HEADER frame", false));
	assert_true(transfer_is_too_large(CURLE_RECV_ERROR, "Too large response headers: 307245 > 307200", true));
	assert_true(transfer_is_too_large((CURLcode)100, "", true));
	assert_true(transfer_is_too_large(CURLE_OUT_OF_MEMORY, "Out of memory", true));
	assert_false(transfer_is_too_large(CURLE_OUT_OF_MEMORY, "Out of memory", false));
	assert_false(transfer_is_too_large(CURLE_RECV_ERROR, "Recv failure: Connection reset by peer", true));
	assert_false(
	        transfer_is_too_large(CURLE_OPERATION_TIMEDOUT, "Operation timed out after 20000 milliseconds", true));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_may_pass_has_no_advice),
	cmocka_unit_test(what_stays_so_says_what_to_do),
	cmocka_unit_test(resets),
	cmocka_unit_test(headers_over_a_limit),
};

UNIT_MAIN(tests)
