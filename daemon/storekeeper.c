#include "daemon/storekeeper.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/helper.h"
#include "base/log.h"
#include "daemon/leak_watch.h"

#define ANSWER_BYTES_MAX (64u << 10)
/* A child that was hurried does not run again before. */
#define HURRY_AFTER_NS (5 * NS_PER_SEC)

struct storekeeper {
	sd_event *event;
	sd_event_source *timer, *answer_source;
	char *store_path;
	struct storekeeper_config config;
	pid_t pid; /* 0: none runs */
	int answer_fd;
	struct buffer answer;
	bool is_amiss;
	uint64_t runs, failed_runs, cpu_ns, last_run_ns;
	json_t *sums;       /* numbers of all answers added up, and what is no sum as it was last */
	json_t *told_leaks; /* keys of those that are in the log */
	char last_error[128];
};

extern char **environ;

static int on_answer(sd_event_source *s, int fd, uint32_t events, void *userdata);

static int spawn(struct storekeeper *k, int out_fd)
{
	char numbers[4][32], self[] = "/proc/self/exe", argument[] = STOREKEEPER_ARGUMENT, yes[] = "1", no[] = "0";
	const struct storekeeper_config *c = &k->config;
	bool reconcile = k->is_amiss || k->runs % STOREKEEPER_RECONCILE_EVERY == 0;
	char *argv[] = { (char *)"emberd", argument, k->store_path, numbers[0], numbers[1], numbers[2], numbers[3],
		reconcile ? yes : no, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r;

	(void)snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu64, c->max_profile_bytes);
	(void)snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu64, c->age_ns);
	(void)snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, c->max_bytes);
	(void)snprintf(numbers[3], sizeof(numbers[3]), "%.6f", c->min_free_disk);
	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn(&k->pid, self, &actions, &attributes, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (r != 0)
		k->pid = 0;
	return -r;
}

static int start(struct storekeeper *k)
{
	_cleanup_close_ int read_fd = -1, write_fd = -1;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	read_fd = fds[0];
	write_fd = fds[1];
	if (fcntl(read_fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = spawn(k, write_fd);
	if (r < 0)
		return r;
	k->runs++;
	k->is_amiss = false;
	k->last_run_ns = clock_now_ns(CLOCK_MONOTONIC);
	k->answer_fd = TAKE_FD(read_fd);
	return sd_event_add_io(k->event, &k->answer_source, k->answer_fd, EPOLLIN, on_answer, k);
}

static void add_up(json_t *sums, const json_t *answer)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)answer, name, value) {
		const json_t *before = json_object_get(sums, name);

		if (!json_is_integer(value) || strcmp(name, "bytes") == 0)
			(void)json_object_set(sums, name, value);
		else
			(void)json_object_set_new(
			        sums, name, json_integer(json_integer_value(value) + json_integer_value(before)));
	}
}

