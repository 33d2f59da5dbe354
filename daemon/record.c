/* Recordings on demand: a source opened for one control call, with targets, rate and length of its own, whose one
 * window is the answer. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/features.h"
#include "daemon/manager.h"
#include "profile/ledger.h"
#include "profile/pprof.h"

#define RECORDINGS_MAX 16
#define DURATION_MAX_NS (24 * 3600 * NS_PER_SEC)
#define FREQUENCY_MAX 10000
#define NAMES_TIMEOUT_NS (20 * NS_PER_SEC) /* for names, after the end */
#define DRAINS_A_TURN 16
#define UNFINISHED_WAIT_NS (4 * NS_PER_SEC)
#define UNFINISHED_POLL_NS (20 * NS_PER_MS)
#define READY_WAIT_NS (2 * NS_PER_SEC)
#define READY_POLL_NS (2 * NS_PER_MS)

struct recording {
	LIST_ENTRY(recording) next;
	struct manager *manager;
	struct gather *gather;     /* NULL once it has ended */
	struct control_call *call; /* NULL: nobody waits any more */
	const void *client;
	const struct source *source;
	struct assembly *assembly;
	sd_event_source *timer;
	uint64_t duration_ns, timeout_ns;
	uint64_t ready_ns; /* its client is told that it has begun then at the latest; 0: it has been */
	uint64_t cut_ns;   /* 0, or over, and by then at the latest the window is cut */
};

/* What a request asks for, checked. */
struct request {
	const struct source *source;
	struct source_params params;
	uint64_t duration_ns, timeout_ns;
	struct target_spec spec;
	struct target_set *targets;
};

static void spec_done(struct target_spec *s)
{
	free(s->pids.items);
	free(s->cgroups.items);
	free(s->units.items);
	free(s->comms.items);
	free(s->exes.items);
}

static void request_done(struct request *q)
{
	spec_done(&q->spec);
	target_set_free(q->targets);
}

unsigned record_count(const struct manager *m)
{
	const struct recording *k;
	unsigned n = 0;

	LIST_FOREACH (k, &m->recordings, next)
		n++;
	return n;
}

uint64_t record_bpf_ns(const struct manager *m)
{
	const struct recording *k;
	uint64_t ns = 0;

	LIST_FOREACH (k, &m->recordings, next) {
		struct source_stats stats = { 0 };

		if (k->gather)
			source_stats(gather_instance(k->gather), &stats);
		ns += stats.bpf_ns;
	}
	return ns;
}

