#include "profile/filter.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "profile/merge.h"

struct matcher {
	char *key, *value;
	bool is_regex, is_negative, has_regex;
	regex_t regex;
};

struct filter {
	struct matcher matchers[FILTER_MATCHERS_MAX];
	size_t n;
};

_printf_(3, 4) static int fail(struct profile_error *error, int code, const char *format, ...)
{
	va_list ap;

	if (error) {
		va_start(ap, format);
		(void)vsnprintf(error->text, sizeof(error->text), format, ap);
		va_end(ap);
	}
	return code;
}

/* ---- regular expressions ---- */

/* {m,n} makes n copies while compiling, and nested ones multiply: the product of all is bounded. */
static int check_regex(const char *text, struct profile_error *error)
{
	unsigned long product = 1;

	if (strlen(text) > FILTER_REGEX_MAX)
		return fail(error, -E2BIG, "regular expression longer than %d bytes", FILTER_REGEX_MAX);
	for (const char *c = text; *c; c++) {
		unsigned long most = 1;

		if (*c == '\\' && isdigit((unsigned char)c[1]))
			return fail(error, -EINVAL, "back-references are not supported: %.80s", text);
		if (*c == '\\' && c[1])
			c++;
		else if (*c == '{')
			for (const char *d = c; *d && *d != '}'; d++)
				if (isdigit((unsigned char)*d)) {
					unsigned long number = strtoul(d, (char **)&d, 10);

					most = MAX(most, MIN(number, 1000000ul));
					d--;
				}
		product *= most;
		if (product > FILTER_REPEATS_MAX)
			return fail(error, -E2BIG, "too many repetitions: %.80s", text);
	}
	return 0;
}

static int compile_regex(const char *text, bool whole, regex_t *ret, struct profile_error *error)
{
	_cleanup_free_ char *anchored = NULL;
	char why[80];
	int r;

	r = check_regex(text, error);
	if (r < 0)
		return r;
	if (asprintf(&anchored, whole ? "^(%s)$" : "%s", text) < 0) {
		anchored = NULL;
		return -ENOMEM;
	}
	r = regcomp(ret, anchored, REG_EXTENDED | REG_NOSUB);
	if (r == 0)
		return 0;
	(void)regerror(r, ret, why, sizeof(why));
	return fail(error, -EINVAL, "regular expression %.60s: %s", text, why);
}

/* ---- parsing ---- */

struct filter *filter_free(struct filter *f)
{
	if (!f)
		return NULL;
	for (size_t i = 0; i < f->n; i++) {
		free(f->matchers[i].key);
		free(f->matchers[i].value);
		if (f->matchers[i].has_regex)
			regfree(&f->matchers[i].regex);
	}
	free(f);
	return NULL;
}

