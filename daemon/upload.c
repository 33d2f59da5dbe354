#include "daemon/upload.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/upload_dir.h"
#include "export/client.h"
#include "export/retry.h"
#include "store/spool.h"

#define STATE_FILE "state.json"
#define STATE_BYTES_MAX (64u << 10)
#define SAVE_NS (10 * NS_PER_SEC) /* counters may be this far behind on disk */
#define RECENT_MAX 64             /* names of windows put last */
#define CRASHES_MAX 3             /* of the child over one window: then it is set aside */
#define CHILD_MEMORY_MAX (512ull << 20)
#define TRIM_EVERY 16
#define LAST_REPLY_MS 2000

struct counters {
	uint64_t sent, retried, dropped, rejected, expired, failed_puts;
	uint64_t requests, bytes, samples, profiles_refused, crashes;
	uint64_t last_success_ns, last_error_ns, put_until_ns, cpu_ns;
};

struct upload {
	sd_event *event;
	const struct config_upload *config;
	char *executable;
	json_t *common;
	struct spool *spool;
	int output_dirfd; /* of pprof-dir, else -1 */

	struct export_child child;
	sd_event_source *reply_source, *exit_source, *timer, *save_timer;
	uint64_t files_stamp; /* of token and certificates, when the child was started */
	bool is_busy, is_waiting;
	uint64_t job, job_sequence;
	uint64_t parts_sequence, parts_done; /* of the window at the head, from an earlier try */
	uint64_t crash_sequence;
	unsigned crashes, failures, until_trim;
	uint64_t retry_at_ns;
	char output_name[UPLOAD_DIR_NAME_MAX];

	struct counters c;
	char last_error[EXPORT_ERROR_MAX];
	char *recent[RECENT_MAX];
	size_t n_recent; /* in all; the oldest is overwritten */
};

static void pump(struct upload *u);

/* ---- state on disk ------------------------------------------------------------------------------------------------
 */

static const struct {
	const char *key;
	size_t offset;
} counter_keys[] = {
	{ "sent", offsetof(struct counters, sent) },
	{ "retried", offsetof(struct counters, retried) },
	{ "dropped", offsetof(struct counters, dropped) },
	{ "rejected", offsetof(struct counters, rejected) },
	{ "expired", offsetof(struct counters, expired) },
	{ "failed_puts", offsetof(struct counters, failed_puts) },
	{ "requests", offsetof(struct counters, requests) },
	{ "bytes", offsetof(struct counters, bytes) },
	{ "samples", offsetof(struct counters, samples) },
	{ "profiles_refused", offsetof(struct counters, profiles_refused) },
	{ "crashes", offsetof(struct counters, crashes) },
	{ "last_success_ns", offsetof(struct counters, last_success_ns) },
	{ "last_error_ns", offsetof(struct counters, last_error_ns) },
	{ "put_until_ns", offsetof(struct counters, put_until_ns) },
	{ "cpu_ns", offsetof(struct counters, cpu_ns) },
};

static uint64_t *counter(const struct upload *u, size_t i)
{
	return (uint64_t *)((char *)&u->c + counter_keys[i].offset);
}

static json_t *counters_json(const struct upload *u)
{
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(counter_keys); i++)
		(void)json_object_set_new(o, counter_keys[i].key, json_integer((json_int_t)*counter(u, i)));
	return o;
}

static void remember(struct upload *u, const char *name)
{
	size_t i = u->n_recent % RECENT_MAX;

	free(u->recent[i]);
	u->recent[i] = strdup(name);
	u->n_recent++;
}

static bool is_recent(const struct upload *u, const char *name)
{
	for (size_t i = 0; i < RECENT_MAX; i++)
		if (u->recent[i] && strcmp(u->recent[i], name) == 0)
			return true;
	return false;
}

/* Linked, but killed before that was noted: it is among the newest of the queue. */
static bool is_waiting(const struct upload *u, const char *name)
{
	size_t n = spool_count(u->spool);
	struct spool_entry e;

	for (size_t i = n > RECENT_MAX ? n - RECENT_MAX : 0; i < n; i++)
		if (spool_get(u->spool, i, &e) >= 0 && strcmp(e.name, name) == 0)
			return true;
	return false;
}

