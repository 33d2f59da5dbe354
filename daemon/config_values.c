#include "daemon/config_values.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "profile/service_name.h"

int config_parse_number(const struct config_key *key, const char *value, void *field)
{
	unsigned long long n;
	char *end;

	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end || errno || n < key->min || n > key->max)
		return -EINVAL;
	*(uint64_t *)field = n;
	return 0;
}

int config_parse_time(const struct config_key *key, const char *value, void *field)
{
	uint64_t ns;

	if (units_parse_time(value, &ns) < 0 || ns < key->min || ns > key->max)
		return -EINVAL;
	*(uint64_t *)field = ns;
	return 0;
}

int config_parse_size(const struct config_key *key, const char *value, void *field)
{
	uint64_t bytes;

	if (units_parse_size(value, &bytes) < 0 || bytes < key->min || bytes > key->max)
		return -EINVAL;
	*(uint64_t *)field = bytes;
	return 0;
}

int config_parse_bool(const struct config_key *key, const char *value, void *field)
{
	int b;

	(void)key;
	if (units_parse_bool(value, &b) < 0)
		return -EINVAL;
	*(bool *)field = b;
	return 0;
}

int config_parse_path(const struct config_key *key, const char *value, void *field)
{
	char **to = field, *copy;

	(void)key;
	if (value[0] != '/')
		return -EINVAL;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

int config_parse_percent(const struct config_key *key, const char *value, void *field)
{
	double fraction;

	(void)key;
	if (units_parse_percent(value, &fraction) < 0 || fraction > 0.9)
		return -EINVAL;
	*(double *)field = fraction;
	return 0;
}

int config_parse_share(const struct config_key *key, const char *value, void *field)
{
	double fraction = 0;

	if (config_parse_percent(key, value, &fraction) < 0 || fraction < 0.001)
		return -EINVAL;
	*(double *)field = fraction;
	return 0;
}

void config_list_done(struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	free(l->items);
	*l = (struct config_list){ 0 };
}

int config_list_add(struct config_list *l, const char *item, size_t size)
{
	char **items, *copy;

	if (l->n >= CONFIG_LIST_MAX)
		return -E2BIG;
	items = reallocarray(l->items, l->n + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	l->items = items;
	copy = strndup(item, size);
	if (!copy)
		return -ENOMEM;
	l->items[l->n++] = copy;
	return 0;
}

/* What a list's items must look like; the key's "wants" says it in words. */
bool config_is_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
			return false;
	return n > 0;
}

static bool item_is_pid(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isdigit((unsigned char)s[i]))
			return false;
	return n > 0 && n <= 7 && s[0] != '0';
}

static bool item_is_path(const char *s, size_t n)
{
	return n > 0 && s[0] == '/';
}

static bool item_is_any(const char *s, size_t n)
{
	(void)s;
	return n > 0;
}

/* An empty value empties the list, as systemd has it. */
static int parse_words(
        const struct config_key *key, const char *value, struct config_list *l, bool (*is_good)(const char *, size_t))
{
	int r;

	if (!key->is_repeatable || !*value)
		config_list_done(l);
	for (const char *p = value + strspn(value, " \t"); *p; p += strspn(p, " \t")) {
		size_t n = strcspn(p, " \t");

		if (!is_good(p, n))
			return -EINVAL;
		r = config_list_add(l, p, n);
		if (r < 0)
			return r;
		p += n;
	}
	return 0;
}

int config_parse_names(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, config_is_name);
}

int config_parse_pids(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, item_is_pid);
}

int config_parse_paths(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, item_is_path);
}

int config_parse_globs(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, item_is_any);
}

/* A command name may hold blanks ("Web Content"), so the value is one item. */
int config_parse_item(const struct config_key *key, const char *value, void *field)
{
	struct config_list *l = field;

	if (!key->is_repeatable || !*value)
		config_list_done(l);
	return *value ? config_list_add(l, value, strlen(value)) : 0;
}

/* ---- [Upload] and [Labels] --------------------------------------------------------------------------------------- */

int config_parse_text(const struct config_key *key, const char *value, void *field)
{
	char **to = field, *copy = NULL;

	(void)key;
	if (*value && !(copy = strdup(value)))
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

int config_parse_file_path(const struct config_key *key, const char *value, void *field)
{
	return *value && *value != '/' ? -EINVAL : config_parse_text(key, value, field);
}

/* The value is one of the words in the key's "wants", which stand between blanks or commas. */
int config_parse_choice(const struct config_key *key, const char *value, void *field)
{
	size_t n = strlen(value);

	for (const char *p = key->wants; n && (p = strstr(p, value)); p += n)
		if ((p == key->wants || p[-1] == ' ') && (!p[n] || p[n] == ',' || p[n] == ' ') && !strpbrk(value, " ,"))
			return config_parse_text(key, value, field);
	return -EINVAL;
}

int config_parse_url(const struct config_key *key, const char *value, void *field)
{
	if (strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0 && *value != '/' && *value)
		return -EINVAL;
	return strpbrk(value, " \t\"<>\\") || strchr(value, '@') ? -EINVAL : config_parse_text(key, value, field);
}

int config_parse_service_rule(const struct config_key *key, const char *value, void *field)
{
	_cleanup_(service_rules_freep) struct service_rules *rules = NULL;
	int r;

	if (*value) {
		r = service_rules_new(&value, 1, &rules, NULL);
		if (r < 0)
			return r;
	}
	return config_parse_item(key, value, field);
}

int config_parse_header(const struct config_key *key, const char *value, void *field)
{
	size_t n = strcspn(value, ":");

	return *value && (n == 0 || value[n] != ':' || strcspn(value, " \t") < n)
	               ? -EINVAL
	               : config_parse_item(key, value, field);
}
