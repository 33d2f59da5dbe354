#include "daemon/manager.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/units.h"
#include "daemon/features.h"
#include "daemon/trim.h"
#include "daemon/usage.h"
#include "profile/service_name.h"

#define DRAIN_MS 100
#define TICK_MS 1000
#define DRAINS_A_TURN 8
#define SYMBOLIZER_IDLE_NS (5 * NS_PER_SEC)
#define SYMBOLIZER_TIMEOUT_NS (30 * NS_PER_SEC)
#define SYMBOLIZER_MEMORY_MAX (1ull << 30)
#define STOP_TIMEOUT_NS (3 * NS_PER_SEC)

const char *manager_store_path(const struct manager *m)
{
	return m->options.store_path ? m->options.store_path : m->config->store_path;
}

/* ---- what it costs ----------------------------------------------------------------------------------------------- */

static uint64_t bpf_ns(const struct manager *m)
{
	uint64_t ns = m->closed_bpf_ns + record_bpf_ns(m);
	const struct continuous *k;

	LIST_FOREACH (k, &m->continuous, next) {
		struct source_stats stats;

		source_stats(gather_instance(k->gather), &stats);
		ns += stats.bpf_ns;
	}
	return ns;
}

void manager_symbolizer_stats(const struct manager *m, struct symbolizer_stats *ret)
{
	*ret = (struct symbolizer_stats){ 0 };
	for (unsigned i = 0; i < MANAGER_SYMBOLIZERS; i++) {
		struct symbolizer_stats one = { 0 };

		if (m->symbolizers[i])
			symbolizer_stats(m->symbolizers[i], &one);
		ret->requests += one.requests;
		ret->failures += one.failures;
		ret->kills += one.kills;
		ret->starts += one.starts;
		ret->cpu_ns += one.cpu_ns;
		ret->rss_bytes += one.rss_bytes;
		ret->queued += one.queued;
		if (one.pid)
			ret->pid = one.pid;
	}
}

static uint64_t cost_ns(void *userdata)
{
	const struct manager *m = userdata;
	struct symbolizer_stats symbolizer;

	manager_symbolizer_stats(m, &symbolizer);
	return usage_own_cpu_ns() + symbolizer.cpu_ns + uploads_children_cpu_ns(m->uploads) + bpf_ns(m) +
	       (m->storekeeper ? storekeeper_cpu_ns(m->storekeeper) : 0);
}

void manager_gather_closed(struct manager *m, struct gather *g)
{
	struct source_stats stats;

	source_stats(gather_instance(g), &stats);
	m->closed_bpf_ns += stats.bpf_ns;
	gather_free(g);
}

bool manager_is_busy(const struct manager *m)
{
	return !LIST_EMPTY(&m->pending);
}

void manager_went_idle(struct manager *m)
{
	trim_memory();
	if (m->is_stopping && LIST_EMPTY(&m->pending) && record_count(m) == 0)
		(void)sd_event_exit(m->event, 0);
}

/* ---- timers ------------------------------------------------------------------------------------------------------ */

static void drain(struct gather *g)
{
	for (unsigned i = 0; i < DRAINS_A_TURN; i++)
		if (gather_drain(g) <= 0)
			return;
}

static int on_drain_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct continuous *k;

	(void)usec;
	LIST_FOREACH (k, &m->continuous, next)
		drain(k->gather);
	record_drain(m);
	(void)sd_event_source_set_time_relative(s, DRAIN_MS * 1000);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_tick_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct continuous *k;

	(void)usec;
	LIST_FOREACH (k, &m->continuous, next)
		source_tick(gather_instance(k->gather));
	record_tick(m);
	code_tick(m->code);
	(void)sd_event_source_set_time_relative(s, TICK_MS * 1000);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int add_timers(struct manager *m)
{
	int r;

	r = sd_event_add_time_relative(
	        m->event, &m->drain_timer, CLOCK_MONOTONIC, DRAIN_MS * 1000, 1, on_drain_timer, m);
	if (r >= 0)
		r = sd_event_add_time_relative(
		        m->event, &m->tick_timer, CLOCK_MONOTONIC, TICK_MS * 1000, 0, on_tick_timer, m);
	if (r >= 0 && !m->options.is_private)
		r = sd_event_add_time_relative(m->event, &m->window_timer, CLOCK_MONOTONIC,
		        continuous_left_ns(m) / 1000, 1, continuous_on_timer, m);
	return r;
}

/* ---- reload and end ---------------------------------------------------------------------------------------------- */

static bool is_source(const char *name)
{
	return source_find(name) != NULL;
}

static int load_config(const struct manager_options *options, struct config **ret, char **ret_error)
{
	const struct config_options config_options = { .is_source = is_source };

	*ret_error = NULL;
	if (!options->config_path)
		return config_new(ret);
	return config_load(options->config_path, options->config_must_exist, &config_options, ret, ret_error);
}

