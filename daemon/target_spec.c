#include "daemon/target_spec.h"

#include <assert.h>
#include <stdarg.h>
#include <signal.h>
#include <string.h>

bool target_spec_is_empty(const struct target_spec *s)
{
	return s->pids.n + s->cgroups.n + s->units.n + s->comms.n + s->exes.n == 0;
}

struct target_set *target_set_free(struct target_set *t)
{
	if (t) {
		free(t->pids);
		free(t->excluded_pids);
		free(t);
	}
	return NULL;
}

_printf_(3, 4) static int refuse(int r, char **ret_error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return r;
}

static int add_pids(
        struct target_rules *rules, pid_t **pids, const struct config_list *l, bool is_lenient, char **ret_error)
{
	if (l->n > TARGET_PIDS_MAX)
		return refuse(-E2BIG, ret_error, "more than %d processes", TARGET_PIDS_MAX);
	*pids = calloc(MAX(l->n, (size_t)1), sizeof(**pids));
	if (!*pids)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++) {
		pid_t pid = (pid_t)strtol(l->items[i], NULL, 10);

		if (kill(pid, 0) < 0 && errno == ESRCH) {
			if (!is_lenient)
				return refuse(-ESRCH, ret_error, "there is no process %s", l->items[i]);
			continue;
		}
		(*pids)[rules->n_pids++] = pid;
	}
	rules->pids = *pids;
	return 0;
}

static int add_cgroup(
        struct target_rules *rules, const char *path, const char *asked, bool is_lenient, char **ret_error)
{
	int r;

	if (rules->n_cgroups >= TARGET_RULES_MAX)
		return refuse(-E2BIG, ret_error, "more than %d cgroups and units", TARGET_RULES_MAX);
	r = target_cgroup_from_path(path, &rules->cgroups[rules->n_cgroups]);
	if (r == 0)
		rules->n_cgroups++;
	else if (!is_lenient || r != -ENOENT)
		return refuse(r, ret_error, "there is no cgroup %s in the cgroup v2 hierarchy", asked);
	return 0;
}

