#include "profile/ledger.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define PREFIX "emberd."
#define PREFIX_SIZE (sizeof(PREFIX) - 1)
#define LINE_MAX_BYTES (PREFIX_SIZE + LEDGER_NAME_MAX + sizeof("=-9223372036854775808"))

static bool name_is_valid(const char *name, size_t n)
{
	if (n == 0 || n > LEDGER_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_.:-", name[i]))
			return false;
	return true;
}

int ledger_parse(const char *text, size_t size, char ret_name[LEDGER_NAME_MAX + 1], int64_t *ret_value)
{
	const char *equals;
	char digits[24], *end;
	int64_t value;
	size_t n;

	if (size <= PREFIX_SIZE || memcmp(text, PREFIX, PREFIX_SIZE) != 0)
		return -EBADMSG;
	equals = memchr(text, '=', size);
	if (!equals)
		return -EBADMSG;
	n = (size_t)(text + size - equals - 1);
	if (n == 0 || n >= sizeof(digits) || !name_is_valid(text + PREFIX_SIZE, (size_t)(equals - text) - PREFIX_SIZE))
		return -EBADMSG;
	memcpy(digits, equals + 1, n);
	digits[n] = 0;
	if (!isdigit((unsigned char)digits[0]) && !(digits[0] == '-' && isdigit((unsigned char)digits[1])))
		return -EBADMSG;
	errno = 0;
	value = strtoll(digits, &end, 10);
	if (errno || *end || end != digits + n)
		return -EBADMSG;
	n = (size_t)(equals - text) - PREFIX_SIZE;
	memcpy(ret_name, text + PREFIX_SIZE, n);
	ret_name[n] = 0;
	*ret_value = value;
	return 0;
}

static int find_line(const struct profile *p, const char *name, uint32_t *ret, int64_t *ret_value)
{
	char found[LEDGER_NAME_MAX + 1];

	for (uint32_t i = 0; i < profile_n_comments(p); i++) {
		const char *text = profile_comment(p, i);

		if (ledger_parse(text, strlen(text), found, ret_value) == 0 && strcmp(found, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -ENOENT;
}

int ledger_get(const struct profile *p, const char *name, int64_t *ret)
{
	int64_t value;
	uint32_t i;
	int r = find_line(p, name, &i, &value);

	if (r < 0)
		return r;
	*ret = value;
	return 0;
}

int ledger_set(struct profile *p, const char *name, int64_t value)
{
	char line[LINE_MAX_BYTES];
	int64_t old;
	uint32_t i;

	if (!name_is_valid(name, strlen(name)))
		return -EINVAL;
	(void)snprintf(line, sizeof(line), PREFIX "%s=%" PRId64, name, value);
	if (find_line(p, name, &i, &old) < 0)
		return profile_add_comment(p, line);
	return old == value ? 0 : profile_set_comment(p, i, line);
}

int ledger_add(struct profile *p, const char *name, int64_t value)
{
	int64_t old = 0, sum;

	(void)ledger_get(p, name, &old);
	if (__builtin_add_overflow(old, value, &sum))
		sum = old < 0 ? INT64_MIN : INT64_MAX;
	return ledger_set(p, name, sum);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

/* rate_hz alone means that one rate was in force; a second rate splits it in two lines. */
static int merge_rate(struct profile *p, int64_t value)
{
	int64_t low, high;
	int r;

	if (ledger_get(p, LEDGER_RATE_HZ, &low) < 0)
		return ledger_set(p, LEDGER_RATE_HZ, value);
	if (ledger_get(p, LEDGER_RATE_HZ "_max", &high) < 0)
		high = low;
	r = ledger_set(p, LEDGER_RATE_HZ, MIN(low, value));
	if (r >= 0 && (low != value || high != low))
		r = ledger_set(p, LEDGER_RATE_HZ "_max", MAX(high, value));
	return r;
}

static int merge_line(struct profile *p, const char *name, int64_t value)
{
	int64_t old;

	if (strcmp(name, LEDGER_RATE_HZ) == 0)
		return merge_rate(p, value);
	if (ledger_get(p, name, &old) < 0)
		return ledger_set(p, name, value);
	if (ends_with(name, "_min"))
		return ledger_set(p, name, MIN(old, value));
	if (ends_with(name, "_max"))
		return ledger_set(p, name, MAX(old, value));
	return ledger_add(p, name, value);
}

/* Counted, if there is room for the count itself. */
static int drop_comment(struct profile *p)
{
	int r = ledger_add(p, "comments_dropped", 1);

	return r == -E2BIG ? 0 : r;
}

int ledger_merge_comment(struct profile *p, const char *text, size_t size)
{
	_cleanup_free_ char *copy = NULL;
	char name[LEDGER_NAME_MAX + 1];
	int64_t value;

	if (ledger_parse(text, size, name, &value) == 0) {
		int r = merge_line(p, name, value);

		return r == -E2BIG ? drop_comment(p) : r;
	}
	copy = strndup(text, size);
	if (!copy)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile_n_comments(p); i++)
		if (strcmp(profile_comment(p, i), copy) == 0)
			return 0;
	if (profile_n_comments(p) >= PROFILE_COMMENTS_MAX - LEDGER_LINES_KEPT)
		return drop_comment(p);
	return profile_add_comment(p, copy);
}

int ledger_merge(struct profile *p, const struct profile *src)
{
	for (uint32_t i = 0; i < profile_n_comments(src); i++) {
		const char *text = profile_comment(src, i);
		int r = ledger_merge_comment(p, text, strlen(text));

		if (r < 0)
			return r;
	}
	return 0;
}
