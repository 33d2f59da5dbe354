#include "daemon/upload.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/upload_config.h"
#include "daemon/upload_dir.h"
#include "daemon/upload_state.h"
#include "export/client.h"
#include "export/retry.h"
#include "store/spool.h"

#define CHILD_MEMORY_MAX (512ull << 20)
#define CRASHES_MAX 3 /* of the child over one window: then it is set aside */
#define REFUSED_PAUSE_MAX_NS (10 * NS_PER_SEC)
#define TRIM_EVERY 16
#define LAST_REPLY_MS 2000
#define LAST_PART_MS 200 /* from the last part to the reply */

struct upload {
	sd_event *event;
	const struct config_upload *config;
	char *executable;
	json_t *common;
	struct spool *spool;
	int output_dirfd; /* of pprof-dir, else -1 */

	struct export_child child;
	sd_event_source *reply_source, *exit_source, *timer;
	uint64_t child_stamp; /* of token and certificates, when the child was started */
	bool is_busy, is_waiting, is_behind;
	uint64_t job, job_sequence, job_parts; /* what is under way, and what is done of it */
	struct export_progress told;           /* of it, and counted */
	uint64_t crash_sequence;
	unsigned crashes, failures, until_trim;
	int note_error; /* the last failure to write something down */
	uint64_t retry_at_ns;
	char output_name[UPLOAD_DIR_NAME_MAX];

	struct upload_state state;
};

static void pump(struct upload *u);

/* The longest that one request may take, reading and cutting the window included: beyond, the child hangs. */
static void limit_job(struct upload *u)
{
	(void)sd_event_source_set_time_relative(u->timer, (60 * NS_PER_SEC + 60 * u->config->timeout_ns) / 1000);
	(void)sd_event_source_set_enabled(u->timer, SD_EVENT_ONESHOT);
}

/* ---- state --------------------------------------------------------------------------------------------------------
 */

/* Linked, but killed before that was noted: it is among the newest of the queue. */
static bool is_waiting(const struct upload *u, const char *name)
{
	size_t n = spool_totals(u->spool).n;
	struct spool_entry e;

	for (size_t i = n > UPLOAD_RECENT_MAX ? n - UPLOAD_RECENT_MAX : 0; i < n; i++)
		if (spool_get(u->spool, i, &e) >= 0 && strcmp(e.name, name) == 0)
			return true;
	return false;
}

/* Something could not be written down: what follows from that after a kill is in docs/upload.md. Said when it begins.
 */
static void fail_note(struct upload *u, const char *what, int r)
{
	if (r == -ENOENT)
		return; /* of a window that went meanwhile, to make room */
	u->state.c.failed_notes++;
	u->state.c.last_error_ns = clock_now_ns(CLOCK_REALTIME);
	(void)snprintf(u->state.last_error, sizeof(u->state.last_error), "cannot note %s: %s", what, strerror(-r));
	if (u->note_error != r)
		(void)log_err(r, "upload %s: cannot note %s", u->config->name, what);
	u->note_error = r;
}

static void save(struct upload *u, bool is_synced)
{
	int r = upload_state_save(&u->state, spool_dirfd(u->spool), is_synced);

	if (r < 0)
		fail_note(u, "what was put and counted", r);
	else
		u->note_error = 0;
}

static void load(struct upload *u)
{
	const char *name = u->config->name;
	unsigned damaged;
	int r = upload_state_load(&u->state, spool_dirfd(u->spool), &damaged);

	if (r == -EBADMSG)
		(void)log_err(r,
		        "upload %s: all of STORE/spool/%s/" UPLOAD_STATE_FILE
		        " is damaged, it is now " UPLOAD_STATE_DAMAGED
		        ": the queue and the time it was written remain, counters begin again",
		        name, name);
	else if (r < 0)
		(void)log_err(r, "upload %s: cannot read STORE/spool/%s/" UPLOAD_STATE_FILE, name, name);
	else if (damaged)
		(void)log_warning(0,
		        "upload %s: %u of %d copies in STORE/spool/%s/" UPLOAD_STATE_FILE
		        " are damaged; the newest whole one counts",
		        name, damaged, UPLOAD_STATE_SLOTS, name);
}