static struct symbols_config symbols_config(const struct manager *m)
{
	const struct config *c = m->config;

	return (struct symbols_config){
		.symbolizer = m->symbolizers[FOR_NAMES],
		.cache_dirfd = m->cache_dirfd,
		.inlines = c->inlines,
		.debug_directories = (const char *const *)c->debug_directories.items,
		.n_debug_directories = c->debug_directories.n,
		.cache_bytes = c->cache_bytes,
	};
}

static bool spec_is_equal(const struct target_spec *a, const struct target_spec *b)
{
	return config_list_equal(&a->pids, &b->pids) && config_list_equal(&a->cgroups, &b->cgroups) &&
	       config_list_equal(&a->units, &b->units) && config_list_equal(&a->comms, &b->comms) &&
	       config_list_equal(&a->exes, &b->exes);
}

static bool profile_is_equal(const struct config *a, const struct config *b)
{
	return config_list_equal(&a->sources, &b->sources) && a->frequency_hz == b->frequency_hz &&
	       a->kernel_stacks == b->kernel_stacks && a->heap_single_step == b->heap_single_step &&
	       a->heap_interval == b->heap_interval && a->heap_budget == b->heap_budget &&
	       a->heap_together == b->heap_together && spec_is_equal(&a->include, &b->include) &&
	       spec_is_equal(&a->exclude, &b->exclude);
}

static int open_store(const struct manager *m, const struct config *c, const char *path, struct store **ret)
{
	const struct store_options options = {
		.path = path, .host = m->host, .max_profile_bytes = c->max_profile_bytes
	};

	return store_open(&options, ret);
}

static struct storekeeper_config storekeeper_config(const struct manager *m)
{
	const struct config *c = m->config;

	return (struct storekeeper_config){
		.store_path = manager_store_path(m),
		.max_profile_bytes = c->max_profile_bytes,
		.age_ns = c->retention_days * 86400 * NS_PER_SEC,
		.max_bytes = c->store_bytes,
		.min_free_disk = c->min_free_disk,
		.window_ns = c->interval_ns,
	};
}

/* The store of a new [Store] Path, opened before anything of the old configuration is given up. */
static int reopen_store(struct manager *m, const struct config *fresh, struct store **ret, char **ret_error)
{
	const char *path = m->options.store_path ? m->options.store_path : fresh->store_path;
	int r;

	if (m->options.is_private ||
	        (strcmp(manager_store_path(m), path) == 0 && m->config->max_profile_bytes == fresh->max_profile_bytes))
		return 0;
	r = open_store(m, fresh, path, ret);
	if (r < 0 && asprintf(ret_error, "[Store] Path=%s: %s", path, strerror(-r)) < 0)
		*ret_error = NULL;
	return r;
}

/* A daemon without uploads profiles on: what is missing is logged. */
static void start_uploads(struct manager *m)
{
	int r;

	m->uploads = uploads_free(m->uploads);
	if (m->config->n_uploads == 0 || !m->store)
		return;
	r = uploads_new(
	        m->event, m->options.export_path, manager_store_path(m), m->host, m->config, m->store, &m->uploads);
	if (r < 0)
		(void)log_err(r, "cannot upload");
}

/* Where services are named after variables, samples must carry them. */
static void set_variables(struct manager *m)
{
	_cleanup_(service_rules_freep) struct service_rules *rules = NULL;
	const struct config_list *texts = &m->config->service_names;
	const char *names[ENVIRONMENT_NAMES_MAX];
	size_t n = 0;

	if (texts->n && service_rules_new((const char *const *)texts->items, texts->n, &rules, NULL) < 0)
		return; /* no memory: the configuration was checked */
	if (texts->n || m->config->n_uploads)
		n = service_rules_variables(rules, names, ARRAY_SIZE(names));
	if (environment_set_names(m->environment, names, n) < 0)
		(void)log_warning(-ENOMEM, "services are not named after variables");
}

