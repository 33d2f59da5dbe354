#include "base/pattern.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* What may be absent costs more: libc keeps, for each place, all the places that can be reached without a character. */
#define QUANTIFIER_ATOMS 4
#define IN_ROW_MAX 2 /* quantifiers behind one another */

/* What the expression takes once its repetitions are written out. */
struct cost {
	size_t depth, n_in_row; /* of quantifiers */
	struct {
		size_t sum, last; /* atoms of the group so far; of what a repetition would repeat */
	} group[PATTERN_DEPTH_MAX + 1];
};

static void add_atom(struct cost *c, size_t size)
{
	c->group[c->depth].sum += size;
	c->group[c->depth].last = size;
	c->n_in_row = 0;
}

/* What stands before is copied, n times in all. "a***" is as costly as "(((a)*)*)*", and nobody means it. */
static void repeat(struct cost *c, size_t n)
{
	size_t last = c->group[c->depth].last, all = (last + QUANTIFIER_ATOMS) * n;

	c->group[c->depth].sum += ++c->n_in_row > IN_ROW_MAX ? PATTERN_ATOMS_MAX + 1 : all - last;
	c->group[c->depth].last = all;
}

/* From behind "[" to its "]", or to the end of the text. */
static const char *skip_bracket(const char *s)
{
	if (*s == '^')
		s++;
	if (*s == ']')
		s++;
	for (; *s && *s != ']'; s++)
		if (*s == '[' && s[1] && strchr(".:=", s[1])) {
			const char end[] = { s[1], ']', '\0' }, *close = strstr(s + 2, end);

			if (close)
				s = close + 1;
		}
	return s;
}

/* "{m}", "{m,}", "{m,n}": s is behind the brace. The largest number counts, whatever else stands there. */
static const char *take_repetition(struct cost *c, const char *s)
{
	size_t most = 1;

	for (; *s && *s != '}'; s++) {
		size_t number = 0;

		while (isdigit((unsigned char)*s)) {
			number = MIN(number * 10 + (size_t)(*s - '0'), (size_t)PATTERN_ATOMS_MAX + 1);
			s++;
		}
		most = MAX(most, number);
		if (!*s || *s == '}')
			break;
	}
	repeat(c, most);
	return s;
}

static int take(struct cost *c, const char **at)
{
	const char *s = *at;

	if (*s == '\\' && isdigit((unsigned char)s[1]))
		return -EINVAL;
	if (*s == '(') {
		if (c->depth == PATTERN_DEPTH_MAX)
			return -E2BIG;
		c->depth++;
		c->group[c->depth].sum = c->group[c->depth].last = 0;
	} else if (*s == ')' && c->depth > 0) {
		c->depth--;
		add_atom(c, c->group[c->depth + 1].sum + 1);
	} else if (*s == '{')
		s = take_repetition(c, s + 1);
	else if (strchr("*+?", *s))
		repeat(c, *s == '+' ? 2 : 1); /* "x+" is "xx*" */
	else
		add_atom(c, 1);
	if (*s == '\\' && s[1])
		s++;
	else if (*s == '[')
		s = skip_bracket(s + 1);
	*at = *s ? s + 1 : s;
	return c->group[c->depth].sum > PATTERN_ATOMS_MAX ? -E2BIG : 0;
}

static int check(const char *text)
{
	struct cost cost = { 0 };
	const char *at = text;
	int r = 0;

	if (strlen(text) > PATTERN_BYTES_MAX)
		return -E2BIG;
	while (*at && r >= 0)
		r = take(&cost, &at);
	return r;
}

int pattern_compile(const char *text, bool whole, regex_t *ret, char why[PATTERN_WHY_MAX])
{
	_cleanup_free_ char *anchored = NULL;
	regex_t compiled;
	int r;

	assert(text);
	assert(ret);

	r = check(text);
	if (r < 0) {
		(void)snprintf(why, PATTERN_WHY_MAX, "%s",
		        r == -E2BIG ? "too long, too deep, or too many repetitions"
		                    : "back-references are not supported");
		return r;
	}
	/* "()" is undefined in POSIX */
	if (asprintf(&anchored, !whole ? "%s" : *text ? "^(%s)$" : "^%s$", text) < 0) {
		anchored = NULL;
		(void)snprintf(why, PATTERN_WHY_MAX, "out of memory");
		return -ENOMEM;
	}
	r = regcomp(&compiled, anchored, REG_EXTENDED | REG_NOSUB);
	if (r != 0) {
		(void)regerror(r, &compiled, why, PATTERN_WHY_MAX);
		return r == REG_ESPACE ? -ENOMEM : -EINVAL;
	}
	*ret = compiled;
	return 0;
}