static void take_answer(struct storekeeper *k, int status)
{
	json_t *answer = k->answer.size ? json_loadb(k->answer.data, k->answer.size, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(answer, "error"));
	char text[sizeof(k->last_error)] = "";

	if (!answer)
		(void)snprintf(text, sizeof(text), "ended by %s %d", WIFSIGNALED(status) ? "signal" : "status",
		        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	else if (error)
		(void)snprintf(text, sizeof(text), "%s", error);
	if (answer) {
		add_up(k->sums, answer);
		leak_watch_log(k->told_leaks, json_object_get(answer, "leaks"));
	}
	json_decref(answer);
	k->failed_runs += text[0] != 0;
	/* A full disk fails each time: said when it begins. */
	if (text[0] && strcmp(text, k->last_error) != 0)
		(void)log_err(0, "cannot keep the store %s in order: %s", k->store_path, text);
	(void)snprintf(k->last_error, sizeof(k->last_error), "%s", text);
}

static int arm(struct storekeeper *k, uint64_t after_ns)
{
	int r = sd_event_source_set_time_relative(k->timer, after_ns / 1000);

	return r < 0 ? r : sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
}

static uint64_t interval_ns(const struct storekeeper *k)
{
	uint64_t ns = k->config.window_ns * STOREKEEPER_WINDOWS_APART;

	return MIN(MAX(ns, STOREKEEPER_INTERVAL_MIN_NS), STOREKEEPER_INTERVAL_NS);
}

static void reap(struct storekeeper *k)
{
	uint64_t cpu_ns = 0;
	int status = 0;

	k->answer_source = sd_event_source_disable_unref(k->answer_source);
	k->answer_fd = close_fd(k->answer_fd);
	(void)helper_reap(k->pid, true, &status, &cpu_ns);
	k->cpu_ns += cpu_ns;
	k->pid = 0;
	take_answer(k, status);
	buffer_done(&k->answer);
}

static int on_answer(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
	struct storekeeper *k = userdata;
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)s;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		(void)buffer_append(&k->answer, bytes, (size_t)n);
		return 0;
	}
	reap(k);
	return arm(k, k->is_amiss ? HURRY_AFTER_NS : interval_ns(k));
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct storekeeper *k = userdata;
	int r;

	(void)s;
	(void)usec;
	if (k->pid)
		return 0;
	r = start(k);
	if (r < 0) {
		(void)log_err(r, "cannot start the keeper of the store");
		return arm(k, interval_ns(k));
	}
	return 0;
}

int storekeeper_set(struct storekeeper *k, const struct storekeeper_config *config)
{
	char *path = strdup(config->store_path);

	if (!path)
		return -ENOMEM;
	free(k->store_path);
	k->store_path = path;
	k->config = *config;
	k->config.store_path = NULL;
	return k->pid ? 0 : arm(k, 0);
}

void storekeeper_hurry(struct storekeeper *k)
{
	uint64_t passed_ns = clock_now_ns(CLOCK_MONOTONIC) - k->last_run_ns;

	k->is_amiss = true;
	if (!k->pid)
		(void)arm(k, passed_ns > HURRY_AFTER_NS ? 0 : HURRY_AFTER_NS);
}

int storekeeper_new(sd_event *event, const struct storekeeper_config *config, struct storekeeper **ret)
{
	_cleanup_(storekeeper_freep) struct storekeeper *k = calloc(1, sizeof(*k));
	int r;

	assert(ret);

	if (!k)
		return -ENOMEM;
	k->answer_fd = -1;
	k->answer = BUFFER(ANSWER_BYTES_MAX);
	k->event = sd_event_ref(event);
	k->sums = json_object();
	k->told_leaks = json_object();
	if (!k->sums || !k->told_leaks)
		return -ENOMEM;
	r = sd_event_add_time_relative(event, &k->timer, CLOCK_MONOTONIC, 0, 0, on_timer, k);
	if (r >= 0)
		r = storekeeper_set(k, config);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(k);
	return 0;
}

struct storekeeper *storekeeper_free(struct storekeeper *k)
{
	if (!k)
		return NULL;
	if (k->pid) {
		(void)kill(k->pid, SIGKILL);
		(void)helper_reap(k->pid, true, NULL, NULL);
	}
	sd_event_source_disable_unref(k->timer);
	sd_event_source_disable_unref(k->answer_source);
	sd_event_unref(k->event);
	(void)close_fd(k->answer_fd);
	buffer_done(&k->answer);
	json_decref(k->sums);
	json_decref(k->told_leaks);
	free(k->store_path);
	free(k);
	return NULL;
}

uint64_t storekeeper_cpu_ns(const struct storekeeper *k)
{
	return k->cpu_ns;
}

json_t *storekeeper_json(const struct storekeeper *k)
{
	json_t *all = json_copy(k->sums);

	if (!all)
		return NULL;
	(void)json_object_set_new(all, "runs", json_integer((json_int_t)k->runs));
	(void)json_object_set_new(all, "failed_runs", json_integer((json_int_t)k->failed_runs));
	(void)json_object_set_new(all, "cpu_ns", json_integer((json_int_t)k->cpu_ns));
	(void)json_object_set_new(all, "error", json_string(k->last_error));
	return all;
}
