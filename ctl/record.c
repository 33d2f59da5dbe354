/* emberctl record: one profile now, of the host, of what is named, or of a command from its first instruction on. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/daemon.h"
#include "ctl/progress.h"
#include "profile/caveat.h"
#include "profile/file.h"
#include "profile/tree.h"

#define SOURCES_MAX 8 /* as many calls as emberd takes of one client */
#define DURATION_DEFAULT_NS (10 * NS_PER_SEC)
#define DURATION_MAX_NS (24 * 3600 * NS_PER_SEC)

enum {
	OPTION_CGROUP = 0x1000,
	OPTION_UNIT,
	OPTION_COMM,
	OPTION_EXE,
	OPTION_SINGLE_STEP,
	OPTION_HEAP_INTERVAL,
	OPTION_SOURCE,
};

static const struct argp_option record_options[] = {
	{ "event", 'e', "SOURCE,...", 0, "What to record (default: cpu); 'emberctl features' lists the sources", 0 },
	{ "frequency", 'F', "HZ", 0, "Samples a second on each CPU, 1 to 10000 (default: the daemon's, 100)", 0 },
	{ "duration", 'd', "SECONDS", 0, "How long (default: 10 s, or as long as the command runs); also 500ms, 2min",
	        0 },
	{ "pid", 'p', "PID,...", 0, "Only these processes and their children", 0 },
	{ "cgroup", OPTION_CGROUP, "PATH", 0, "Only this cgroup (v2) and those below it", 0 },
	{ "unit", OPTION_UNIT, "NAME", 0, "Only this systemd unit", 0 },
	{ "comm", OPTION_COMM, "GLOB", 0, "Only processes with such a name", 0 },
	{ "exe", OPTION_EXE, "PATH", 0, "Only processes that run this executable", 0 },
	{ "heap-interval", OPTION_HEAP_INTERVAL, "BYTES", 0, "heap: one sample each so many bytes (512K)", 0 },
	{ "single-step", OPTION_SINGLE_STEP, NULL, 0,
	        "heap: probe also where the kernel must single-step, at ten times the price (within the same budget)",
	        0 },
	{ "output", 'o', "FILE", 0,
	        "Write here; the name's end says the format: .pb.gz .pb.zst .otlp .folded .svg .html .speedscope.json. "
	        "Several sources: a folder, DIR/ (default: SOURCE.pb.gz)",
	        0 },
	{ "source", OPTION_SOURCE, "SOCKET", 0, "Ask the emberd that listens here (default: " DAEMON_SOCKET ")", 0 },
	{ 0 },
};

struct recording {
	char *source;
	uint64_t id; /* of the call */
	bool is_started, is_done;
};

struct record {
	struct recording recordings[SOURCES_MAX];
	size_t n;
	json_t *targets; /* object of arrays of strings */
	uint64_t frequency_hz, duration_ns, heap_interval;
	bool single_step;
	const char *output, *socket;
	char *const *command; /* NULL: none */

	struct daemon *daemon;
	pid_t pid;     /* of the command */
	int gate_fd;   /* write end: the command waits for a byte */
	int failed_fd; /* read end: errno of a failed exec */
	int signal_fd;
	bool is_stopped, command_ended;
	uint64_t start_ns, last_cost_ns;
	int result;
};

static void record_done(struct record *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->recordings[i].source);
	json_decref(x->targets);
	close_fd(x->gate_fd); /* a command that still waits ends */
	if (x->pid > 0)
		while (waitpid(x->pid, NULL, 0) < 0 && errno == EINTR)
			;
	daemon_free(x->daemon);
	close_fd(x->failed_fd);
	close_fd(x->signal_fd);
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static error_t add_target(struct record *x, const char *kind, const char *value, struct argp_state *state)
{
	json_t *list = json_object_get(x->targets, kind);

	if (!*value)
		return command_option_error(state, "an empty name selects nothing");
	if (!list) {
		list = json_array();
		if (json_object_set_new(x->targets, kind, list) < 0)
			return ENOMEM;
	}
	return json_array_append_new(list, json_string(value)) < 0 ? ENOMEM : 0;
}