int manager_reload(struct manager *m, char **ret_error)
{
	_cleanup_(config_freep) struct config *fresh = NULL, *old = NULL;
	_cleanup_(store_closep) struct store *store = NULL;
	struct symbols_config symbols;
	int r;

	r = load_config(&m->options, &fresh, ret_error);
	if (r < 0)
		return r;
	r = reopen_store(m, fresh, &store, ret_error);
	if (r < 0)
		return r;
	/* What was gathered under the old configuration ends with it. */
	manager_flush(m);
	old = TAKE_PTR(m->config);
	m->config = TAKE_PTR(fresh);
	if (store) {
		store_close(m->store);
		m->store = TAKE_PTR(store);
	}
	set_variables(m);
	start_uploads(m); /* the old ones borrow the old configuration */
	if (m->storekeeper) {
		const struct storekeeper_config keeper = storekeeper_config(m);

		(void)storekeeper_set(m->storekeeper, &keeper);
	}
	symbols = symbols_config(m);
	r = symbols_set(m->symbols, &symbols);
	if (r >= 0 && !profile_is_equal(old, m->config))
		r = continuous_start(m);
	if (r >= 0 && m->window_timer)
		r = continuous_arm_timer(m);
	if (r < 0 && !*ret_error &&
	        asprintf(ret_error, "the configuration is in force only in part: %s", strerror(-r)) < 0)
		*ret_error = NULL;
	return r;
}

static int on_reload_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	struct manager *m = userdata;
	_cleanup_free_ char *error = NULL;
	int r;

	(void)s;
	(void)si;
	(void)sd_notifyf(
	        0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now_ns(CLOCK_MONOTONIC) / 1000);
	r = manager_reload(m, &error);
	if (r < 0)
		(void)log_err(error ? 0 : r, "%s; the configuration in force stays", error ? error : "cannot reload");
	else
		log_info("configuration reloaded");
	(void)sd_notify(0, "READY=1");
	return 0;
}

static void stop(struct manager *m)
{
	if (m->is_stopping)
		return;
	m->is_stopping = true;
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Writing the last window");
	continuous_cut(m, STOP_TIMEOUT_NS);
	continuous_stop(m);
	record_stop(m, NULL);
	manager_went_idle(m);
}

static int on_stop_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	(void)s;
	(void)si;
	stop(userdata);
	return 0;
}

static void on_private_client_closed(void *userdata)
{
	struct manager *m = userdata;

	(void)sd_event_exit(m->event, 0);
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

static int make_directory(const char *path, mode_t mode, int *ret_fd)
{
	int r = dir_make(AT_FDCWD, path, mode), fd;

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* A private daemon shares the service's cache where it may, so that a first recording is fast. */
static int open_cache(struct manager *m)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/cache", manager_store_path(m)) < 0) {
		path = NULL;
		return log_err(-ENOMEM, "cannot start");
	}
	if (m->options.is_private && !m->options.store_path && access(path, W_OK) < 0) {
		if (make_directory("/var/cache/emberd", 0700, &m->cache_dirfd) < 0)
			m->cache_dirfd = -1; /* slower, not wrong */
		return 0;
	}
	r = make_directory(path, 0700, &m->cache_dirfd);
	return r < 0 ? log_err(r, "cannot use %s", path) : 0;
}

static int open_services(struct manager *m)
{
	const struct symbolizer_config symbolizer = {
		.executable = m->options.symbolizer_path,
		.idle_ns = SYMBOLIZER_IDLE_NS,
		.timeout_ns = SYMBOLIZER_TIMEOUT_NS,
		.memory_max = SYMBOLIZER_MEMORY_MAX,
	};
	struct code_config code = { .event = m->event, .cache_dirfd = m->cache_dirfd };
	struct symbols_config symbols;
	int r;

	for (unsigned i = 0; i < MANAGER_SYMBOLIZERS; i++) {
		r = symbolizer_new(m->event, &symbolizer, &m->symbolizers[i]);
		if (r < 0)
			return log_err(r, "cannot use the symbolizer %s", m->options.symbolizer_path);
	}
	code.symbolizer = m->symbolizers[FOR_ROWS];
	r = code_new(&code, &m->code);
	if (r == -EPERM || r == -EACCES)
		return log_err(r, "cannot load BPF programs; " MANAGER_NEEDS);
	if (r < 0)
		return log_err(r, "cannot make the unwinder's maps");
	symbols = symbols_config(m);
	r = symbols_new(&symbols, &m->symbols);
	if (r < 0)
		return log_err(r, "cannot use the symbol cache");
	r = cgroups_new(NULL, &m->cgroups);
	if (r < 0)
		log_info("no cgroup v2 hierarchy here: samples carry no cgroup, unit or container");
	r = environment_new(&m->environment);
	if (r < 0)
		return log_err(r, "cannot remember variables");
	set_variables(m);
	m->accounting_fd = source_accounting_open();
	return 0;
}

static int listen_control(struct manager *m)
{
	_cleanup_free_ char *path = NULL;
	int r;

	r = control_new(m->event, manager_methods, m, &m->control);
	if (r < 0)
		return log_err(r, "cannot make the control socket");
	if (m->options.is_private) {
		r = control_serve(m->control, m->options.control_fd, on_private_client_closed, m);
		return r < 0 ? log_err(r, "cannot serve descriptor %d", m->options.control_fd) : 0;
	}
	r = dir_make(AT_FDCWD, m->options.runtime_path, 0755);
	if (r >= 0 && asprintf(&path, "%s/control.sock", m->options.runtime_path) < 0) {
		path = NULL;
		r = -ENOMEM;
	}
	if (r >= 0)
		r = control_listen(m->control, path);
	if (r == -EADDRINUSE)
		return log_err(0, "another emberd is running: it answers at %s", path), r;
	return r < 0 ? log_err(r, "cannot listen in %s", m->options.runtime_path) : 0;
}