static void save(struct upload *u)
{
	_cleanup_free_ char *text = NULL;
	json_t *o = counters_json(u), *recent = json_array();

	for (size_t i = u->n_recent > RECENT_MAX ? u->n_recent - RECENT_MAX : 0; i < u->n_recent; i++)
		if (u->recent[i % RECENT_MAX])
			(void)json_array_append_new(recent, json_string(u->recent[i % RECENT_MAX]));
	(void)json_object_set_new(o, "recent", recent);
	(void)json_object_set_new(o, "parts_sequence", json_integer((json_int_t)u->parts_sequence));
	(void)json_object_set_new(o, "parts_done", json_integer((json_int_t)u->parts_done));
	(void)json_object_set_new(o, "last_error", json_string(u->last_error));
	text = json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(o);
	/* A full disk: the counters are behind, the windows are not. */
	if (text)
		(void)file_write_atomic(spool_dirfd(u->spool), STATE_FILE, text, strlen(text), 0600);
	(void)sd_event_source_set_enabled(u->save_timer, SD_EVENT_OFF);
}

static void save_soon(struct upload *u)
{
	int enabled = SD_EVENT_OFF;

	(void)sd_event_source_get_enabled(u->save_timer, &enabled);
	if (enabled != SD_EVENT_OFF)
		return;
	(void)sd_event_source_set_time_relative(u->save_timer, SAVE_NS / 1000);
	(void)sd_event_source_set_enabled(u->save_timer, SD_EVENT_ONESHOT);
}

static int on_save_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	save(userdata);
	return 0;
}

/* What is missing or damaged counts from 0 again. */
static void load(struct upload *u)
{
	_cleanup_free_ char *text = NULL;
	json_t *o, *name;
	size_t n, i;

	if (file_read_all(spool_dirfd(u->spool), STATE_FILE, STATE_BYTES_MAX, &text, &n) < 0)
		return;
	o = json_loadb(text, n, 0, NULL);
	for (i = 0; i < ARRAY_SIZE(counter_keys); i++)
		*counter(u, i) = (uint64_t)MAX(json_integer_value(json_object_get(o, counter_keys[i].key)), 0);
	json_array_foreach (json_object_get(o, "recent"), i, name)
		if (json_string_value(name))
			remember(u, json_string_value(name));
	u->parts_sequence = (uint64_t)json_integer_value(json_object_get(o, "parts_sequence"));
	u->parts_done = (uint64_t)json_integer_value(json_object_get(o, "parts_done"));
	if (json_string_value(json_object_get(o, "last_error")))
		(void)snprintf(u->last_error, sizeof(u->last_error), "%s",
		        json_string_value(json_object_get(o, "last_error")));
	json_decref(o);
}

/* ---- outcomes -----------------------------------------------------------------------------------------------------
 */

/* The same failure every few minutes for a day is one line, not hundreds. */
static void note_error(struct upload *u, const char *what, const char *text)
{
	bool is_new = strcmp(u->last_error, text) != 0;

	(void)snprintf(u->last_error, sizeof(u->last_error), "%s", text);
	u->c.last_error_ns = clock_now_ns(CLOCK_REALTIME);
	if (is_new)
		(void)log_warning(0, "upload %s: %s: %s", u->config->name, what, text);
}

static void leave_queue(struct upload *u, uint64_t sequence)
{
	(void)spool_remove(u->spool, sequence);
	u->parts_sequence = u->parts_done = 0;
	u->crashes = 0;
	save_soon(u);
}

static void wait_ns(struct upload *u, uint64_t ns)
{
	u->is_waiting = true;
	u->retry_at_ns = clock_now_ns(CLOCK_REALTIME) + ns;
	(void)sd_event_source_set_time_relative(u->timer, ns / 1000);
	(void)sd_event_source_set_enabled(u->timer, SD_EVENT_ONESHOT);
}