/* ---- outcomes -----------------------------------------------------------------------------------------------------
 */

/* The same failure every few minutes for a day is one line, not hundreds. */
static void note_error(struct upload *u, const char *what, const char *text)
{
	bool is_new = strcmp(u->state.last_error, text) != 0;

	(void)snprintf(u->state.last_error, sizeof(u->state.last_error), "%s", text);
	u->state.c.last_error_ns = clock_now_ns(CLOCK_REALTIME);
	if (is_new)
		(void)log_warning(0, "upload %s: %s: %s", u->config->name, what, text);
}

static void leave_queue(struct upload *u, uint64_t sequence)
{
	int r = spool_remove(u->spool, sequence);

	if (r < 0)
		fail_note(u, "that a window has left the queue", r);
	u->crashes = 0;
	save(u, false);
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
static void pause_sending(struct upload *u, uint64_t max_ns, uint64_t retry_after_ns)
{
	const struct retry_policy policy = { u->config->retry_initial_ns, MIN(u->config->retry_max_ns, max_ns) };
	uint64_t random = 0, delay_ns;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	u->failures++;
	stop_child(u, false);
	delay_ns = retry_delay_ns(&policy, u->failures, retry_after_ns, random);
	/* Pauses of our own choice end with us: whoever starts emberd anew wants to see what comes of it. */
	u->state.pause = (struct upload_pause){ retry_after_ns ? delay_ns : 0, upload_moment_now() };
	wait_ns(u, delay_ns);
	save(u, false);
}

static void back_off(struct upload *u, uint64_t retry_after_ns)
{
	u->state.c.retried++;
	pause_sending(u, UINT64_MAX, retry_after_ns);
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
	u->state.c.sent++;
	u->state.c.last_success_ns = clock_now_ns(CLOCK_REALTIME);
	if (*reply->error)
		note_error(u, "window taken, but", reply->error);
	if (u->failures)
		log_notice("upload %s: sending again after %u tries", u->config->name, u->failures);
	u->failures = 0;
	leave_queue(u, u->job_sequence);
}

static void set_aside(struct upload *u, enum spool_state state, uint64_t parts_done)
{
	if (spool_set(u->spool, u->job_sequence, state, parts_done) < 0) {
		back_off(u, 0); /* a full disk, perhaps: it stays where it is */
		return;
	}
	u->state.c.refused++;
	u->crashes = 0;
	/* What comes next is another window; still, a destination that refuses all is not asked in a rush. */
	pause_sending(u, REFUSED_PAUSE_MAX_NS, 0);
}

/* Did the destination judge by a token that is no longer the one in the file? */
static bool has_new_credentials(const struct upload *u)
{
	struct export_files files = upload_config_files(u->config);

	return export_files_stamp(&files) != u->child_stamp;
}

static void take_failure(struct upload *u, const struct export_reply *reply, uint32_t outcome)
{
	int r;

	if (outcome == EXPORT_REFUSED || (outcome == EXPORT_DENIED && !has_new_credentials(u))) {
		note_error(u, "window set aside", reply->error);
		set_aside(u, outcome == EXPORT_DENIED ? SPOOL_DENIED : SPOOL_REFUSED, reply->parts_done);
		return;
	}
	if (*reply->error)
		note_error(u, "will be tried again", reply->error);
	u->job_parts = reply->parts_done;
	r = spool_set(u->spool, u->job_sequence, SPOOL_WAITING, reply->parts_done);
	if (r < 0)
		fail_note(u, "how far a window was sent", r);
	back_off(u, reply->retry_after_ns);
}

/* What the job has come to since it was last told of. */
static void count(struct upload *u, const struct export_reply *reply)
{
	u->state.c.requests += reply->requests - MIN(u->told.requests, reply->requests);
	u->state.c.bytes += reply->bytes - MIN(u->told.bytes, reply->bytes);
	u->state.c.samples += reply->samples - MIN(u->told.samples, reply->samples);
	u->state.c.profiles_refused += reply->rejected - MIN(u->told.rejected, reply->rejected);
	u->told = (struct export_progress){
		.requests = reply->requests,
		.bytes = reply->bytes,
		.samples = reply->samples,
		.rejected = reply->rejected,
	};
}

/* A part is done: whatever is killed from here on, it does not go out again. */
static void take_progress(struct upload *u, const struct export_reply *reply)
{
	int r = spool_set(u->spool, u->job_sequence, SPOOL_WAITING, reply->parts_done);

	if (r < 0)
		fail_note(u, "how far a window was sent", r);
	u->job_parts = reply->parts_done;
	u->crashes = 0;
	count(u, reply);
	save(u, false);
	limit_job(u);
}

static void take_reply(struct upload *u, const struct export_reply *reply)
{
	uint32_t outcome = reply->outcome;

	u->is_busy = false;
	(void)sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
	count(u, reply);
	if (!finish_output(u, outcome == EXPORT_SENT) && outcome == EXPORT_SENT)
		outcome = EXPORT_RETRY;
	if (outcome == EXPORT_SENT) {
		take_sent(u, reply);
	} else if (outcome == EXPORT_REJECTED) {
		u->state.c.rejected++;
		note_error(u, "window left out", reply->error);
		leave_queue(u, u->job_sequence);
	} else {
		take_failure(u, reply, outcome);
	}
}

/* The child ended over a window: after a few times the window is to blame. */
static void take_crash(struct upload *u, const char *why)
{
	u->is_busy = false;
	(void)sd_event_source_set_enabled(u->timer, SD_EVENT_OFF);
	(void)finish_output(u, false);
	u->state.c.crashes++;
	u->crashes = u->crash_sequence == u->job_sequence ? u->crashes + 1 : 1;
	u->crash_sequence = u->job_sequence;
	note_error(u, "ember-export", why);
	stop_child(u, true);
	if (u->crashes >= CRASHES_MAX)
		set_aside(u, SPOOL_REFUSED, u->job_parts);
	else
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
	if (r == EXPORT_MESSAGE_NONE)
		return 0;
	if (r == EXPORT_MESSAGE_PROGRESS && u->is_busy && reply.id == u->job) {
		take_progress(u, &reply);
		(void)export_child_go_on(&u->child, u->job); /* of a child that is gone we hear */
		return 0;
	}
	if (r == EXPORT_MESSAGE_REPLY && u->is_busy && reply.id == u->job) {
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
	/* Word of a part and a last reply may still be in the socket. */
	for (int i = 0; i < 2 && u->is_busy && u->reply_source; i++)
		(void)on_child_reply(NULL, -1, 0, u);
	if (u->is_busy)
		take_crash(u, "ended over a window");
	u->reply_source = sd_event_source_disable_unref(u->reply_source);
	if (export_child_reap(&u->child, NULL, &cpu_ns) == 0)
		return 0;
	u->exit_source = sd_event_source_disable_unref(u->exit_source);
	u->state.c.cpu_ns += cpu_ns;
	save(u, false);
	pump(u);
	return 0;
}

static int start_child(struct upload *u)
{
	_cleanup_free_ char *config = upload_config_text(u->config, u->common, CHILD_MEMORY_MAX);
	struct export_files files = upload_config_files(u->config);
	const char *bad = NULL;
	char text[EXPORT_ERROR_MAX];
	int r;

	u->child_stamp = export_files_stamp(&files);
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
		u->state.c.expired++;
		note_error(u, "window left out", "older than MaxAge");
		leave_queue(u, e.sequence);
	}
}

/* What could not be written down is known as long as we live. */
static uint64_t parts_done(const struct upload *u, const struct spool_entry *e)
{
	return u->job_sequence == e->sequence ? MAX(e->parts_done, u->job_parts) : e->parts_done;
}

static int send_entry(struct upload *u, const struct spool_entry *e, int input)
{
	struct export_job job = { .id = ++u->job, .parts_done = parts_done(u, e) };
	_cleanup_close_ int output = -1;
	int r;

	(void)snprintf(job.name, sizeof(job.name), "%s", e->name);
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
	u->job_parts = job.parts_done;
	u->told = (struct export_progress){ 0 };
	limit_job(u);
	return 0;
}

static void take_back(struct upload *u, bool only_denied, const char *why)
{
	unsigned n = spool_take_back(u->spool, only_denied);

	if (n)
		log_notice("upload %s: %s: %u windows that were set aside wait again", u->config->name, why, n);
}

static void look_at_credentials(struct upload *u, uint64_t stamp)
{
	if (stamp == u->state.files_stamp)
		return;
	if (u->state.files_stamp)
		take_back(u, true, "token or certificates are new");
	u->state.files_stamp = stamp;
	save(u, false);
}

/* At the start: another configuration may be what the refused windows waited for. Where it cuts windows in another way,
 * parts that were sent are no parts any more. */
static void look_at_config(struct upload *u)
{
	_cleanup_free_ char *config = upload_config_text(u->config, u->common, CHILD_MEMORY_MAX);
	uint64_t stamp = config ? XXH3_64bits(config, strlen(config)) : 0;

	if (!stamp || stamp == u->state.config_stamp)
		return;
	if (u->state.config_stamp) {
		spool_forget_parts(u->spool);
		take_back(u, false, "the configuration is new");
	}
	u->state.config_stamp = stamp;
	u->state.pause = (struct upload_pause){ 0 }; /* it may be another server, or another customer of it */
	save(u, true);
}

/* At the start: what the destination asked for before. */
static void resume_pause(struct upload *u)
{
	const struct upload_moment now = upload_moment_now();
	uint64_t left_ns = upload_pause_left_ns(&u->state.pause, &now);

	if (!u->state.pause.ns)
		return;
	u->state.pause = (struct upload_pause){ left_ns, now };
	if (left_ns)
		wait_ns(u, left_ns);
	save(u, false);
}

/* Begins with the oldest window that waits where nothing is under way. */
static void pump(struct upload *u)
{
	struct export_files files = upload_config_files(u->config);
	_cleanup_close_ int input = -1;
	struct spool_entry e;
	int r;

	if (u->is_busy || u->is_waiting)
		return;
	look_at_credentials(u, export_files_stamp(&files));
	drop_expired(u);
	while (spool_next(u->spool, &e) == 0) {
		r = spool_open_entry(u->spool, e.sequence, &input);
		if (r >= 0)
			break;
		u->state.c.dropped += r == -ENOENT;
		leave_queue(u, e.sequence); /* somebody removed it, or it cannot be read: neither mends itself */
	}
	if (input < 0) {
		stop_child(u, false);
		return;
	}
	/* A child that is on its way out, or that has an old token: on_child_exit() comes here again. */
	if (u->child.pid && (!u->reply_source || u->child_stamp != export_files_stamp(&files))) {
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
	u->state.pause = (struct upload_pause){ 0 };
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

	if (name && (upload_state_is_recent(&u->state, name) || is_waiting(u, name)))
		return;
	r = name ? spool_put(u->spool, dirfd, path, name, &dropped) : -ENOMEM;
	u->state.c.dropped += dropped;
	if (dropped)
		note_error(u, "the spool is full", "the oldest windows were dropped");
	if (r < 0) {
		u->state.c.failed_puts++;
		note_error(u, "cannot queue a window", strerror(-r));
		u->is_behind = u->is_behind || (r != -E2BIG && r != -EINVAL);
	} else {
		upload_state_remember(&u->state, name);
	}
	/* What failed stays in the time to come: see upload_catch_up(). */
	if (!u->is_behind || !u->state.c.put_until_ns)
		u->state.c.put_until_ns = MAX(u->state.c.put_until_ns, time_ns);
	save(u, true);
	pump(u);
}

bool upload_catch_up(struct upload *u)
{
	bool is_behind = u->is_behind;

	u->is_behind = false;
	return is_behind;
}

uint64_t upload_put_until_ns(const struct upload *u)
{
	return u->state.c.put_until_ns;
}

unsigned upload_take_back(struct upload *u)
{
	unsigned n = spool_take_back(u->spool, false);

	pump(u);
	return n;
}

const char *upload_name(const struct upload *u)
{
	return u->config->name;
}

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value)
		(void)json_object_set_new(o, key, json_string(value));
}

