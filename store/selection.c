#include "store/selection.h"

#include <assert.h>
#include <inttypes.h>
#include <regex.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/units.h"

struct matcher {
	char *name, *value;
	bool is_regex, is_negative;
	regex_t regex;
};

struct matchers {
	size_t n;
	struct matcher of[SELECTION_MATCHERS_MAX];
};

struct matchers *matchers_free(struct matchers *m)
{
	if (!m)
		return NULL;
	for (size_t i = 0; i < m->n; i++) {
		free(m->of[i].name);
		free(m->of[i].value);
		if (m->of[i].is_regex)
			regfree(&m->of[i].regex);
	}
	free(m);
	return NULL;
}

size_t matchers_count(const struct matchers *m)
{
	return m ? m->n : 0;
}

const char *matchers_name(const struct matchers *m, size_t i)
{
	return m->of[i].name;
}

static _printf_(3, 4) int fail(struct profile_error *error, int r, const char *format, ...)
{
	va_list ap;

	if (error) {
		va_start(ap, format);
		(void)vsnprintf(error->text, sizeof(error->text), format, ap);
		va_end(ap);
	}
	return r;
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
	       c == '-' || c == '/' || c == ':';
}

static const char *skip_spaces(const char *s)
{
	return s + strspn(s, " \t\n");
}

static int parse_operator(const char **at, struct matcher *m)
{
	static const struct {
		const char *text;
		bool is_regex, is_negative;
	} operators[] = { { "=~", true, false }, { "!~", true, true }, { "!=", false, true }, { "=", false, false } };

	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (strncmp(*at, operators[i].text, strlen(operators[i].text)) == 0) {
			*at += strlen(operators[i].text);
			m->is_regex = operators[i].is_regex;
			m->is_negative = operators[i].is_negative;
			return 0;
		}
	return -EINVAL;
}

static int parse_value(const char **at, char **ret)
{
	_cleanup_buffer_ struct buffer value = BUFFER(SELECTION_TEXT_MAX);
	const char *s = *at;

	if (*s != '"') {
		size_t n = strcspn(s, ", \t\n\"}");

		(void)buffer_append(&value, s, n);
		*at = s + n;
	} else {
		for (s++; *s != '"'; s++) {
			if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
				s++;
			if (!*s)
				return -EINVAL;
			(void)buffer_append(&value, s, 1);
		}
		*at = s + 1;
	}
	if (value.error)
		return value.error;
	*ret = buffer_take_string(&value);
	return *ret ? 0 : -ENOMEM;
}

static int compile(struct matcher *m, struct profile_error *error)
{
	_cleanup_free_ char *whole = NULL;
	char why[100];
	int r;

	if (asprintf(&whole, "^(%s)$", m->value) < 0) {
		whole = NULL;
		m->is_regex = false;
		return -ENOMEM;
	}
	r = regcomp(&m->regex, m->value[0] ? whole : "^$", REG_EXTENDED | REG_NOSUB);
	if (r == 0)
		return 0;
	m->is_regex = false;
	(void)regerror(r, &m->regex, why, sizeof(why));
	return fail(error, r == REG_ESPACE ? -ENOMEM : -EINVAL, "'%.60s' is no regular expression: %s", m->value, why);
}

static int parse_matcher(const char **at, struct matchers *all, struct profile_error *error)
{
	struct matcher *m;
	size_t n = 0;
	int r;

	if (all->n == SELECTION_MATCHERS_MAX)
		return fail(error, -E2BIG, "more than %d matchers", SELECTION_MATCHERS_MAX);
	while (is_name_byte((*at)[n]))
		n++;
	if (n == 0)
		return fail(error, -EINVAL, "a label name is missing before '%.40s'", *at);
	m = &all->of[all->n++];
	m->name = strndup(*at, n);
	if (!m->name)
		return -ENOMEM;
	*at = skip_spaces(*at + n);
	r = parse_operator(at, m);
	if (r < 0)
		return fail(error, r, "after '%.60s' comes one of = != =~ !~", m->name);
	*at = skip_spaces(*at);
	r = parse_value(at, &m->value);
	if (r < 0) {
		m->is_regex = false;
		return fail(error, r, "the value of '%.60s' has no closing quote", m->name);
	}
	return m->is_regex ? compile(m, error) : 0;
}

int matchers_parse(const char *text, struct matchers **ret, struct profile_error *error)
{
	_cleanup_(matchers_freep) struct matchers *m = calloc(1, sizeof(*m));
	const char *at = text ? skip_spaces(text) : "";
	int r;

	if (!m)
		return -ENOMEM;
	if (strlen(at) > SELECTION_TEXT_MAX)
		return fail(error, -E2BIG, "matchers are longer than %d bytes", SELECTION_TEXT_MAX);
	while (*at) {
		r = parse_matcher(&at, m, error);
		if (r < 0)
			return r;
		at = skip_spaces(at);
		if (!*at)
			break;
		if (*at != ',')
			return fail(error, -EINVAL, "a comma is missing before '%.40s'", at);
		at = skip_spaces(at + 1);
	}
	*ret = TAKE_PTR(m);
	return 0;
}

bool matchers_match_value(const struct matchers *all, size_t i, const char *value, size_t size)
{
	const struct matcher *m = &all->of[i];
	bool is_equal;

	if (m->is_regex) {
		regmatch_t whole = { .rm_so = 0, .rm_eo = (regoff_t)size };

		is_equal = regexec(&m->regex, value, 1, &whole, REG_STARTEND) == 0;
	} else
		is_equal = strlen(m->value) == size && memcmp(m->value, value, size) == 0;
	return is_equal != m->is_negative;
}

static bool matches_label(const struct matchers *m, size_t i, const struct profile *p, const struct profile_label *l)
{
	char number[24];
	const char *value = number;
	size_t size;

	if (l->unit == PROFILE_NONE)
		value = profile_string(p, (uint32_t)l->value, &size);
	else
		size = (size_t)snprintf(number, sizeof(number), "%" PRId64, l->value);
	return matchers_match_value(m, i, value, size);
}

bool matchers_want(void *matchers, const struct profile *p, const struct profile_label *labels, size_t n)
{
	const struct matchers *m = matchers;

	for (size_t i = 0; i < matchers_count(m); i++) {
		const struct profile_label *found = NULL;

		for (size_t j = 0; j < n && !found; j++)
			if (strcmp(profile_string(p, labels[j].key, NULL), m->of[i].name) == 0)
				found = &labels[j];
		if (found ? !matches_label(m, i, p, found) : !matchers_match_value(m, i, "", 0))
			return false;
	}
	return true;
}

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

static int from_calendar(struct tm *tm, bool is_utc, int64_t *ret)
{
	time_t t;

	tm->tm_isdst = -1;
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

		if (forms[i][1] == 'H') { /* of today */
			if (!localtime_r(&now, &tm) || !gmtime_r(&now, &utc))
				return -EINVAL;
			if (text[0] && text[strlen(text) - 1] == 'Z')
				tm = utc;
			tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		}
		end = strptime(text, forms[i], &tm);
		if (end && (!*end || strcmp(end, "Z") == 0))
			return from_calendar(&tm, *end == 'Z', ret);
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

char *selection_format_time(char buffer[SELECTION_TIME_MAX], int64_t ns)
{
	time_t t = (time_t)(ns / (int64_t)NS_PER_SEC);
	struct tm tm;

	if (!localtime_r(&t, &tm) || strftime(buffer, SELECTION_TIME_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(buffer, SELECTION_TIME_MAX, "@%" PRId64, (int64_t)t);
	return buffer;
}
