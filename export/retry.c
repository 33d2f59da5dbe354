#include "export/retry.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/clock.h"

enum {
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

enum { HTTP2_REFUSED_STREAM = 7, HTTP2_CANCEL = 8, HTTP2_ENHANCE_YOUR_CALM = 11, HTTP2_INADEQUATE_SECURITY = 12 };

uint64_t retry_delay_ns(const struct retry_policy *policy, unsigned failures, uint64_t retry_after_ns, uint64_t random)
{
	uint64_t pause = policy->initial_ns;

	for (unsigned i = 1; i < failures && pause < policy->max_ns; i++)
		pause *= 2;
	pause = MIN(pause, policy->max_ns);
	if (retry_after_ns) {
		retry_after_ns = MIN(retry_after_ns, RETRY_AFTER_MAX_NS);
		return retry_after_ns + random % (retry_after_ns / 10 + 1);
	}
	return pause / 2 + random % (pause / 2 + 1);
}

static enum export_outcome refusal(long http_status)
{
	switch (http_status) {
	case 400:
	case 422:
		return EXPORT_REJECTED;
	case 401:
	case 403:
	case 407:
		return EXPORT_DENIED;
	default:
		return EXPORT_REFUSED;
	}
}

enum export_outcome retry_otlp_status(long http_status)
{
	bool again = http_status == 429 || (http_status >= 502 && http_status <= 504);

	return again ? EXPORT_RETRY : refusal(http_status);
}

enum export_outcome retry_grpc_status(long grpc_status, bool has_retry_info)
{
	switch (grpc_status) {
	case GRPC_CANCELLED:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_ABORTED:
	case GRPC_OUT_OF_RANGE:
	case GRPC_UNAVAILABLE:
	case GRPC_DATA_LOSS:
		return EXPORT_RETRY;
	case GRPC_RESOURCE_EXHAUSTED:
		return has_retry_info ? EXPORT_RETRY : EXPORT_REFUSED;
	case GRPC_INVALID_ARGUMENT:
		return EXPORT_REJECTED;
	case GRPC_PERMISSION_DENIED:
	case GRPC_UNAUTHENTICATED:
		return EXPORT_DENIED;
	default:
		return EXPORT_REFUSED;
	}
}

enum export_outcome retry_grpc_http_status(long http_status)
{
	switch (http_status) {
	case 400:
		return retry_grpc_status(GRPC_INTERNAL, false);
	case 401:
		return retry_grpc_status(GRPC_UNAUTHENTICATED, false);
	case 403:
		return retry_grpc_status(GRPC_PERMISSION_DENIED, false);
	case 404:
		return retry_grpc_status(GRPC_UNIMPLEMENTED, false);
	case 429:
	case 502:
	case 503:
	case 504:
		return retry_grpc_status(GRPC_UNAVAILABLE, false);
	default:
		return retry_grpc_status(GRPC_UNKNOWN, false);
	}
}

enum export_outcome retry_grpc_reset(uint32_t http2_code)
{
	switch (http2_code) {
	case HTTP2_REFUSED_STREAM: /* "was not processed" */
		return retry_grpc_status(GRPC_UNAVAILABLE, false);
	case HTTP2_CANCEL:
		return retry_grpc_status(GRPC_CANCELLED, false);
	case HTTP2_ENHANCE_YOUR_CALM:
		return retry_grpc_status(GRPC_RESOURCE_EXHAUSTED, false);
	case HTTP2_INADEQUATE_SECURITY:
		return retry_grpc_status(GRPC_PERMISSION_DENIED, false);
	default:
		return retry_grpc_status(GRPC_INTERNAL, false);
	}
}

enum export_outcome retry_plain_status(long http_status)
{
	bool again = http_status == 408 || http_status == 429 || http_status >= 500;

	return again ? EXPORT_RETRY : refusal(http_status);
}

static int month_of(const char *name)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++)
		if (strncmp(months + 3 * i, name, 3) == 0)
			return i;
	return -EINVAL;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT": the one form that servers may send. By hand, because strptime() asks the locale. */
static int parse_date(const char *text, time_t *ret)
{
	struct tm tm = { 0 };
	char month[4] = "", zone[4] = "";
	const char *comma = strchr(text, ',');
	time_t t;

	if (!comma ||
	        sscanf(comma + 1, "%2d %3s %4d %2d:%2d:%2d %3s", &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour,
	                &tm.tm_min, &tm.tm_sec, zone) != 7 ||
	        strcmp(zone, "GMT") != 0)
		return -EINVAL;
	tm.tm_mon = month_of(month);
	tm.tm_year -= 1900;
	if (tm.tm_mon < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	t = timegm(&tm);
	if (t < 0)
		return -EINVAL;
	*ret = t;
	return 0;
}

int retry_parse_after(const char *text, uint64_t now_s, uint64_t *ret_ns)
{
	uint64_t seconds = 0;
	const char *p = text + strspn(text, " \t");
	time_t date;

	if (isdigit((unsigned char)*p)) {
		for (; isdigit((unsigned char)*p); p++)
			seconds = MIN(seconds * 10 + (uint64_t)(*p - '0'), (uint64_t)1 << 40);
		if (p[strspn(p, " \t\r\n")])
			return -EINVAL;
	} else {
		if (parse_date(p, &date) < 0)
			return -EINVAL;
		seconds = (uint64_t)date > now_s ? (uint64_t)date - now_s : 0;
	}
	*ret_ns = MIN(seconds * NS_PER_SEC, RETRY_AFTER_MAX_NS);
	return 0;
}