/* Paths are taken as /proc/PID/cgroup has them, and as a directory below the mount. */
static int add_cgroups(struct target_rules *rules, const struct config_list *l, struct cgroups *cgroups,
        bool is_lenient, char **ret_error)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *path = l->items[i], *mount = cgroups ? cgroups_mount(cgroups) : "";
		_cleanup_free_ char *whole = NULL;
		int r;

		if (!*mount)
			return refuse(-ENOENT, ret_error, "cgroup %s: no cgroup v2 hierarchy is mounted", path);
		if (asprintf(&whole, "%s%s%s", strncmp(path, mount, strlen(mount)) == 0 ? "" : mount,
		            *path == '/' ? "" : "/", path) < 0) {
			whole = NULL;
			return -ENOMEM;
		}
		r = add_cgroup(rules, whole, path, is_lenient, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_units(struct target_rules *rules, const struct config_list *l, struct cgroups *cgroups, bool is_lenient,
        char **ret_error)
{
	for (size_t i = 0; i < l->n; i++) {
		_cleanup_free_ char *path = NULL, *whole = NULL;
		int r = cgroups ? cgroups_find_unit(cgroups, l->items[i], &path) : -ENOENT;

		if (r == -ENOENT && is_lenient)
			continue;
		if (r == -ENOENT)
			return refuse(r, ret_error, "the unit %s does not run", l->items[i]);
		if (r < 0)
			return r;
		if (asprintf(&whole, "%s%s", cgroups_mount(cgroups), path) < 0) {
			whole = NULL;
			return -ENOMEM;
		}
		r = add_cgroup(rules, whole, l->items[i], is_lenient, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_comms(struct target_rules *rules, const struct config_list *l, char **ret_error)
{
	if (l->n > TARGET_RULES_MAX)
		return refuse(-E2BIG, ret_error, "more than %d command names", TARGET_RULES_MAX);
	for (size_t i = 0; i < l->n; i++) {
		if (strlen(l->items[i]) >= TARGET_COMM_MAX)
			return refuse(-EINVAL, ret_error,
			        "command name %s: the kernel keeps %d bytes; shorten it or use *", l->items[i],
			        TARGET_COMM_MAX - 1);
		(void)snprintf(rules->comms[rules->n_comms++].glob, TARGET_COMM_MAX, "%s", l->items[i]);
	}
	return 0;
}

static int add_exes(struct target_rules *rules, const struct config_list *l, bool is_lenient, char **ret_error)
{
	if (l->n > TARGET_RULES_MAX)
		return refuse(-E2BIG, ret_error, "more than %d executables", TARGET_RULES_MAX);
	for (size_t i = 0; i < l->n; i++) {
		int r = target_exe_from_path(l->items[i], &rules->exes[rules->n_exes]);

		if (r == 0)
			rules->n_exes++;
		else if (!is_lenient)
			return refuse(r, ret_error, "executable %s: %s", l->items[i], strerror(-r));
	}
	return 0;
}

static int add_rules(struct target_rules *rules, pid_t **pids, const struct target_spec *s, struct cgroups *cgroups,
        bool is_lenient, char **ret_error)
{
	int r = add_pids(rules, pids, &s->pids, is_lenient, ret_error);

	if (r == 0)
		r = add_cgroups(rules, &s->cgroups, cgroups, is_lenient, ret_error);
	if (r == 0)
		r = add_units(rules, &s->units, cgroups, is_lenient, ret_error);
	if (r == 0)
		r = add_comms(rules, &s->comms, ret_error);
	if (r == 0)
		r = add_exes(rules, &s->exes, is_lenient, ret_error);
	return r;
}

int target_set_new(const struct target_spec *include, const struct target_spec *exclude, struct cgroups *cgroups,
        bool is_lenient, struct target_set **ret, char **ret_error)
{
	_cleanup_(target_set_freep) struct target_set *t = calloc(1, sizeof(*t));
	const struct target_rules *rules;
	int r;

	assert(include && ret && ret_error);

	*ret_error = NULL;
	if (!t)
		return -ENOMEM;
	r = add_rules(&t->targets.include, &t->pids, include, cgroups, is_lenient, ret_error);
	if (r == 0 && exclude)
		r = add_rules(&t->targets.exclude, &t->excluded_pids, exclude, cgroups, true, ret_error);
	if (r < 0)
		return r;
	rules = &t->targets.include;
	t->is_empty = !target_spec_is_empty(include) &&
	              rules->n_pids + rules->n_cgroups + rules->n_comms + rules->n_exes == 0;
	*ret = TAKE_PTR(t);
	return 0;
}

static bool cgroups_equal(const struct target_cgroup *x, const struct target_cgroup *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (x[i].id != y[i].id || x[i].level != y[i].level)
			return false;
	return true;
}

static bool rules_equal(const struct target_rules *x, const struct target_rules *y)
{
	return x->n_pids == y->n_pids && x->n_cgroups == y->n_cgroups && x->n_comms == y->n_comms &&
	       x->n_exes == y->n_exes &&
	       (x->n_pids == 0 || memcmp(x->pids, y->pids, x->n_pids * sizeof(*x->pids)) == 0) &&
	       cgroups_equal(x->cgroups, y->cgroups, x->n_cgroups) &&
	       memcmp(x->comms, y->comms, sizeof(x->comms)) == 0 && memcmp(x->exes, y->exes, sizeof(x->exes)) == 0;
}

bool target_set_equal(const struct target_set *a, const struct target_set *b)
{
	return a->is_empty == b->is_empty && rules_equal(&a->targets.include, &b->targets.include) &&
	       rules_equal(&a->targets.exclude, &b->targets.exclude);
}