static void set_number(json_t *o, const char *key, uint64_t value)
{
	(void)json_object_set_new(o, key, json_integer((json_int_t)value));
}

json_t *upload_status(const struct upload *u)
{
	struct spool_totals totals = spool_totals(u->spool);
	json_t *o = upload_state_counters(&u->state);

	set_text(o, "name", u->config->name);
	set_text(o, "protocol", u->config->protocol);
	set_text(o, "url", u->config->url);
	set_text(o, "last_error", u->state.last_error);
	set_number(o, "waiting", totals.n - totals.n_aside);
	set_number(o, "aside", totals.n_aside);
	set_number(o, "aside_bytes", totals.bytes_aside);
	set_number(o, "spool_bytes", totals.bytes);
	set_number(o, "retry_at_ns", u->retry_at_ns);
	set_number(o, "pid", (uint64_t)u->child.pid);
	return o;
}

pid_t upload_child(const struct upload *u)
{
	return u->child.pid;
}

uint64_t upload_child_cpu_ns(const struct upload *u)
{
	clockid_t clock;

	return u->state.c.cpu_ns +
	       (u->child.pid && clock_getcpuclockid(u->child.pid, &clock) == 0 ? clock_now_ns(clock) : 0);
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
	if (r < 0)
		return r;
	if (strcmp(c->protocol, "pprof-dir") == 0) {
		u->output_dirfd = open(c->url, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (u->output_dirfd < 0)
			return -errno;
	}
	look_at_config(u);
	resume_pause(u);
	pump(u);
	*ret = TAKE_PTR(u);
	return 0;
}

/* A window that is on its way right now: what the destination says of it, if it says so soon, saves sending it twice.
 * After a part the child waits for leave to begin the next, which it does not get. */
static void hear_last_reply(struct upload *u)
{
	struct pollfd p = { .fd = u->child.socket, .events = POLLIN };
	struct export_reply reply;
	int limit_ms = LAST_REPLY_MS;

	while (u->is_busy && poll(&p, 1, limit_ms) > 0) {
		int r = export_child_receive(&u->child, &reply);

		if (r <= 0 || reply.id != u->job)
			return;
		if (r == EXPORT_MESSAGE_REPLY)
			take_reply(u, &reply);
		else
			take_progress(u, &reply);
		limit_ms = LAST_PART_MS;
	}
}

struct upload *upload_free(struct upload *u)
{
	if (!u)
		return NULL;
	hear_last_reply(u);
	stop_child(u, true);
	if (u->spool && u->timer)
		save(u, true);
	(void)finish_output(u, false);
	sd_event_source_disable_unref(u->exit_source);
	sd_event_source_disable_unref(u->timer);
	/* Killed just now: gone at once. */
	while (u->child.pid && export_child_reap(&u->child, NULL, NULL) == 0)
		(void)sched_yield();
	(void)spool_free(u->spool);
	(void)close_fd(u->output_dirfd);
	upload_state_done(&u->state);
	json_decref(u->common);
	sd_event_unref(u->event);
	free(u->executable);
	free(u);
	return NULL;
}