static error_t add_pids(struct record *x, char *text, struct argp_state *state)
{
	char *rest = text;

	for (char *p = strsep(&rest, ","); p; p = strsep(&rest, ",")) {
		uint64_t pid;
		error_t r;

		if (command_parse_number(p, 1, INT32_MAX, &pid) < 0)
			return command_option_error(state, "-p takes process IDs with commas between, not '%s'", p);
		r = add_target(x, "pids", p, state);
		if (r != 0)
			return r;
	}
	return 0;
}

static error_t add_sources(struct record *x, char *text, struct argp_state *state)
{
	char *rest = text;

	for (char *p = strsep(&rest, ","); p; p = strsep(&rest, ",")) {
		if (!*p || x->n == SOURCES_MAX)
			return command_option_error(state, "-e takes 1 to %d sources with commas between", SOURCES_MAX);
		for (size_t i = 0; i < x->n; i++)
			if (strcmp(x->recordings[i].source, p) == 0)
				return command_option_error(state, "-e names %s twice", p);
		x->recordings[x->n].source = strdup(p);
		if (!x->recordings[x->n].source)
			return ENOMEM;
		x->n++;
	}
	return 0;
}

static error_t record_parse(int key, char *arg, struct argp_state *state)
{
	struct record *x = state->input;

	switch (key) {
	case 'e':
		return add_sources(x, arg, state);
	case 'F':
		if (command_parse_number(arg, 1, 10000, &x->frequency_hz) < 0)
			return command_option_error(state, "-F takes a number from 1 to 10000, not '%s'", arg);
		return 0;
	case 'd':
		if (units_parse_time(arg, &x->duration_ns) < 0 || x->duration_ns < NS_PER_MS ||
		        x->duration_ns > DURATION_MAX_NS)
			return command_option_error(state, "-d takes a time from 1ms to 24h, not '%s'", arg);
		return 0;
	case 'p':
		return add_pids(x, arg, state);
	case OPTION_CGROUP:
		return add_target(x, "cgroups", arg, state);
	case OPTION_UNIT:
		return add_target(x, "units", arg, state);
	case OPTION_COMM:
		return add_target(x, "comms", arg, state);
	case OPTION_EXE:
		return add_target(x, "exes", arg, state);
	case OPTION_SINGLE_STEP:
		x->single_step = true;
		return 0;
	case OPTION_HEAP_INTERVAL:
		if (units_parse_size(arg, &x->heap_interval) < 0 || x->heap_interval == 0)
			return command_option_error(state, "--heap-interval takes a size such as 512K, not '%s'", arg);
		return 0;
	case 'o':
		x->output = arg;
		return 0;
	case OPTION_SOURCE:
		x->socket = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What the options mean together. */
static int check_arguments(const struct command *c, struct record *x, const struct command_args *args)
{
	size_t n = x->output ? strlen(x->output) : 0;

	if (x->n == 0) {
		x->recordings[0].source = strdup("cpu");
		if (!x->recordings[0].source)
			return log_err(-ENOMEM, "cannot record");
		x->n = 1;
	}
	if (args->n_arguments > 0)
		x->command = (char *const *)args->arguments;
	if (x->command && json_object_size(x->targets) > 0)
		return command_usage_error(
		        c, "a command is a target of its own: leave -p, --cgroup, --unit, --comm and --exe out");
	if (x->n > 1 && x->output && (n == 0 || x->output[n - 1] != '/'))
		return command_usage_error(c, "several sources need a folder: -o DIR/, not '%s'", x->output);
	if (x->output && n > 0 && x->output[n - 1] != '/' && strcmp(x->output, "-") != 0 && !file_format_of(x->output))
		return command_usage_error(c, "'%s' has no ending that says a format; see --help", x->output);
	if (x->duration_ns == 0)
		x->duration_ns = x->command ? DURATION_MAX_NS : DURATION_DEFAULT_NS;
	return 0;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static void run_command(const struct record *x, int gate_fd, int failed_fd)
{
	sigset_t none;
	char byte;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Recording has begun, or has failed (end of file). */
	if (read(gate_fd, &byte, 1) != 1)
		_exit(127);
	(void)execvp(x->command[0], x->command);
	(void)!write(failed_fd, &errno, sizeof(errno));
	_exit(127);
}

/* Starts it up to the point before exec, so that nothing of it runs unseen. */
static int prepare_command(struct record *x)
{
	_cleanup_close_ int gate = -1, failed = -1;
	char pid[16];
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return log_err(-errno, "cannot start %s", x->command[0]);
	gate = fds[0];
	x->gate_fd = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return log_err(-errno, "cannot start %s", x->command[0]);
	x->failed_fd = fds[0];
	failed = fds[1];
	x->pid = fork();
	if (x->pid < 0)
		return log_err(-errno, "cannot start %s", x->command[0]);
	if (x->pid == 0) {
		x->gate_fd = close_fd(x->gate_fd);
		run_command(x, gate, failed);
	}
	(void)snprintf(pid, sizeof(pid), "%d", x->pid);
	return json_object_set_new(x->targets, "pids", json_pack("[s]", pid)) < 0 ? -ENOMEM : 0;
}

static int release_command(struct record *x)
{
	int error = 0;
	ssize_t n;

	if (!x->command)
		return 0;
	if (write(x->gate_fd, "", 1) != 1)
		return log_err(-errno, "cannot start %s", x->command[0]);
	x->gate_fd = close_fd(x->gate_fd);
	/* Closed by a successful exec. */
	n = read(x->failed_fd, &error, sizeof(error));
	if (n == (ssize_t)sizeof(error))
		return log_err(-error, "cannot run %s", x->command[0]);
	return 0;
}

static void reap_command(struct record *x)
{
	int status;

	if (x->pid <= 0 || waitpid(x->pid, &status, WNOHANG) != x->pid)
		return;
	x->pid = 0;
	x->command_ended = true;
	if (WIFSIGNALED(status))
		(void)log_err(0, "%s was ended by signal %d", x->command[0], WTERMSIG(status));
	else if (WEXITSTATUS(status))
		(void)log_err(0, "%s ended with status %d", x->command[0], WEXITSTATUS(status));
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static int send_calls(struct record *x)
{
	for (size_t i = 0; i < x->n; i++) {
		struct recording *k = &x->recordings[i];
		json_t *params = json_pack("{sssIsO}", "source", k->source, "duration_ns", (json_int_t)x->duration_ns,
		        "targets", x->targets);
		int r;

		if (params && x->frequency_hz)
			(void)json_object_set_new(params, "frequency_hz", json_integer((json_int_t)x->frequency_hz));
		if (params && x->heap_interval && strcmp(k->source, "heap") == 0)
			(void)json_object_set_new(params, "interval", json_integer((json_int_t)x->heap_interval));
		if (params && x->single_step)
			(void)json_object_set_new(params, "single_step", json_true());
		r = daemon_send(x->daemon, "record", params, &k->id);
		if (r < 0)
			return daemon_log_gone(x->daemon, r);
	}
	return 0;
}

static int stop(struct record *x)
{
	uint64_t id;
	int r;

	if (x->is_stopped)
		return 0;
	x->is_stopped = true;
	r = daemon_send(x->daemon, "stop", NULL, &id);
	return r < 0 ? daemon_log_gone(x->daemon, r) : 0;
}

static struct recording *find_recording(struct record *x, uint64_t id)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->recordings[i].id == id)
			return &x->recordings[i];
	return NULL;
}

static bool all_are(const struct record *x, bool (*is)(const struct recording *k))
{
	for (size_t i = 0; i < x->n; i++)
		if (!is(&x->recordings[i]))
			return false;
	return true;
}

static bool is_started(const struct recording *k)
{
	return k->is_started || k->is_done;
}

static bool is_done(const struct recording *k)
{
	return k->is_done;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static int output_path(const struct record *x, const struct recording *k, char **ret)
{
	size_t n = x->output ? strlen(x->output) : 0;
	int r;

	if (!x->output)
		r = asprintf(ret, "%s.pb.gz", k->source);
	else if (n > 0 && x->output[n - 1] == '/')
		r = asprintf(ret, "%s%s.pb.gz", x->output, k->source);
	else
		r = asprintf(ret, "%s", x->output);
	return r < 0 ? -ENOMEM : 0;
}

static json_int_t number(const json_t *body, const char *key)
{
	return json_integer_value(json_object_get(body, key));
}

static double percent(json_int_t part, json_int_t whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* All of the counts, 0 or not, and what the source has to say besides. */
static void print_summary(const struct recording *k, const json_t *body, const struct profile *p, const char *path)
{
	const char *noun = tree_count_noun(p, 0);
	json_int_t samples = number(body, "samples"), duration = number(body, "duration_ns");
	char time[UNITS_TEXT_MAX], cost[UNITS_TEXT_MAX], caveat[CAVEAT_TEXT_MAX];

	(void)fprintf(stderr, "%s: %lld %.*s in %s, %lld lost, %lld truncated (%.1f %%), ", k->source,
	        (long long)samples, tree_noun_bytes(noun, samples), noun, units_format_time(time, (uint64_t)duration),
	        (long long)number(body, "lost"), (long long)number(body, "truncated"),
	        percent(number(body, "truncated"), samples));
	(void)fprintf(stderr, "%lld of %lld frames unsymbolized, own cost %s (%.2f %% of a CPU)",
	        (long long)number(body, "unsymbolized"), (long long)number(body, "locations"),
	        units_format_time(cost, (uint64_t)number(body, "cost_cpu_ns")),
	        percent(number(body, "cost_cpu_ns"), duration));
	for (size_t at = CAVEATS_OF_ALL; caveat_next(p, &at, caveat);)
		(void)fprintf(stderr, "; %s", caveat);
	(void)fprintf(stderr, ": %s\n", strcmp(path, "-") == 0 ? "standard output" : path);
}

static int save(struct record *x, const struct recording *k, const struct daemon_message *m)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	_cleanup_free_ char *bytes = NULL, *path = NULL;
	struct profile_error error = { 0 };
	size_t size;
	int r;

	if (m->fd < 0 || lseek(m->fd, 0, SEEK_SET) < 0)
		return log_err(-EBADMSG, "%s: no profile came", k->source);
	r = fd_read_all(m->fd, FILE_BYTES_MAX, &bytes, &size);
	if (r < 0)
		return log_err(r, "%s: cannot read the profile", k->source);
	r = output_path(x, k, &path);
	if (r < 0)
		return log_err(r, "cannot record");
	if (x->output && x->output[strlen(x->output) - 1] == '/') {
		r = dir_make(AT_FDCWD, x->output, 0777);
		if (r < 0)
			return log_err(r, "cannot make %s", x->output);
	}
	r = pprof_read(NULL, bytes, size, &p, &error);
	if (r < 0)
		return log_err(0, "%s: the profile cannot be read: %s", k->source, error.text), r;
	r = file_save(path, p, NULL, &error);
	if (r < 0)
		return log_err(0, "%s: %s", path, error.text), r;
	print_summary(k, m->body, p, path);
	return 0;
}

static int take_message(struct record *x)
{
	_cleanup_message_ struct daemon_message m = DAEMON_MESSAGE;
	struct recording *k;
	int r = daemon_receive(x->daemon, &m);

	if (r < 0)
		return daemon_log_gone(x->daemon, r);
	k = find_recording(x, m.id);
	if (!k)
		return 0; /* the answer to "stop" */
	if (m.kind == DAEMON_EVENT) {
		k->is_started = true;
		return 0;
	}
	k->is_done = true;
	r = m.kind == DAEMON_ERROR ? (log_err(0, "%s: %s", k->source, m.error), -EREMOTEIO) : save(x, k, &m);
	if (r < 0)
		x->result = r;
	return 0;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static int open_signals(struct record *x)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	x->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return x->signal_fd < 0 ? log_err(-errno, "cannot take signals") : 0;
}

/* Ctrl-C ends the recording, not us; so does the end of the command. */
static int take_signals(struct record *x)
{
	struct signalfd_siginfo si;
	bool is_asked = false;

	while (read(x->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		is_asked |= si.ssi_signo != SIGCHLD;
	reap_command(x);
	return is_asked || x->command_ended ? stop(x) : 0;
}

static int wait_once(struct record *x, struct progress *progress)
{
	struct pollfd fds[] = {
		{ .fd = daemon_fd(x->daemon), .events = POLLIN },
		{ .fd = x->signal_fd, .events = POLLIN },
	};
	uint64_t gone_ns = x->start_ns ? clock_now_ns(CLOCK_MONOTONIC) - x->start_ns : 0;
	int r = 0;

	progress_update(
	        progress, gone_ns / NS_PER_SEC, x->duration_ns == DURATION_MAX_NS ? 0 : x->duration_ns / NS_PER_SEC);
	if (!daemon_has_message(x->daemon) && poll(fds, ARRAY_SIZE(fds), 200) < 0 && errno != EINTR)
		return log_err(-errno, "cannot wait");
	if (fds[1].revents)
		r = take_signals(x);
	if (r >= 0 && (fds[0].revents || daemon_has_message(x->daemon))) {
		progress_end(progress);
		r = take_message(x);
	}
	return r;
}

static int record(struct record *x)
{
	_cleanup_progress_ struct progress progress = progress_start("recording", "seconds");
	int r;

	r = open_signals(x);
	if (r >= 0 && x->command)
		r = prepare_command(x);
	if (r >= 0)
		r = daemon_open(x->socket, &x->daemon);
	if (r >= 0)
		r = send_calls(x);
	while (r >= 0 && !all_are(x, is_started))
		r = wait_once(x, &progress);
	if (r < 0 || x->result < 0)
		return r < 0 ? r : x->result;
	r = release_command(x);
	if (r < 0)
		return r;
	x->start_ns = clock_now_ns(CLOCK_MONOTONIC);
	while (r >= 0 && !all_are(x, is_done))
		r = wait_once(x, &progress);
	return r < 0 ? r : x->result;
}

static int record_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(record_done) struct record x = {
		.gate_fd = -1, .failed_fd = -1, .signal_fd = -1, .socket = DAEMON_SOCKET
	};
	const char **arguments;
	int r;

	x.targets = json_object();
	if (!x.targets)
		return log_err(-ENOMEM, "cannot record");
	r = command_parse(c, argc, argv, &args, &x);
	if (r != 0)
		return r;
	/* execvp() wants a NULL behind the last one. */
	arguments = realloc(args.arguments, (args.n_arguments + 1) * sizeof(*arguments));
	if (!arguments)
		return log_err(-ENOMEM, "cannot record");
	args.arguments = arguments;
	arguments[args.n_arguments] = NULL;
	r = check_arguments(c, &x, &args);
	return r != 0 ? r : record(&x);
}

const struct command record_command = {
	.name = "record",
	.arguments = "[-- COMMAND...]",
	.summary = "Take one profile now, with or without a running emberd",
	.details = "Records the whole host, or what the options select, and writes one file a source. With a command "
	           "it records "
	           "that and its children from the first instruction to the last. Ctrl-C ends a recording early and "
	           "keeps it.\n\n"
	           "Examples:\n"
	           "  emberctl record -d 5                        # the host, into cpu.pb.gz\n"
	           "  emberctl record -d 30 -p 1234 -o flame.svg  # one process, as a picture\n"
	           "  emberctl record -F 999 -o make.html -- make # a command and all it starts\n"
	           "  emberctl record --unit nginx.service -o nginx.folded",
	.flags = COMMAND_IN_ORDER,
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = record_options,
	.parse = record_parse,
	.run = record_run,
};