static const char *skip_space(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static int parse_key(const char **at, char **ret)
{
	const char *start = skip_space(*at), *s = start;

	while (isalnum((unsigned char)*s) || (*s && strchr("_.:-/", *s)))
		s++;
	if (s == start)
		return -EINVAL;
	*at = skip_space(s);
	*ret = strndup(start, (size_t)(s - start));
	return *ret ? 0 : -ENOMEM;
}

static int parse_operator(const char **at, struct matcher *m)
{
	const char *s = *at;

	if (s[0] != '=' && s[0] != '!')
		return -EINVAL;
	m->is_negative = s[0] == '!';
	m->is_regex = s[1] == '~';
	if (m->is_negative && s[1] != '=' && s[1] != '~')
		return -EINVAL;
	*at = skip_space(s + 1 + (m->is_negative || m->is_regex));
	return 0;
}

/* "..." with \" and \\ (any other backslash stands for itself: regular expressions are full of them), or all up to the
 * next comma or closing brace. */
static int parse_value(const char **at, char **ret)
{
	const char *s = *at, *end;
	char *to;

	if (*s != '"') {
		size_t n = strcspn(s, ",}");

		while (n && isspace((unsigned char)s[n - 1]))
			n--;
		*ret = strndup(s, n);
		*at = s + n;
		return *ret ? 0 : -ENOMEM;
	}
	for (end = s + 1; *end && *end != '"'; end++)
		if (*end == '\\' && end[1])
			end++;
	if (!*end)
		return -EINVAL;
	to = *ret = malloc((size_t)(end - s));
	if (!to)
		return -ENOMEM;
	for (s++; s < end; s++) {
		if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		*to++ = *s;
	}
	*to = 0;
	*at = end + 1;
	return 0;
}

/* The matcher is f's from its first allocation on, so filter_free() finds it. */
static int parse_matcher(const char **at, struct filter *f, struct profile_error *error)
{
	const char *start = *at;
	struct matcher *m;
	int r;

	if (f->n == FILTER_MATCHERS_MAX)
		return fail(error, -E2BIG, "more than %d matchers", FILTER_MATCHERS_MAX);
	m = &f->matchers[f->n++];
	r = parse_key(at, &m->key);
	if (r >= 0)
		r = parse_operator(at, m);
	if (r >= 0)
		r = parse_value(at, &m->value);
	if (r == -EINVAL)
		return fail(error, r, "expected NAME=\"VALUE\" (or !=, =~, !~) at: %.60s", start);
	if (r < 0 || !m->is_regex)
		return r;
	r = compile_regex(m->value, true, &m->regex, error);
	m->has_regex = r >= 0;
	return r;
}

int filter_parse(const char *text, struct filter **ret, struct profile_error *error)
{
	_cleanup_(filter_freep) struct filter *f = NULL;
	const char *at;
	bool braces;
	int r;

	assert(text);
	assert(ret);

	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	at = skip_space(text);
	braces = *at == '{';
	at = skip_space(at + braces);
	while (*at && *at != '}') {
		r = parse_matcher(&at, f, error);
		if (r < 0)
			return r;
		at = skip_space(at);
		if (*at == ',')
			at = skip_space(at + 1);
		else if (*at && *at != '}')
			return fail(error, -EINVAL, "expected a comma at: %.60s", at);
	}
	if (braces != (*at == '}') || *skip_space(at + braces))
		return fail(error, -EINVAL, "unbalanced braces: %.60s", text);
	*ret = TAKE_PTR(f);
	return 0;
}

/* ---- matching ---- */

static bool matches_text(const struct matcher *m, const char *text)
{
	return m->is_regex ? regexec(&m->regex, text, 0, NULL, 0) == 0 : strcmp(m->value, text) == 0;
}

static bool matches_labels(
        const struct matcher *m, const struct profile *p, const struct profile_label *labels, size_t n)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		const struct profile_label *l = &labels[i];
		char number[24];

		if (strcmp(profile_string(p, l->key, NULL), m->key) != 0)
			continue;
		found = true;
		(void)snprintf(number, sizeof(number), "%" PRId64, l->value);
		if (matches_text(m, l->unit == PROFILE_NONE ? profile_string(p, (uint32_t)l->value, NULL) : number))
			return true;
	}
	return !found && matches_text(m, "");
}

bool filter_want(void *userdata, const struct profile *p, const struct profile_label *labels, size_t n)
{
	const struct filter *f = userdata;

	for (size_t i = 0; i < f->n; i++)
		if (matches_labels(&f->matchers[i], p, labels, n) == f->matchers[i].is_negative)
			return false;
	return true;
}

/* ---- profiles from profiles ---- */

static int copy(const struct profile *p, const struct merge_options *options, const struct profile_limits *limits,
        struct profile **ret, struct profile_error *error)
{
	_cleanup_(profile_freep) struct profile *copied = NULL;
	int r = profile_new(limits, &copied);

	if (r >= 0)
		r = profile_merge(copied, p, options, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(copied);
	return 0;
}

static bool hide(void *userdata, const struct profile *p, uint32_t function)
{
	return regexec(userdata, profile_string(p, profile_function(p, function)->name, NULL), 0, NULL, 0) == 0;
}

int filter_hide_frames(const struct profile *p, const char *regex, const struct profile_limits *limits,
        struct profile **ret, struct profile_error *error)
{
	struct merge_options options = MERGE_OPTIONS_DEFAULT;
	regex_t compiled;
	int r = compile_regex(regex, false, &compiled, error);

	if (r < 0)
		return r;
	options.hide = hide;
	options.userdata = &compiled;
	r = copy(p, &options, limits, ret, error);
	regfree(&compiled);
	return r;
}

int filter_keep_value(const struct profile *p, uint32_t value_index, struct profile **ret)
{
	struct merge_options options = MERGE_OPTIONS_DEFAULT;

	options.value = value_index;
	return copy(p, &options, NULL, ret, NULL);
}

int filter_samples(const struct profile *p, struct filter *f, struct profile **ret)
{
	struct merge_options options = MERGE_OPTIONS_DEFAULT;

	options.want = filter_want;
	options.userdata = f;
	return copy(p, &options, NULL, ret, NULL);
}
