/* Which service a sample belongs to: rules over its labels, the first that gives a name wins. One rule is
 *
 *	SOURCE [GLOB [NAME]]
 *
 * SOURCE is `unit`, `container`, `comm`, `exe`, `label:NAME` or `env:NAME` (the label that emberd took from that
 *variable of the process). GLOB must match the value (default: any); NAME is the result (default: the value made tidy:
 *a unit without its type and instance, an executable without its directory, a container's first 12 digits; kernel
 *threads without their number). Default rules: label:service_name, env:OTEL_SERVICE_NAME, unit *.service, exe, comm.
 * Thread and process numbers are no source, so the number of services stays that of programs. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "profile/profile.h"

#define SERVICE_NAME_MAX 200
#define SERVICE_RULES_MAX 64
#define SERVICE_NAME_UNKNOWN "unknown_service"

struct service_rules;

/* texts: n rules. -EINVAL: a rule is wrong: *ret_bad (may be NULL) is which. */
int service_rules_new(const char *const *texts, size_t n, struct service_rules **ret, size_t *ret_bad);
struct service_rules *service_rules_free(struct service_rules *r);
DEFINE_CLEANUP(struct service_rules *, service_rules_free)

/* The environment variables that rules (may be NULL) and, behind them, the default ones look at, each once, at most
 * max; names stay the rules'. Returns how many. */
size_t service_rules_variables(const struct service_rules *rules, const char **names, size_t max);

/* Fills name, never empty. rules may be NULL: the default ones. */
void service_name(const struct service_rules *rules, const struct profile *p, const struct profile_label *labels,
        size_t n, char name[SERVICE_NAME_MAX]);