static void recording_free(struct recording *k)
{
	struct manager *m = k->manager;

	LIST_REMOVE(k, next);
	sd_event_source_disable_unref(k->timer);
	if (k->gather)
		manager_gather_closed(m, k->gather);
	free(k);
	manager_went_idle(m);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static int profile_to_fd(const struct profile *p)
{
	_cleanup_buffer_ struct buffer b = BUFFER(PPROF_BYTES_MAX);
	_cleanup_close_ int fd = -1;
	int r = pprof_write(p, &b);

	if (r < 0)
		return r;
	fd = memfd_create("profile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = fd_write_full(fd, b.data, b.size);
	if (r < 0)
		return r;
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return TAKE_FD(fd);
}

static json_int_t ledger_number(const struct profile *p, const char *name)
{
	int64_t value;

	return ledger_get(p, name, &value) < 0 ? 0 : value;
}

static void answer(struct recording *k, const struct profile *p)
{
	_cleanup_close_ int fd = profile_to_fd(p);
	struct control_call *call = TAKE_PTR(k->call);

	if (fd < 0) {
		control_fail(call, fd, "cannot write the profile: %s", strerror(-fd));
		return;
	}
	control_reply(call,
	        json_pack("{sssIsIsIsIsIsIsIsI}", "source", k->source->name, "samples", (json_int_t)profile_total(p, 0),
	                "lost", ledger_number(p, LEDGER_LOST), "truncated", ledger_number(p, LEDGER_TRUNCATED),
	                "unsymbolized", ledger_number(p, LEDGER_UNSYMBOLIZED), "locations",
	                (json_int_t)profile_n_locations(p), "cost_cpu_ns", ledger_number(p, LEDGER_COST_CPU_NS), "rate",
	                ledger_number(p, LEDGER_RATE_HZ), "duration_ns",
	                (json_int_t)profile_header_const(p)->duration_ns),
	        fd);
}

static void on_profile(void *userdata, int result, struct profile *profile)
{
	struct recording *k = userdata;
	_cleanup_(profile_freep) struct profile *p = profile;

	k->assembly = NULL;
	if (k->call && result < 0)
		control_fail(TAKE_PTR(k->call), result, "cannot build the profile: %s", strerror(-result));
	else if (k->call)
		answer(k, p);
	p = profile_free(p);
	recording_free(k);
}

static int wake_after(struct recording *k, uint64_t ns)
{
	/* Not relative: the loop's time may be from before the programs were loaded. */
	int r = sd_event_source_set_time(k->timer, (clock_now_ns(CLOCK_MONOTONIC) + ns) / 1000);

	return r < 0 ? r : sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void recording_cut(struct recording *k)
{
	struct gather *g = TAKE_PTR(k->gather);
	int r;

	if (!g)
		return;
	k->timer = sd_event_source_disable_unref(k->timer);
	r = gather_cut(g, k->timeout_ns, on_profile, k, &k->assembly);
	manager_gather_closed(k->manager, g);
	if (r >= 0)
		return;
	if (k->call && r == -ENODATA)
		control_fail(TAKE_PTR(k->call), r,
		        "no sample of %s in this time: nothing of what was asked for ran, or "
		        "nothing in it could be probed",
		        k->source->name);
	else if (k->call)
		control_fail(TAKE_PTR(k->call), r, "cannot end the recording: %s", strerror(-r));
	recording_free(k);
}

/* Sampling is over; a stack that waits for its rows may have a moment. */
static void recording_end(struct recording *k, bool at_once)
{
	gather_end(k->gather);
	k->cut_ns = clock_now_ns(CLOCK_MONOTONIC) + UNFINISHED_WAIT_NS;
	if (at_once || gather_unfinished(k->gather) == 0 || wake_after(k, 0) < 0)
		recording_cut(k);
}

/* Its client is told once all is in place, so that nothing of a command that waits for this goes by unseen. */
static void begin_if_ready(struct recording *k)
{
	if (!source_is_ready(gather_instance(k->gather)) && clock_now_ns(CLOCK_MONOTONIC) < k->ready_ns &&
	        wake_after(k, READY_POLL_NS) >= 0)
		return;
	k->ready_ns = 0;
	if (k->call)
		control_event(k->call, json_pack("{sb}", "started", 1));
	if (wake_after(k, k->duration_ns) < 0)
		recording_end(k, true);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct recording *k = userdata;

	(void)s;
	(void)usec;
	if (k->cut_ns) {
		(void)gather_drain(k->gather);
		if (gather_unfinished(k->gather) == 0 || clock_now_ns(CLOCK_MONOTONIC) >= k->cut_ns ||
		        wake_after(k, UNFINISHED_POLL_NS) < 0)
			recording_cut(k);
	} else if (k->ready_ns)
		begin_if_ready(k);
	else
		recording_end(k, false);
	return 0;
}

static void on_gone(void *userdata)
{
	struct recording *k = userdata;

	k->call = NULL;
	if (!k->assembly)
		recording_free(k);
}

static struct recording *find_running(const struct manager *m, const void *client)
{
	struct recording *k;

	LIST_FOREACH (k, &m->recordings, next)
		if (k->gather && (!client || (k->client == client && !k->cut_ns)))
			return k;
	return NULL;
}

/* All at once without a client. Ending one may end others with it (their client is gone): look anew each time. */
void record_stop(struct manager *m, const void *client)
{
	struct recording *k;

	while ((k = find_running(m, client)))
		recording_end(k, !client);
}

void record_drain(struct manager *m)
{
	struct recording *k;

	LIST_FOREACH (k, &m->recordings, next)
		for (unsigned i = 0; k->gather && i < DRAINS_A_TURN && gather_drain(k->gather) > 0; i++)
			;
}

void record_tick(struct manager *m)
{
	struct recording *k;

	LIST_FOREACH (k, &m->recordings, next)
		if (k->gather)
			source_tick(gather_instance(k->gather));
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

/* Strings of a JSON array, borrowed from it. */
static int read_list(const json_t *params, const char *key, struct config_list *ret)
{
	const json_t *array = json_object_get(params, key), *item;
	size_t i;

	if (!array)
		return 0;
	if (!json_is_array(array) || json_array_size(array) > TARGET_PIDS_MAX)
		return -EINVAL;
	ret->items = calloc(MAX(json_array_size(array), (size_t)1), sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	json_array_foreach (array, i, item) {
		if (!json_is_string(item))
			return -EINVAL;
		ret->items[ret->n++] = (char *)json_string_value(item);
	}
	return 0;
}

static int read_number(const json_t *params, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *v = json_object_get(params, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) <= 0 || (uint64_t)json_integer_value(v) > max)
		return -EINVAL;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int read_numbers(const struct manager *m, const json_t *params, struct request *q)
{
	uint64_t hz = m->config->frequency_hz;

	q->duration_ns = DURATION_MAX_NS;
	q->timeout_ns = NAMES_TIMEOUT_NS;
	if (read_number(params, "frequency_hz", FREQUENCY_MAX, &hz) < 0 ||
	        read_number(params, "duration_ns", DURATION_MAX_NS, &q->duration_ns) < 0 ||
	        read_number(params, "names_timeout_ns", DURATION_MAX_NS, &q->timeout_ns) < 0 ||
	        read_number(params, "interval", INT64_MAX, &q->params.interval) < 0)
		return -EINVAL;
	q->params.frequency_hz = (uint32_t)hz;
	q->params.kernel_stacks = m->config->kernel_stacks;
	q->params.heap_interval = m->config->heap_interval;
	q->params.single_step = m->config->heap_single_step || json_is_true(json_object_get(params, "single_step"));
	q->params.code = m->code;
	q->params.is_on_demand = 1;
	return 0;
}

static int read_targets(struct manager *m, const json_t *params, struct request *q, char **ret_error)
{
	const json_t *targets = json_object_get(params, "targets");

	if (targets && (!json_is_object(targets) || read_list(targets, "pids", &q->spec.pids) < 0 ||
	                       read_list(targets, "cgroups", &q->spec.cgroups) < 0 ||
	                       read_list(targets, "units", &q->spec.units) < 0 ||
	                       read_list(targets, "comms", &q->spec.comms) < 0 ||
	                       read_list(targets, "exes", &q->spec.exes) < 0))
		return -EINVAL;
	return target_set_new(&q->spec, NULL, m->cgroups, false, &q->targets, ret_error);
}

/* 0, or the call has been answered. */
static int read_request(struct manager *m, struct control_call *call, const json_t *params, struct request *q)
{
	const char *name = json_string_value(json_object_get(params, "source"));
	_cleanup_free_ char *error = NULL;
	int r;

	q->source = name ? source_find(name) : NULL;
	if (!q->source) {
		control_fail(call, -ENOENT, "there is no source %s; `emberctl features` lists them", name ? name : "");
		return -ENOENT;
	}
	if (!m->options.is_private && !m->config->on_demand) {
		control_fail(call, -EPERM, "recordings on demand are turned off ([Profile] OnDemand=no)");
		return -EPERM;
	}
	if (!features_has(q->source->needs)) {
		control_fail(call, -EOPNOTSUPP, "%s does not work here: %s", name, features_reason(q->source->needs));
		return -EOPNOTSUPP;
	}
	r = read_numbers(m, params, q);
	if (r >= 0)
		r = read_targets(m, params, q, &error);
	if (r < 0)
		control_fail(call, r, "%s", error ? error : "a parameter is missing or out of bounds");
	return r;
}

static int start(struct recording *k, const struct request *q)
{
	struct manager *m = k->manager;
	int r;

	r = gather_new(&m->tools, q->source, &q->params, &k->gather);
	if (r < 0)
		return r;
	r = gather_attach(k->gather);
	if (r < 0)
		return r;
	k->ready_ns = clock_now_ns(CLOCK_MONOTONIC) + READY_WAIT_NS;
	return sd_event_add_time(m->event, &k->timer, CLOCK_MONOTONIC, 0, 1, on_timer, k);
}

void record_handle(struct manager *m, struct control_call *call, const json_t *params)
{
	_cleanup_(request_done) struct request q = { 0 };
	struct recording *k;
	int r;

	if (m->is_stopping || record_count(m) >= RECORDINGS_MAX) {
		control_fail(call, -EBUSY, m->is_stopping ? "emberd is stopping" : "too many recordings at once");
		return;
	}
	if (read_request(m, call, params, &q) < 0)
		return;
	q.params.targets = &q.targets->targets;
	k = calloc(1, sizeof(*k));
	if (!k) {
		control_fail(call, -ENOMEM, "out of memory");
		return;
	}
	*k = (struct recording){ .manager = m,
		.call = call,
		.client = control_client(call),
		.source = q.source,
		.duration_ns = q.duration_ns,
		.timeout_ns = q.timeout_ns };
	LIST_INSERT_HEAD(&m->recordings, k, next);
	r = start(k, &q);
	if (r < 0) {
		control_fail(TAKE_PTR(k->call), r, "cannot start %s: %s", q.source->name, strerror(-r));
		recording_free(k);
		return;
	}
	control_on_gone(call, on_gone, k);
	begin_if_ready(k);
}
