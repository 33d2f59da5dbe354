/* The continuous profile: its sources, and their windows on the way into the store. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/features.h"
#include "daemon/manager.h"

#define WINDOW_TIMEOUT_NS (30 * NS_PER_SEC)
/* A window that would be shorter joins the next one. */
#define WINDOW_SHORTEST_PART 4

/* ---- windows ----------------------------------------------------------------------------------------------------- */

static void write_window(struct manager *m, const struct source *source, struct profile *p)
{
	struct store_put_result put;
	int r = store_put(m->store, source->name, NULL, p, &put);

	if (r < 0) {
		m->stats.windows_failed++;
		/* A full disk fails every minute: say it when it begins. */
		if (m->stats.last_error != r)
			(void)log_err(r, "cannot write a window of %s below %s", source->name, manager_store_path(m));
		m->stats.last_error = r;
		storekeeper_hurry(m->storekeeper);
		return;
	}
	if (!put.is_indexed)
		storekeeper_hurry(m->storekeeper);
	if (m->stats.last_error < 0)
		log_notice("windows are written again");
	m->stats.last_error = 0;
	m->stats.windows_written++;
	m->stats.bytes_written += put.bytes;
	m->stats.last_window_ns = (uint64_t)profile_header(p)->time_ns;
	log_debug("wrote %s: %u samples, %llu bytes", put.path, profile_n_samples(p), (unsigned long long)put.bytes);
	uploads_put(m->uploads, put.path);
}

static void on_profile(void *userdata, int result, struct profile *profile)
{
	struct pending *n = userdata;
	struct manager *m = n->manager;
	_cleanup_(profile_freep) struct profile *p = profile;

	LIST_REMOVE(n, next);
	if (result < 0) {
		m->stats.windows_failed++;
		(void)log_err(result, "cannot build a window of %s", n->source->name);
	} else {
		write_window(m, n->source, p);
	}
	free(n);
	p = profile_free(p);
	symbols_prune(m->symbols);
	manager_went_idle(m);
}

static void cut_window(struct manager *m, struct gather *g, uint64_t timeout_ns)
{
	struct pending *n = calloc(1, sizeof(*n));
	int r;

	if (!n) {
		(void)log_err(-ENOMEM, "cannot end a window");
		return;
	}
	*n = (struct pending){ .manager = m, .source = gather_source(g) };
	LIST_INSERT_HEAD(&m->pending, n, next);
	r = gather_cut(g, timeout_ns, on_profile, n, &n->assembly);
	if (r >= 0)
		return;
	LIST_REMOVE(n, next);
	free(n);
	if (r == -ENODATA)
		m->stats.windows_empty++;
	else {
		m->stats.windows_failed++;
		(void)log_err(r, "cannot end a window");
	}
}

void continuous_cut(struct manager *m, uint64_t timeout_ns)
{
	struct continuous *k;

	LIST_FOREACH (k, &m->continuous, next)
		cut_window(m, k->gather, timeout_ns);
	if (m->cgroups)
		cgroups_trim(m->cgroups);
	environment_trim(m->environment);
}

void manager_flush(struct manager *m)
{
	continuous_cut(m, MIN(WINDOW_TIMEOUT_NS, m->config->interval_ns / 4 * 3));
}

/* Wall time until the window ends: at the next whole interval of the clock. */
uint64_t continuous_left_ns(const struct manager *m)
{
	uint64_t interval = m->config->interval_ns, left = interval - clock_now_ns(CLOCK_REALTIME) % interval;

	return left < interval / WINDOW_SHORTEST_PART ? left + interval : left;
}

int continuous_arm_timer(struct manager *m)
{
	/* Not relative: the loop's time is from before the work of this turn. */
	int r = sd_event_source_set_time(
	        m->window_timer, (clock_now_ns(CLOCK_MONOTONIC) + continuous_left_ns(m)) / 1000);

	return r < 0 ? r : sd_event_source_set_enabled(m->window_timer, SD_EVENT_ONESHOT);
}

/* Units that came up, executables that were replaced: the rules are looked at anew with each window. */
static void follow_targets(struct manager *m)
{
	const struct config *c = m->config;
	_cleanup_(target_set_freep) struct target_set *now = NULL;
	_cleanup_free_ char *error = NULL;

	if ((target_spec_is_empty(&c->include) && target_spec_is_empty(&c->exclude)) ||
	        target_set_new(&c->include, &c->exclude, m->cgroups, true, &now, &error) < 0)
		return;
	if (!target_set_equal(now, m->targets))
		(void)continuous_start(m);
}

int continuous_on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	(void)s;
	(void)usec;
	if (m->is_stopping)
		return 0;
	manager_flush(m);
	follow_targets(m);
	return continuous_arm_timer(m);
}

/* ---- sources ----------------------------------------------------------------------------------------------------- */

void continuous_stop(struct manager *m)
{
	struct continuous *k;

	while ((k = LIST_FIRST(&m->continuous))) {
		LIST_REMOVE(k, next);
		manager_gather_closed(m, k->gather);
		free(k);
	}
}

static int start_source(struct manager *m, const struct source *source, const struct source_params *params)
{
	struct continuous *k;
	int r;

	k = calloc(1, sizeof(*k));
	if (!k)
		return log_err(-ENOMEM, "cannot start %s", source->name);
	r = gather_new(&m->tools, source, params, &k->gather);
	if (r >= 0)
		r = gather_attach(k->gather);
	if (r < 0) {
		gather_free(k->gather);
		free(k);
		if (r == -EPERM || r == -EACCES)
			return log_err(r, "cannot start %s; " MANAGER_NEEDS, source->name);
		return log_err(r, "cannot start %s", source->name);
	}
	LIST_INSERT_HEAD(&m->continuous, k, next);
	return 0;
}

/* 0: at least one source runs, or none has anybody to watch. */
static int start_sources(struct manager *m)
{
	const struct source_params params = {
		.frequency_hz = (uint32_t)m->config->frequency_hz,
		.kernel_stacks = m->config->kernel_stacks,
		.single_step = m->config->heap_single_step,
		.heap_interval = m->config->heap_interval,
		.heap_budget = m->config->heap_budget,
		.heap_together = m->config->heap_together,
		.targets = &m->targets->targets,
		.code = m->code,
	};
	int r, result = -EOPNOTSUPP;

	for (size_t i = 0; i < m->config->sources.n; i++) {
		const struct source *source = source_find(m->config->sources.items[i]);

		if (!source)
			continue; /* config.c refused it */
		if (!features_has(source->needs)) {
			log_notice("%s is left out: %s", source->name, features_reason(source->needs));
			continue;
		}
		r = start_source(m, source, &params);
		if (r >= 0)
			result = 0;
		else if (result < 0)
			result = r;
	}
	return m->config->sources.n == 0 ? 0 : result;
}

int continuous_start(struct manager *m)
{
	const struct config *c = m->config;
	_cleanup_(target_set_freep) struct target_set *targets = NULL;
	_cleanup_free_ char *error = NULL;
	int r;

	r = target_set_new(&c->include, &c->exclude, m->cgroups, true, &targets, &error);
	if (r < 0)
		return log_err(error ? 0 : r, "[Target]: %s", error ? error : "cannot be applied"), r;
	continuous_stop(m);
	target_set_free(m->targets);
	m->targets = TAKE_PTR(targets);
	if (m->targets->is_empty) {
		log_notice("nothing that [Target] names is there yet; looking again with each window");
		return 0;
	}
	return start_sources(m);
}