static int add_signals(struct manager *m)
{
	static const int stop_signals[] = { SIGTERM, SIGINT };
	sigset_t mask;
	int r = 0;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(stop_signals) && r >= 0; i++)
		r = sd_event_add_signal(m->event, NULL, stop_signals[i], on_stop_signal, m);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGHUP, on_reload_signal, m);
	return r < 0 ? log_err(r, "cannot take signals") : 0;
}

static int start(struct manager *m)
{
	struct storekeeper_config keeper;
	char interval[UNITS_TEXT_MAX];
	int r;

	r = add_timers(m);
	if (r < 0)
		return log_err(r, "cannot make timers");
	if (m->options.is_private)
		return 0;
	r = open_store(m, m->config, manager_store_path(m), &m->store);
	if (r < 0)
		return log_err(r, "cannot use the store %s", manager_store_path(m));
	keeper = storekeeper_config(m);
	r = storekeeper_new(m->event, &keeper, &m->storekeeper);
	if (r < 0)
		return log_err(r, "cannot keep the store %s", manager_store_path(m));
	start_uploads(m);
	r = continuous_start(m);
	if (r < 0)
		return r;
	(void)code_preload(m->code);
	log_info("profiling at %llu Hz, windows of %s below %s", (unsigned long long)m->config->frequency_hz,
	        units_format_time(interval, m->config->interval_ns), manager_store_path(m));
	return 0;
}

int manager_new(const struct manager_options *options, struct manager **ret)
{
	_cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
	_cleanup_free_ char *error = NULL;
	int r;

	assert(options && ret);

	if (!m)
		return log_err(-ENOMEM, "cannot start");
	m->options = *options;
	m->cache_dirfd = m->accounting_fd = -1;
	m->start_ns = clock_now_ns(CLOCK_REALTIME);
	if (gethostname(m->host, sizeof(m->host) - 1) < 0)
		(void)snprintf(m->host, sizeof(m->host), "localhost");
	r = load_config(options, &m->config, &error);
	if (r < 0)
		return log_err(error ? 0 : r, "%s", error ? error : "cannot read the configuration"), r;
	r = sd_event_new(&m->event);
	if (r < 0)
		return log_err(r, "cannot make an event loop");
	r = add_signals(m);
	if (r >= 0)
		r = listen_control(m); /* before anything costly: tells of a second daemon */
	if (r >= 0)
		r = open_cache(m);
	if (r >= 0)
		r = open_services(m);
	if (r < 0)
		return r;
	m->tools = (struct gather_tools){
		.assembly = { m->event, m->code, m->symbols, m->cgroups, m->environment, m->host },
		.cost_ns = cost_ns,
		.userdata = m,
	};
	r = start(m);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(m);
	return 0;
}

int manager_run(struct manager *m)
{
	int r;

	(void)sd_event_set_watchdog(m->event, true);
	features_done();
	trim_memory();
	(void)sd_notifyf(0, "READY=1\nSTATUS=Profiling at %llu Hz", (unsigned long long)m->config->frequency_hz);
	r = sd_event_loop(m->event);
	return r < 0 ? log_err(r, "the event loop failed") : r;
}

struct manager *manager_free(struct manager *m)
{
	struct pending *n;

	if (!m)
		return NULL;
	m->control = control_free(m->control); /* recordings whose client is gone end */
	while ((n = LIST_FIRST(&m->pending)))
		assembly_hurry(n->assembly);
	continuous_stop(m);
	for (unsigned i = 0; i < MANAGER_SYMBOLIZERS; i++)
		m->symbolizers[i] = symbolizer_free(m->symbolizers[i]); /* completes what is under way */
	m->symbols = symbols_free(m->symbols);
	m->code = code_free(m->code);
	cgroups_free(m->cgroups);
	environment_free(m->environment);
	uploads_free(m->uploads);
	storekeeper_free(m->storekeeper);
	store_close(m->store);
	target_set_free(m->targets);
	config_free(m->config);
	sd_event_source_disable_unref(m->drain_timer);
	sd_event_source_disable_unref(m->tick_timer);
	sd_event_source_disable_unref(m->window_timer);
	sd_event_unref(m->event);
	close_fd(m->cache_dirfd);
	close_fd(m->accounting_fd);
	free(m);
	return NULL;
}