static void stop_child(struct upload *u, bool is_forced)
{
	u->reply_source = sd_event_source_disable_unref(u->reply_source);
	export_child_close(&u->child, is_forced);
}

/* The destination has to be left alone for a while: no process waits with us. */
static void back_off(struct upload *u, uint64_t retry_after_ns)
{
	const struct retry_policy policy = { u->config->retry_initial_ns, u->config->retry_max_ns };
	uint64_t random = 0;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	u->failures++;
	u->c.retried++;
	stop_child(u, false);
	wait_ns(u, retry_delay_ns(&policy, u->failures, retry_after_ns, random));
	save_soon(u);
}

static void trim_directory(struct upload *u)
{
	if (u->until_trim-- > 0)
		return;
	u->until_trim = TRIM_EVERY;
	(void)upload_dir_trim(u->output_dirfd, u->config->retention_ns, u->config->max_bytes);
}

/* The file of a directory gets its name; a failure turns success into another try. */
static bool finish_output(struct upload *u, bool is_good)
{
	int r;

	if (u->output_dirfd < 0 || !*u->output_name)
		return is_good;
	r = is_good ? upload_dir_commit(u->output_dirfd, u->output_name) : -ECANCELED;
	if (r < 0)
		upload_dir_abort(u->output_dirfd, u->output_name);
	else
		trim_directory(u);
	*u->output_name = 0;
	if (is_good && r < 0)
		note_error(u, "cannot name the file", strerror(-r));
	return r >= 0;
}

static void take_sent(struct upload *u, const struct export_reply *reply)
{
	u->c.sent++;
	u->c.samples += reply->samples;
	u->c.profiles_refused += reply->rejected;
	u->c.last_success_ns = clock_now_ns(CLOCK_REALTIME);
	if (*reply->error)
		note_error(u, "window taken, but", reply->error);
	if (u->failures)
		log_notice("upload %s: sending again after %u tries", u->config->name, u->failures);
	u->failures = 0;
	leave_queue(u, u->job_sequence);
}

static void take_reply(struct upload *u, const struct export_reply *reply)
{
	uint32_t outcome = reply->outcome;

	u->is_busy = false;
	(void)sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
	u->c.requests += reply->requests;
	u->c.bytes += reply->bytes;
	if (!finish_output(u, outcome == EXPORT_SENT) && outcome == EXPORT_SENT)
		outcome = EXPORT_RETRY;
	if (outcome == EXPORT_SENT) {
		take_sent(u, reply);
	} else if (outcome == EXPORT_REJECTED) {
		u->c.rejected++;
		note_error(u, "window refused", reply->error);
		leave_queue(u, u->job_sequence);
	} else {
		if (*reply->error)
			note_error(u, "will be tried again", reply->error);
		u->parts_sequence = u->job_sequence;
		u->parts_done = reply->parts_done;
		u->c.samples += reply->samples;
		back_off(u, reply->retry_after_ns);
	}
}

/* The child ended over a window: after a few times the window is to blame. */
static void take_crash(struct upload *u, const char *why)
{
	u->is_busy = false;
	(void)sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
	(void)finish_output(u, false);
	u->c.crashes++;
	u->crashes = u->crash_sequence == u->job_sequence ? u->crashes + 1 : 1;
	u->crash_sequence = u->job_sequence;
	note_error(u, "ember-export", why);
	if (u->crashes >= CRASHES_MAX) {
		u->c.rejected++;
		leave_queue(u, u->job_sequence);
	}
	stop_child(u, true);
	back_off(u, 0);
}

/* ---- the child ----------------------------------------------------------------------------------------------------
 */

static int on_child_reply(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
	struct upload *u = userdata;
	struct export_reply reply;
	int r = export_child_receive(&u->child, &reply);

	(void)s;
	(void)fd;
	(void)events;
	if (r == 0)
		return 0;
	if (r > 0 && u->is_busy && reply.id == u->job) {
		take_reply(u, &reply);
		pump(u);
		return 0;
	}
	if (u->is_busy)
		take_crash(u, r == -EPIPE ? "ended over a window" : "gave a wrong answer");
	else
		stop_child(u, true);
	return 0;
}

