/* Why a transfer of libcurl failed. Pure functions. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <curl/curl.h>

/* What a person must do where repeating alone cannot help (a certificate, the address, something that speaks no HTTP);
 * NULL where another try may succeed (connection refused or reset, names, time-outs). text: libcurl's words, as some of
 * its codes mean both. */
const char *transfer_advice(CURLcode code, const char *text);

/* The headers of an answer were over a limit of libcurl's own (100 KiB a line, 128 KiB all over HTTP/2). is_answering:
 * the other side had come to answer; until then, out of memory means just that. */
bool transfer_is_too_large(CURLcode code, const char *text, bool is_answering);

/* The code of the RST_STREAM that ended an HTTP/2 stream; false where it was something else that failed. */
bool transfer_is_reset(CURLcode code, const char *text, uint32_t *ret_http2_code);
