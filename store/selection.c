#include "store/selection.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/units.h"

/* "-90m", "+5m" */
static int parse_relative(const char *text, int64_t now_ns, int64_t *ret)
{
	uint64_t ns;
	int r = units_parse_time(text + 1, &ns);

	if (r < 0)
		return -EINVAL;
	if (ns > INT64_MAX || (text[0] == '-' ? __builtin_sub_overflow(now_ns, (int64_t)ns, ret)
	                                      : __builtin_add_overflow(now_ns, (int64_t)ns, ret)))
		return -EINVAL;
	return 0;
}

static int parse_epoch(const char *text, int64_t *ret)
{
	char *end;
	double seconds;

	if ((text[0] < '0' || text[0] > '9'))
		return -EINVAL;
	seconds = strtod(text, &end);
	if (*end || seconds > 9e9)
		return -EINVAL;
	*ret = (int64_t)(seconds * (double)NS_PER_SEC);
	return 0;
}

/* Behind a time: nothing (local time; when clocks are set back, what libc takes of the two), Z (UTC), or the zone's own
 * "CET" or "CEST", which tells the two apart. */
static bool take_zone(const char *text, struct tm *tm, bool *ret_is_utc)
{
	*ret_is_utc = strcmp(text, "Z") == 0;
	tm->tm_isdst = -1;
	if (!*text || *ret_is_utc)
		return true;
	if (*text++ != ' ')
		return false;
	tzset();
	tm->tm_isdst = strcmp(text, tzname[0]) == 0 ? 0 : strcmp(text, tzname[1]) == 0 ? 1 : -1;
	return tm->tm_isdst >= 0;
}

static int from_calendar(struct tm *tm, bool is_utc, int64_t *ret)
{
	time_t t;

	t = is_utc ? timegm(tm) : mktime(tm);
	if (t < 0 || t > 9000000000)
		return -EINVAL;
	*ret = (int64_t)t * (int64_t)NS_PER_SEC;
	return 0;
}

static int parse_calendar(const char *text, int64_t now_ns, int64_t *ret)
{
	static const char *const forms[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
		"%Y-%m-%dT%H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M" };
	time_t now = (time_t)(now_ns / (int64_t)NS_PER_SEC);

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = { 0 }, utc = { 0 };
		const char *end;
		bool is_utc;

		if (forms[i][1] == 'H') { /* of today */
			if (!localtime_r(&now, &tm) || !gmtime_r(&now, &utc))
				return -EINVAL;
			if (text[0] && text[strlen(text) - 1] == 'Z')
				tm = utc;
			tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		}
		end = strptime(text, forms[i], &tm);
		if (end && take_zone(end, &tm, &is_utc))
			return from_calendar(&tm, is_utc, ret);
	}
	return -EINVAL;
}

static int parse_day(int64_t now_ns, int days, int64_t *ret)
{
	time_t now = (time_t)(now_ns / (int64_t)NS_PER_SEC);
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return -EINVAL;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_mday += days;
	tm.tm_isdst = -1;
	return from_calendar(&tm, false, ret);
}

int selection_parse_time(const char *text, int64_t now_ns, int64_t *ret_ns)
{
	assert(text);
	assert(ret_ns);

	if (strcmp(text, "now") == 0) {
		*ret_ns = now_ns;
		return 0;
	}
	if (text[0] == '-' || text[0] == '+')
		return parse_relative(text, now_ns, ret_ns);
	if (text[0] == '@')
		return parse_epoch(text + 1, ret_ns);
	if (strcmp(text, "today") == 0)
		return parse_day(now_ns, 0, ret_ns);
	if (strcmp(text, "yesterday") == 0)
		return parse_day(now_ns, -1, ret_ns);
	return parse_calendar(text, now_ns, ret_ns);
}

int selection_parse_range(const char *text, int64_t now_ns, int64_t *ret_from_ns, int64_t *ret_to_ns)
{
	_cleanup_free_ char *from = NULL;
	const char *dots = strstr(text, "..");
	int64_t from_ns, to_ns;
	int r;

	if (!dots)
		return -EINVAL;
	from = strndup(text, (size_t)(dots - text));
	if (!from)
		return -ENOMEM;
	r = selection_parse_time(from[0] ? from : "-1h", now_ns, &from_ns);
	if (r < 0)
		return r;
	r = selection_parse_time(dots[2] ? dots + 2 : "now", now_ns, &to_ns);
	if (r < 0)
		return r;
	if (to_ns <= from_ns)
		return -ERANGE;
	*ret_from_ns = from_ns;
	*ret_to_ns = to_ns;
	return 0;
}

/* Whether the clock shows this time twice, for it is set back between. */
static bool is_ambiguous(time_t t, const struct tm *tm)
{
	for (int hour = -1; hour <= 1; hour += 2) {
		time_t other = t + hour * 3600;
		struct tm there;

		if (localtime_r(&other, &there) && there.tm_hour == tm->tm_hour && there.tm_mday == tm->tm_mday)
			return true;
	}
	return false;
}

char *selection_format_time(char buffer[SELECTION_TIME_MAX], int64_t ns)
{
	time_t t = (time_t)(ns / (int64_t)NS_PER_SEC);
	struct tm tm;

	if (!localtime_r(&t, &tm) ||
	        strftime(buffer, SELECTION_TIME_MAX,
	                is_ambiguous(t, &tm) ? "%Y-%m-%d %H:%M:%S %Z" : "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(buffer, SELECTION_TIME_MAX, "@%" PRId64, (int64_t)t);
	return buffer;
}