static int on_child_exit(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
	struct upload *u = userdata;
	uint64_t cpu_ns = 0;

	(void)s;
	(void)fd;
	(void)events;
	/* A last reply may still be in the socket. */
	if (u->is_busy && u->reply_source)
		(void)on_child_reply(NULL, -1, 0, u);
	if (u->is_busy)
		take_crash(u, "ended over a window");
	u->reply_source = sd_event_source_disable_unref(u->reply_source);
	if (export_child_reap(&u->child, NULL, &cpu_ns) == 0)
		return 0;
	u->exit_source = sd_event_source_disable_unref(u->exit_source);
	u->c.cpu_ns += cpu_ns;
	pump(u);
	return 0;
}

static json_t *list_json(const struct config_list *l)
{
	json_t *array = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(array, json_string(l->items[i]));
	return array;
}

static json_t *headers_json(const struct config_list *l)
{
	json_t *o = json_object();

	for (size_t i = 0; i < l->n; i++) {
		_cleanup_free_ char *name = strndup(l->items[i], strcspn(l->items[i], ":"));
		const char *value = strchr(l->items[i], ':') + 1;

		if (name)
			(void)json_object_set_new(o, name, json_string(value + strspn(value, " \t")));
	}
	return o;
}

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value)
		(void)json_object_set_new(o, key, json_string(value));
}

/* As export/config.h has it. */
static char *config_text(const struct upload *u)
{
	const struct config_upload *c = u->config;
	json_t *o = json_copy(u->common);
	char *text;

	set_text(o, "name", c->name);
	set_text(o, "protocol", c->protocol);
	set_text(o, "url", c->url);
	set_text(o, "compression", c->compression);
	set_text(o, "encoding", c->encoding);
	set_text(o, "tenant", c->tenant_id);
	set_text(o, "proxy", c->proxy);
	(void)json_object_set_new(o, "headers", headers_json(&c->headers));
	(void)json_object_set_new(o, "attributes", list_json(&c->attributes));
	(void)json_object_set_new(o, "timeout_ms", json_integer((json_int_t)(c->timeout_ns / NS_PER_MS)));
	(void)json_object_set_new(o, "samples_max", json_integer((json_int_t)c->samples_max));
	(void)json_object_set_new(o, "bytes_max", json_integer((json_int_t)c->request_bytes));
	(void)json_object_set_new(o, "memory_max", json_integer((json_int_t)CHILD_MEMORY_MAX));
	(void)json_object_set_new(o, "processes", json_boolean(c->processes));
	(void)json_object_set_new(o, "timestamps", json_boolean(c->timestamps));
	(void)json_object_set_new(o, "payload", json_boolean(c->payload));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static struct export_files files_of(const struct upload *u)
{
	const struct config_upload *c = u->config;

	return (struct export_files){ {
		[EXPORT_FILE_TOKEN] = c->token_file,
		[EXPORT_FILE_CA] = c->ca_file,
		[EXPORT_FILE_CERT] = c->cert_file,
		[EXPORT_FILE_KEY] = c->key_file,
	} };
}

static int start_child(struct upload *u)
{
	_cleanup_free_ char *config = config_text(u);
	struct export_files files = files_of(u);
	const char *bad = NULL;
	char text[EXPORT_ERROR_MAX];
	int r;

	u->files_stamp = export_files_stamp(&files);
	r = config ? export_child_start(u->executable, config, &files, &u->child, &bad) : -ENOMEM;
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "%s: %s", bad ? bad : u->executable, strerror(-r));
		note_error(u, "cannot start", text);
		return r;
	}
	r = sd_event_add_io(u->event, &u->reply_source, u->child.socket, EPOLLIN, on_child_reply, u);
	if (r >= 0)
		r = sd_event_add_io(u->event, &u->exit_source, u->child.pidfd, EPOLLIN, on_child_exit, u);
	if (r < 0)
		stop_child(u, true);
	return r;
}

/* ---- the queue ----------------------------------------------------------------------------------------------------
 */

