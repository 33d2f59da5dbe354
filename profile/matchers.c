#include "profile/matchers.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/pattern.h"

struct matcher {
	char *name, *value;
	bool is_regex, is_negative;
	regex_t regex;
};

struct matchers {
	size_t n;
	struct matcher of[MATCHERS_MAX];
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
	_cleanup_buffer_ struct buffer value = BUFFER(MATCHERS_TEXT_MAX);
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

static int parse_matcher(const char **at, struct matchers *all, struct profile_error *error)
{
	char why[PATTERN_WHY_MAX];
	struct matcher *m;
	size_t n = 0;
	int r;

	if (all->n == MATCHERS_MAX)
		return fail(error, -E2BIG, "more than %d matchers", MATCHERS_MAX);
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
	if (!m->is_regex)
		return 0;
	r = pattern_compile(m->value, true, &m->regex, why);
	m->is_regex = r >= 0; /* there is something to free */
	return r < 0 ? fail(error, r, "'%.60s' is no regular expression that can be used: %s", m->value, why) : 0;
}

int matchers_parse(const char *text, struct matchers **ret, struct profile_error *error)
{
	_cleanup_(matchers_freep) struct matchers *m = calloc(1, sizeof(*m));
	const char *at = text ? skip_spaces(text) : "";
	bool braces = *at == '{';
	int r;

	assert(ret);

	if (!m)
		return -ENOMEM;
	if (strlen(at) > MATCHERS_TEXT_MAX)
		return fail(error, -E2BIG, "matchers are longer than %d bytes", MATCHERS_TEXT_MAX);
	at = skip_spaces(at + braces);
	while (*at && *at != '}') {
		r = parse_matcher(&at, m, error);
		if (r < 0)
			return r;
		at = skip_spaces(at);
		if (*at == ',')
			at = skip_spaces(at + 1);
		else if (*at && *at != '}')
			return fail(error, -EINVAL, "a comma is missing before '%.40s'", at);
	}
	if (braces != (*at == '}') || *skip_spaces(at + braces))
		return fail(error, -EINVAL, "braces do not match in '%.60s'", text);
	*ret = TAKE_PTR(m);
	return 0;
}

static bool equals(const struct matcher *m, const char *value, size_t size)
{
	regmatch_t whole = { .rm_so = 0, .rm_eo = (regoff_t)size };

	if (m->is_regex)
		return regexec(&m->regex, value, 1, &whole, REG_STARTEND) == 0;
	return strlen(m->value) == size && memcmp(m->value, value, size) == 0;
}

bool matchers_match_value(const struct matchers *all, size_t i, const char *value, size_t size)
{
	return equals(&all->of[i], value, size) != all->of[i].is_negative;
}

static bool equals_label(const struct matcher *m, const struct profile *p, const struct profile_label *l)
{
	char number[24];
	const char *value = number;
	size_t size;

	if (l->unit == PROFILE_NONE)
		value = profile_string(p, (uint32_t)l->value, &size);
	else
		size = (size_t)snprintf(number, sizeof(number), "%" PRId64, l->value);
	return equals(m, value, size);
}

static bool matches(const struct matcher *m, const struct profile *p, const struct profile_label *labels, size_t n)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(profile_string(p, labels[i].key, NULL), m->name) != 0)
			continue;
		if (equals_label(m, p, &labels[i]))
			return !m->is_negative;
		found = true;
	}
	return (!found && equals(m, "", 0)) != m->is_negative;
}

bool matchers_want(void *matchers, const struct profile *p, const struct profile_label *labels, size_t n)
{
	const struct matchers *all = matchers;

	for (size_t i = 0; i < matchers_count(all); i++)
		if (!matches(&all->of[i], p, labels, n))
			return false;
	return true;
}
