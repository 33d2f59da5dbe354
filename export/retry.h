/* When to try again, and what an answer means. Pure functions. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "export/protocol.h"

struct retry_policy {
	uint64_t initial_ns; /* before the second try */
	uint64_t max_ns;     /* longest pause of ours; a destination may ask for more, up to RETRY_AFTER_MAX_NS */
};

#define RETRY_POLICY_DEFAULT ((struct retry_policy){ .initial_ns = 1000000000ull, .max_ns = 300000000000ull })
#define RETRY_AFTER_MAX_NS 3600000000000ull

/* Pause after failures tries in a row (1 or more): doubles each time, half of it at random so that ten thousand hosts
 * do not come back at once. What the destination asked for is never undercut. */
uint64_t retry_delay_ns(const struct retry_policy *policy, unsigned failures, uint64_t retry_after_ns, uint64_t random);

/* What a status that is no success means for one request. EXPORT_RETRY only where the specification allows it;
 * EXPORT_REJECTED where the request is bad by itself, EXPORT_DENIED where credentials are missing or wrong,
 * EXPORT_REFUSED for all that may lie with the destination, its address or its limits. */

/* OTLP over HTTP: again at 429, 502, 503, 504 and nothing else. */
enum export_outcome retry_otlp_status(long http_status);
/* OTLP over gRPC: again at CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS; at
 * RESOURCE_EXHAUSTED only where the server said how long to wait. */
enum export_outcome retry_grpc_status(long grpc_status, bool has_retry_info);
/* No grpc-status came: what the gRPC specification makes of the HTTP status, or of the code of the HTTP/2 RST_STREAM
 * that ended the call, judged as above. Most are INTERNAL or UNKNOWN, which are not tried again. */
enum export_outcome retry_grpc_http_status(long http_status);
enum export_outcome retry_grpc_reset(uint32_t http2_code);
/* Others have no rule: again at too many requests, timeouts and every failure of the server. */
enum export_outcome retry_plain_status(long http_status);

/* "120" or a date as HTTP has it; now_s is the wall clock. -EINVAL; a date that has passed is 0. */
int retry_parse_after(const char *text, uint64_t now_s, uint64_t *ret_ns);