static void drop_expired(struct upload *u)
{
	uint64_t now = clock_now_ns(CLOCK_REALTIME);
	struct spool_entry e;

	while (spool_get(u->spool, 0, &e) == 0 && e.time_ns + u->config->max_age_ns < now) {
		u->c.expired++;
		note_error(u, "window left out", "older than MaxAge");
		leave_queue(u, e.sequence);
	}
}

/* The longest that one window may take, many requests included: beyond, the child hangs. */
static uint64_t job_limit_ns(const struct upload *u)
{
	return 60 * NS_PER_SEC + 60 * u->config->timeout_ns;
}

static int send_entry(struct upload *u, const struct spool_entry *e, int input)
{
	struct export_job job = { .id = ++u->job };
	_cleanup_close_ int output = -1;
	int r;

	(void)snprintf(job.name, sizeof(job.name), "%s", e->name);
	if (u->parts_sequence == e->sequence)
		job.parts_done = u->parts_done;
	*u->output_name = 0;
	if (u->output_dirfd >= 0) {
		r = upload_dir_open(u->output_dirfd, e->name, u->output_name, &output);
		if (r < 0) {
			*u->output_name = 0;
			note_error(u, u->config->url, strerror(-r));
			return r;
		}
	}
	r = export_child_send(&u->child, &job, input, output);
	if (r < 0) {
		note_error(u, "ember-export", strerror(-r));
		return r;
	}
	u->is_busy = true;
	u->job_sequence = e->sequence;
	(void)sd_event_source_set_time_relative(u->timer, job_limit_ns(u) / 1000);
	(void)sd_event_source_set_enabled(u->timer, SD_EVENT_ONESHOT);
	return 0;
}

/* Begins with the window at the head where nothing is under way. */
static void pump(struct upload *u)
{
	struct export_files files = files_of(u);
	_cleanup_close_ int input = -1;
	struct spool_entry e;
	int r;

	if (u->is_busy || u->is_waiting)
		return;
	drop_expired(u);
	while (spool_get(u->spool, 0, &e) == 0) {
		r = spool_open_entry(u->spool, e.sequence, &input);
		if (r >= 0)
			break;
		u->c.dropped += r == -ENOENT;
		leave_queue(u, e.sequence); /* somebody removed it, or it cannot be read: neither mends itself */
	}
	if (spool_count(u->spool) == 0) {
		stop_child(u, false);
		return;
	}
	/* A child that is on its way out, or that has an old token: on_child_exit() comes here again. */
	if (u->child.pid && (!u->reply_source || u->files_stamp != export_files_stamp(&files))) {
		stop_child(u, false);
		return;
	}
	r = u->child.pid ? 0 : start_child(u);
	if (r >= 0)
		r = send_entry(u, &e, input);
	if (r < 0)
		back_off(u, 0);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct upload *u = userdata;

	(void)s;
	(void)usec;
	if (u->is_busy) {
		take_crash(u, "took too long over a window");
		return 0;
	}
	u->is_waiting = false;
	u->retry_at_ns = 0;
	pump(u);
	return 0;
}

/* "cpu/2026-11-22/NAME" becomes "cpu-NAME". */
static char *entry_name(const char *path)
{
	const char *slash = strchr(path, '/'), *last = strrchr(path, '/');
	char *name;

	if (!slash)
		return strdup(path);
	return asprintf(&name, "%.*s-%s", (int)(slash - path), path, last + 1) < 0 ? NULL : name;
}

void upload_put(struct upload *u, int dirfd, const char *path, uint64_t time_ns)
{
	_cleanup_free_ char *name = entry_name(path);
	unsigned dropped = 0;
	int r;

	if (name && (is_recent(u, name) || is_waiting(u, name)))
		return;
	r = name ? spool_put(u->spool, dirfd, path, name, &dropped) : -ENOMEM;
	u->c.dropped += dropped;
	if (dropped)
		note_error(u, "the spool is full", "the oldest windows were dropped");
	if (r < 0) {
		u->c.failed_puts++;
		note_error(u, "cannot queue a window", strerror(-r));
	} else {
		remember(u, name);
	}
	u->c.put_until_ns = MAX(u->c.put_until_ns, time_ns);
	save(u);
	pump(u);
}

