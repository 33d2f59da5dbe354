#include "store/name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define YEARS_MAX 8100 /* since 1900: names have four digits */

static const struct {
	const char *name;
	int64_t seconds;
} levels[STORE_LEVELS] = {
	[STORE_WINDOW] = { "window", 0 },
	[STORE_HOUR] = { "hour", 3600 },
	[STORE_DAY] = { "day", 86400 },
};

const char *store_level_name(uint32_t level)
{
	return level < STORE_LEVELS ? levels[level].name : "?";
}

int64_t store_level_seconds(uint32_t level)
{
	return level < STORE_LEVELS ? levels[level].seconds : 0;
}

static bool is_host_byte(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
	       c == '_';
}

void store_name_set_host(struct store_name *n, const char *host)
{
	size_t size = strnlen(host, sizeof(n->host) - 1);

	if (size == 0) {
		host = "localhost";
		size = strlen(host);
	}
	for (size_t i = 0; i < size; i++)
		n->host[i] = is_host_byte(host[i]) ? host[i] : '_';
	n->host[size] = 0;
}

void store_name_format(const struct store_name *n, const char *type, char ret_path[STORE_PATH_MAX])
{
	char date[16] = "1970-01-01", start[24] = "19700101T000000Z", serial[16] = "";
	time_t t = (time_t)n->start_s;
	struct tm tm;

	assert(n->level < STORE_LEVELS);

	if (t >= 0 && gmtime_r(&t, &tm) && tm.tm_year < YEARS_MAX) {
		(void)strftime(date, sizeof(date), "%Y-%m-%d", &tm);
		(void)strftime(start, sizeof(start), "%Y%m%dT%H%M%SZ", &tm);
	}
	if (n->serial > 1)
		(void)snprintf(serial, sizeof(serial), "+%u", n->serial);
	(void)snprintf(ret_path, STORE_PATH_MAX, "%s/%s/%s-%s%s%s%s" STORE_SUFFIX, type, date, start, n->host,
	        n->level ? "+" : "", n->level ? levels[n->level].name : "", serial);
}

/* "20261122T221000Z" exactly. */
static int parse_start(const char *s, int64_t *ret)
{
	static const char form[] = "ddddddddTddddddZ";
	struct tm tm = { 0 };
	time_t t;

	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return -EINVAL;
#define DIGITS2(at) ((s[at] - '0') * 10 + (s[(at) + 1] - '0'))
	tm.tm_year = DIGITS2(0) * 100 + DIGITS2(2) - 1900;
	tm.tm_mon = DIGITS2(4) - 1;
	tm.tm_mday = DIGITS2(6);
	tm.tm_hour = DIGITS2(9);
	tm.tm_min = DIGITS2(11);
	tm.tm_sec = DIGITS2(13);
#undef DIGITS2
	if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
	        tm.tm_sec > 60 || tm.tm_year < 70)
		return -EINVAL;
	t = timegm(&tm);
	if (t < 0 || tm.tm_year >= YEARS_MAX) /* a 60th second may be the next year's first */
		return -EINVAL;
	*ret = (int64_t)t;
	return 0;
}

/* "", "+2", "+hour", "+hour+2" */
static int parse_marks(const char *s, struct store_name *n)
{
	char *end;

	n->level = STORE_WINDOW;
	n->serial = 1;
	for (uint32_t level = STORE_HOUR; level < STORE_LEVELS; level++) {
		size_t size = strlen(levels[level].name);

		if (s[0] == '+' && strncmp(s + 1, levels[level].name, size) == 0) {
			n->level = level;
			s += 1 + size;
			break;
		}
	}
	if (!*s)
		return 0;
	if (s[0] != '+' || s[1] < '1' || s[1] > '9' || strlen(s) > 9)
		return -EINVAL;
	n->serial = (uint32_t)strtoul(s + 1, &end, 10);
	return *end || n->serial < 2 ? -EINVAL : 0;
}

int store_name_parse(const char *filename, struct store_name *ret)
{
	const size_t suffix = strlen(STORE_SUFFIX), prefix = strlen("20261122T221000Z-");
	size_t size = strnlen(filename, STORE_NAME_MAX);
	struct store_name n = { 0 };
	char text[STORE_NAME_MAX];
	char *marks;
	int r;

	if (size >= STORE_NAME_MAX || size <= prefix + suffix || strcmp(filename + size - suffix, STORE_SUFFIX) != 0)
		return -EINVAL;
	memcpy(text, filename, size - suffix);
	text[size - suffix] = 0;
	r = parse_start(text, &n.start_s);
	if (r < 0 || text[prefix - 1] != '-')
		return -EINVAL;
	marks = strchr(text + prefix, '+');
	r = parse_marks(marks ? marks : "", &n);
	if (r < 0)
		return r;
	if (marks)
		*marks = 0;
	size = strlen(text + prefix);
	if (size == 0 || size >= sizeof(n.host))
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		if (!is_host_byte(text[prefix + i]))
			return -EINVAL;
	memcpy(n.host, text + prefix, size + 1);
	*ret = n;
	return 0;
}

bool store_name_type_is_valid(const char *type)
{
	size_t size = strnlen(type, STORE_TYPE_MAX);

	if (size == 0 || size >= STORE_TYPE_MAX || strcmp(type, STORE_CORRUPT_DIRECTORY) == 0 || type[0] == '-')
		return false;
	for (size_t i = 0; i < size; i++)
		if (!((type[i] >= 'a' && type[i] <= 'z') || (type[i] >= '0' && type[i] <= '9') || type[i] == '_' ||
		            type[i] == '-'))
			return false;
	return true;
}

bool store_name_date_is_valid(const char *date)
{
	static const char form[] = "dddd-dd-dd";

	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? date[i] < '0' || date[i] > '9' : date[i] != form[i])
			return false;
	return date[strlen(form)] == 0;
}

bool store_name_path_is_valid(const char *path)
{
	char type[STORE_TYPE_MAX], date[16];
	const char *slash = strchr(path, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;
	struct store_name n;

	if (!second || (size_t)(slash - path) >= sizeof(type) || (size_t)(second - slash - 1) >= sizeof(date))
		return false;
	memcpy(type, path, (size_t)(slash - path));
	type[slash - path] = 0;
	memcpy(date, slash + 1, (size_t)(second - slash - 1));
	date[second - slash - 1] = 0;
	return store_name_type_is_valid(type) && store_name_date_is_valid(date) &&
	       store_name_parse(second + 1, &n) == 0;
}
