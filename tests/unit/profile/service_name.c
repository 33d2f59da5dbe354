#include "tests/unit/unit.h"
#include "profile/service_name.h"

#include <errno.h>

static void assert_name(const char *const *rules, size_t n_rules, const char *key, const char *value, const char *want)
{
	_cleanup_(service_rules_freep) struct service_rules *r = NULL;
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_label l = { .unit = PROFILE_NONE };
	char name[SERVICE_NAME_MAX];
	uint32_t v;

	assert_int_equal(profile_new(NULL, &p), 0);
	assert_int_equal(profile_add_cstring(p, key, &l.key), 0);
	assert_int_equal(profile_add_cstring(p, value, &v), 0);
	l.value = v;
	if (n_rules)
		assert_int_equal(service_rules_new(rules, n_rules, &r, NULL), 0);
	service_name(r, p, &l, 1, name);
	assert_string_equal(name, want);
}

static void defaults(void **state)
{
	(void)state;
	assert_name(NULL, 0, "unit", "getty@tty1.service", "getty");
	assert_name(NULL, 0, "unit", "session-3.scope", SERVICE_NAME_UNKNOWN);
	assert_name(NULL, 0, "exe", "/usr/bin/redis-server", "redis-server");
	assert_name(NULL, 0, "exe", "/usr/bin/a (deleted)", "a");
	assert_name(NULL, 0, "comm", "kworker/3:1-events", "kworker");
	assert_name(NULL, 0, "comm", "a/b", "a/b");
	assert_name(NULL, 0, "service_name", "web", "web");
	assert_name(NULL, 0, "env:OTEL_SERVICE_NAME", "shop", "shop");
	assert_name(NULL, 0, "other", "x", SERVICE_NAME_UNKNOWN);
}

static void rules(void **state)
{
	static const char *const own[] = { "comm nginx* the web", "label:team", "container" };

	(void)state;
	assert_name(own, 3, "comm", "nginx-1", "the web");
	assert_name(own, 3, "comm", "redis", "redis"); /* no rule of ours: the default ones */
	assert_name(own, 3, "team", "payments", "payments");
	assert_name(own, 3, "container_id", "0123456789abcdef0123", "0123456789ab");
}

static void variables_that_rules_look_at(void **state)
{
	static const char *const texts[] = { "unit", "env:SERVICE", "label:env", "env:SERVICE web* x", "env:TEAM" };
	_cleanup_(service_rules_freep) struct service_rules *r = NULL;
	const char *names[4];

	(void)state;
	assert_int_equal(service_rules_variables(NULL, names, 4), 1);
	assert_string_equal(names[0], "OTEL_SERVICE_NAME");
	assert_int_equal(service_rules_new(texts, 5, &r, NULL), 0);
	assert_int_equal(service_rules_variables(r, names, 4), 3);
	assert_string_equal(names[0], "SERVICE");
	assert_string_equal(names[1], "TEAM");
	assert_string_equal(names[2], "OTEL_SERVICE_NAME");
	assert_int_equal(service_rules_variables(r, names, 1), 1);
}

static void bad_rules(void **state)
{
	static const char *const bad[] = { "", "nothing", "label:", "pid", "label:pid", "label:tid x y", "env:" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(service_rules_freep) struct service_rules *r = NULL;
		const char *two[] = { "comm", bad[i] };
		size_t which = 9;

		assert_int_equal(service_rules_new(two, 2, &r, &which), -EINVAL);
		assert_int_equal(which, 1);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(defaults),
	cmocka_unit_test(rules),
	cmocka_unit_test(variables_that_rules_look_at),
	cmocka_unit_test(bad_rules),
};

UNIT_MAIN(tests)
