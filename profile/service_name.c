#include "profile/service_name.h"

#include <assert.h>
#include <ctype.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef void (*tidy_t)(const char *value, char name[SERVICE_NAME_MAX]);

struct rule {
	const char *label; /* key in the profile */
	const char *glob;  /* NULL: any value */
	const char *name;  /* NULL: the value made tidy */
	tidy_t tidy;
};

#define VARIABLE_PREFIX "env:" /* of labels that emberd takes from the environment */

struct service_rules {
	size_t n;
	struct rule rules[SERVICE_RULES_MAX];
};

static void copy_name(const char *from, size_t n, char name[SERVICE_NAME_MAX])
{
	if (n > SERVICE_NAME_MAX - 1)
		for (n = SERVICE_NAME_MAX - 1; n && ((unsigned char)from[n] & 0xc0) == 0x80; n--)
			; /* no half of a character */
	memcpy(name, from, n);
	name[n] = 0;
}

static void tidy_plain(const char *value, char name[SERVICE_NAME_MAX])
{
	copy_name(value, strlen(value), name);
}

/* "getty@tty1.service" -> "getty" */
static void tidy_unit(const char *value, char name[SERVICE_NAME_MAX])
{
	const char *dot = strrchr(value, '.');
	size_t n = dot && dot > value ? (size_t)(dot - value) : strlen(value);
	const char *at = memchr(value, '@', n);

	copy_name(value, at && at > value ? (size_t)(at - value) : n, name);
}

static void tidy_exe(const char *value, char name[SERVICE_NAME_MAX])
{
	const char *slash = strrchr(value, '/');
	static const char deleted[] = " (deleted)";
	size_t n;

	value = slash && slash[1] ? slash + 1 : value;
	n = strlen(value);
	if (n > sizeof(deleted) - 1 && strcmp(value + n - (sizeof(deleted) - 1), deleted) == 0)
		n -= sizeof(deleted) - 1;
	copy_name(value, n, name);
}

/* Kernel threads number themselves ("kworker/3:1-events", "ksoftirqd/2"): what stands before the slash is the program.
 */
static void tidy_comm(const char *value, char name[SERVICE_NAME_MAX])
{
	const char *slash = strchr(value, '/');

	if (slash && slash > value && (isdigit((unsigned char)slash[1]) || slash[1] == 'u'))
		copy_name(value, (size_t)(slash - value), name);
	else
		tidy_plain(value, name);
}

static void tidy_container(const char *value, char name[SERVICE_NAME_MAX])
{
	copy_name(value, MIN(strlen(value), (size_t)12), name);
}

static const struct source {
	const char *name, *label;
	tidy_t tidy;
} sources[] = {
	{ "unit", "unit", tidy_unit },
	{ "container", "container_id", tidy_container },
	{ "comm", "comm", tidy_comm },
	{ "exe", "exe", tidy_exe },
};

static const struct rule default_rules[] = {
	{ .label = "service_name", .tidy = tidy_plain },
	{ .label = "env:OTEL_SERVICE_NAME", .tidy = tidy_plain },
	{ .label = "unit", .glob = "*.service", .tidy = tidy_unit },
	{ .label = "exe", .tidy = tidy_exe },
	{ .label = "comm", .tidy = tidy_comm },
};

static void rule_done(struct rule *r)
{
	free((char *)r->label);
	free((char *)r->glob);
	free((char *)r->name);
	*r = (struct rule){ 0 };
}