uint64_t upload_put_until_ns(const struct upload *u)
{
	return u->c.put_until_ns;
}

json_t *upload_status(const struct upload *u)
{
	json_t *o = counters_json(u);

	set_text(o, "name", u->config->name);
	set_text(o, "protocol", u->config->protocol);
	set_text(o, "url", u->config->url);
	set_text(o, "last_error", u->last_error);
	(void)json_object_set_new(o, "waiting", json_integer((json_int_t)spool_count(u->spool)));
	(void)json_object_set_new(o, "spool_bytes", json_integer((json_int_t)spool_bytes(u->spool)));
	(void)json_object_set_new(o, "retry_at_ns", json_integer((json_int_t)u->retry_at_ns));
	(void)json_object_set_new(o, "pid", json_integer(u->child.pid));
	return o;
}

pid_t upload_child(const struct upload *u)
{
	return u->child.pid;
}

uint64_t upload_child_cpu_ns(const struct upload *u)
{
	clockid_t clock;

	return u->c.cpu_ns + (u->child.pid && clock_getcpuclockid(u->child.pid, &clock) == 0 ? clock_now_ns(clock) : 0);
}

/* ---- life ---------------------------------------------------------------------------------------------------------
 */

static int add_timer(struct upload *u, sd_event_source **ret, sd_event_time_handler_t handler)
{
	int r = sd_event_add_time_relative(u->event, ret, CLOCK_MONOTONIC, 0, 0, handler, u);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int upload_new(sd_event *event, const struct upload_options *options, struct upload **ret)
{
	_cleanup_(upload_freep) struct upload *u = calloc(1, sizeof(*u));
	const struct config_upload *c = options->config;
	int r;

	assert(ret);

	if (!u)
		return -ENOMEM;
	u->event = sd_event_ref(event);
	u->config = c;
	u->common = json_incref(options->common);
	u->child = EXPORT_CHILD_NONE;
	u->output_dirfd = -1;
	u->executable = strdup(options->executable);
	if (!u->executable)
		return -ENOMEM;
	r = spool_open(options->spool_dirfd, c->name, c->spool_bytes, &u->spool);
	if (r < 0)
		return r;
	load(u);
	r = add_timer(u, &u->timer, on_timer);
	if (r >= 0)
		r = add_timer(u, &u->save_timer, on_save_timer);
	if (r < 0)
		return r;
	if (strcmp(c->protocol, "pprof-dir") == 0) {
		u->output_dirfd = open(c->url, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (u->output_dirfd < 0)
			return -errno;
	}
	pump(u);
	*ret = TAKE_PTR(u);
	return 0;
}

/* A window that is on its way right now: what the destination says of it, if it says so soon, saves sending it twice.
 */
static void hear_last_reply(struct upload *u)
{
	struct pollfd p = { .fd = u->child.socket, .events = POLLIN };
	struct export_reply reply;

	if (u->is_busy && poll(&p, 1, LAST_REPLY_MS) > 0 && export_child_receive(&u->child, &reply) > 0 &&
	        reply.id == u->job)
		take_reply(u, &reply);
}

struct upload *upload_free(struct upload *u)
{
	if (!u)
		return NULL;
	hear_last_reply(u);
	stop_child(u, true);
	if (u->spool && u->save_timer)
		save(u);
	(void)finish_output(u, false);
	sd_event_source_disable_unref(u->exit_source);
	sd_event_source_disable_unref(u->timer);
	sd_event_source_disable_unref(u->save_timer);
	/* Killed just now: gone at once. */
	while (u->child.pid && export_child_reap(&u->child, NULL, NULL) == 0)
		(void)sched_yield();
	(void)spool_free(u->spool);
	(void)close_fd(u->output_dirfd);
	for (size_t i = 0; i < RECENT_MAX; i++)
		free(u->recent[i]);
	json_decref(u->common);
	sd_event_unref(u->event);
	free(u->executable);
	free(u);
	return NULL;
}