static int parse_source(const char *word, size_t n, struct rule *rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (strlen(sources[i].name) == n && strncmp(sources[i].name, word, n) == 0) {
			rule->tidy = sources[i].tidy;
			rule->label = strdup(sources[i].label);
			return rule->label ? 0 : -ENOMEM;
		}
	rule->tidy = tidy_plain;
	if (n > 6 && strncmp(word, "label:", 6) == 0)
		rule->label = strndup(word + 6, n - 6);
	else if (n > 4 && strncmp(word, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0)
		rule->label = strndup(word, n);
	else
		return -EINVAL;
	if (!rule->label)
		return -ENOMEM;
	/* A number of a process or thread names no service. */
	return strcmp(rule->label, "pid") == 0 || strcmp(rule->label, "tid") == 0 ? -EINVAL : 0;
}

static int parse_rule(const char *text, struct rule *rule)
{
	const char *source = text + strspn(text, " \t");
	size_t n = strcspn(source, " \t");
	const char *glob = source + n + strspn(source + n, " \t");
	size_t n_glob = strcspn(glob, " \t");
	const char *name = glob + n_glob + strspn(glob + n_glob, " \t");
	size_t n_name = strlen(name);
	int r;

	while (n_name && isspace((unsigned char)name[n_name - 1]))
		n_name--;
	if (n_name >= SERVICE_NAME_MAX)
		return -EINVAL;
	r = parse_source(source, n, rule);
	if (r < 0)
		return r;
	if (n_glob && !(rule->glob = strndup(glob, n_glob)))
		return -ENOMEM;
	if (n_name && !(rule->name = strndup(name, n_name)))
		return -ENOMEM;
	return 0;
}

int service_rules_new(const char *const *texts, size_t n, struct service_rules **ret, size_t *ret_bad)
{
	_cleanup_(service_rules_freep) struct service_rules *rules = NULL;

	assert(ret);

	if (n > SERVICE_RULES_MAX)
		return -E2BIG;
	rules = calloc(1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = parse_rule(texts[i], &rules->rules[rules->n++]);

		if (r < 0) {
			if (ret_bad)
				*ret_bad = i;
			return r;
		}
	}
	*ret = TAKE_PTR(rules);
	return 0;
}

struct service_rules *service_rules_free(struct service_rules *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->n; i++)
		rule_done(&r->rules[i]);
	free(r);
	return NULL;
}

static size_t add_variables(const struct rule *rules, size_t n_rules, const char **names, size_t n, size_t max)
{
	for (size_t i = 0; i < n_rules && n < max; i++) {
		const char *label = rules[i].label;
		bool is_new = strncmp(label, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0;

		for (size_t k = 0; k < n && is_new; k++)
			is_new = strcmp(names[k], label + strlen(VARIABLE_PREFIX)) != 0;
		if (is_new)
			names[n++] = label + strlen(VARIABLE_PREFIX);
	}
	return n;
}

size_t service_rules_variables(const struct service_rules *rules, const char **names, size_t max)
{
	size_t n = rules ? add_variables(rules->rules, rules->n, names, 0, max) : 0;

	return add_variables(default_rules, ARRAY_SIZE(default_rules), names, n, max);
}

static const char *find_label(const struct profile *p, const struct profile_label *labels, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (labels[i].unit == PROFILE_NONE && strcmp(profile_string(p, labels[i].key, NULL), key) == 0)
			return profile_string(p, (uint32_t)labels[i].value, NULL);
	return NULL;
}

static bool apply(const struct rule *rule, const struct profile *p, const struct profile_label *labels, size_t n,
        char name[SERVICE_NAME_MAX])
{
	const char *value = find_label(p, labels, n, rule->label);

	if (!value || !*value || (rule->glob && fnmatch(rule->glob, value, 0) != 0))
		return false;
	if (rule->name)
		tidy_plain(rule->name, name);
	else
		rule->tidy(value, name);
	return *name;
}

void service_name(const struct service_rules *rules, const struct profile *p, const struct profile_label *labels,
        size_t n, char name[SERVICE_NAME_MAX])
{
	for (size_t i = 0; rules && i < rules->n; i++)
		if (apply(&rules->rules[i], p, labels, n, name))
			return;
	for (size_t i = 0; i < ARRAY_SIZE(default_rules); i++)
		if (apply(&default_rules[i], p, labels, n, name))
			return;
	memcpy(name, SERVICE_NAME_UNKNOWN, sizeof(SERVICE_NAME_UNKNOWN));
}
