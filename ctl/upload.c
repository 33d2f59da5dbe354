/* emberctl upload: files from anywhere to a destination, by the same ember-export that emberd uses. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/units.h"
#include "ctl/command.h"
#include "ctl/daemon.h"
#include "daemon/config.h"
#include "daemon/config_values.h"
#include "daemon/upload_config.h"
#include "export/client.h"
#include "export/retry.h"
#include "profile/pprof.h"

#define TRIES_MAX 5
#define REPLY_TIMEOUT_MS (10 * 60 * 1000)

enum {
	OPTION_TO = 0x1000,
	OPTION_CONFIG,
	OPTION_PROTOCOL,
	OPTION_COMPRESSION,
	OPTION_TOKEN,
	OPTION_CA,
	OPTION_CERT,
	OPTION_KEY,
	OPTION_TENANT,
	OPTION_PROXY,
	OPTION_LABEL,
	OPTION_ATTRIBUTE,
	OPTION_SERVICE,
	OPTION_REFUSED,
	OPTION_SOURCE,
};

/* What the command line may say of a destination, instead of emberd.conf. */
static const struct setting {
	int option;
	size_t offset; /* of a text in struct config_upload */
} settings[] = {
	{ OPTION_PROTOCOL, offsetof(struct config_upload, protocol) },
	{ OPTION_COMPRESSION, offsetof(struct config_upload, compression) },
	{ OPTION_TENANT, offsetof(struct config_upload, tenant_id) },
	{ OPTION_PROXY, offsetof(struct config_upload, proxy) },
	{ OPTION_TOKEN, offsetof(struct config_upload, token_file) },
	{ OPTION_CA, offsetof(struct config_upload, ca_file) },
	{ OPTION_CERT, offsetof(struct config_upload, cert_file) },
	{ OPTION_KEY, offsetof(struct config_upload, key_file) },
};

struct upload_arguments {
	const char *to, *config_path, *refused, *socket;
	const char *texts[ARRAY_SIZE(settings)]; /* of settings; NULL: not given */
	struct config_list attributes;
	json_t *common, *resource, *services;
};

static void arguments_done(struct upload_arguments *a)
{
	config_list_done(&a->attributes);
	json_decref(a->common);
}

static const struct argp_option options[] = {
	{ "to", OPTION_TO, "NAME|URL", 0, "A destination of emberd.conf, or an address", 1 },
	{ "protocol", OPTION_PROTOCOL, "PROTOCOL", 0, "otlp-http (default), otlp-grpc, pyroscope, pyroscope-ingest",
	        1 },
	{ "compression", OPTION_COMPRESSION, "NAME", 0, "gzip (default), zstd, none", 1 },
	{ "label", OPTION_LABEL, "NAME=VALUE", 0, "Of all that is sent (env=production); repeatable", 1 },
	{ "attribute", OPTION_ATTRIBUTE, "LABEL", 0, "Send this label of each sample (thread, pid); repeatable", 1 },
	{ "service-name", OPTION_SERVICE, "RULE", 0, "As ServiceName= in emberd.conf; repeatable", 1 },
	{ "token-file", OPTION_TOKEN, "FILE", 0, "A bearer token", 1 },
	{ "ca-file", OPTION_CA, "FILE", 0, "Certificates to trust", 1 },
	{ "cert-file", OPTION_CERT, "FILE", 0, "Our certificate", 1 },
	{ "key-file", OPTION_KEY, "FILE", 0, "Its key", 1 },
	{ "tenant-id", OPTION_TENANT, "ID", 0, "Pyroscope's tenant", 1 },
	{ "proxy", OPTION_PROXY, "URL", 0, "Go through this proxy", 1 },
	{ "config", OPTION_CONFIG, "FILE", 0, "Look for NAME here (default: " CONFIG_DEFAULT_PATH ")", 1 },
	{ "refused", OPTION_REFUSED, "NAME", 0,
	        "No files: let the running emberd send again what this destination of its refused; \"all\" for every "
	        "destination",
	        2 },
	{ "source", OPTION_SOURCE, "SOCKET", 0, "Ask the emberd that listens here (default: " DAEMON_SOCKET ")", 2 },
	{ 0 },
};

static error_t parse_label(struct upload_arguments *a, char *arg, struct argp_state *state)
{
	char *equals = strchr(arg, '=');

	if (!equals || equals == arg)
		return command_option_error(state, "--label takes NAME=VALUE, not '%s'", arg);
	*equals = 0;
	(void)json_object_set_new(a->resource, arg, command_json_string(equals + 1));
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct upload_arguments *a = state->input;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (settings[i].option == key) {
			a->texts[i] = arg;
			return 0;
		}
	switch (key) {
	case OPTION_TO:
		a->to = arg;
		return 0;
	case OPTION_CONFIG:
		a->config_path = arg;
		return 0;
	case OPTION_REFUSED:
		a->refused = arg;
		return 0;
	case OPTION_SOURCE:
		a->socket = arg;
		return 0;
	case OPTION_LABEL:
		return parse_label(a, arg, state);
	case OPTION_ATTRIBUTE:
		return -config_list_add(&a->attributes, arg, strlen(arg));
	case OPTION_SERVICE:
		(void)json_array_append_new(a->services, json_string(arg));
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- sending ------------------------------------------------------------------------------------------------------
 */

static void find_export(char path[PATH_MAX])
{
	char self[PATH_MAX - 32], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = 0;
		slash = strrchr(self, '/');
		if (slash) {
			*slash = 0;
			(void)snprintf(path, PATH_MAX, "%s/../export/ember-export", self);
			if (access(path, X_OK) == 0)
				return;
		}
	}
	(void)snprintf(path, PATH_MAX, "%s/ember-export", EMBER_LIBEXECDIR);
}

/* Whatever the file's format is, the child gets pprof. */
static int make_window(const char *file, int *ret_fd)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(PPROF_BYTES_MAX);
	const struct input in = { 0 };
	_cleanup_close_ int fd = -1;
	int r;

	r = input_load(&in, &file, 1, &p);
	if (r < 0)
		return r;
	r = pprof_write(p, &b);
	if (r >= 0) {
		fd = memfd_create("window", MFD_CLOEXEC);
		r = fd < 0 ? -errno : fd_write_full(fd, b.data, b.size);
	}
	if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return log_err(r, "cannot send %s", file);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int wait_reply(struct export_child *c, struct export_reply *ret)
{
	struct pollfd p = { .fd = c->socket, .events = POLLIN };
	int r;

	do {
		if (poll(&p, 1, REPLY_TIMEOUT_MS) == 0)
			return -ETIMEDOUT;
		r = export_child_receive(c, ret);
		if (r == EXPORT_MESSAGE_PROGRESS && export_child_go_on(c, ret->id) < 0)
			return -EPIPE;
	} while (r == EXPORT_MESSAGE_NONE || r == EXPORT_MESSAGE_PROGRESS);
	return r < 0 ? r : 0;
}

static int send_once(struct export_child *c, const char *file, int fd, uint64_t parts_done, struct export_reply *ret)
{
	static uint64_t id;
	struct export_job job = { .id = ++id, .parts_done = parts_done };
	int r;

	(void)snprintf(job.name, sizeof(job.name), "%s", file);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	r = export_child_send(c, &job, fd, -1);
	return r < 0 ? r : wait_reply(c, ret);
}

/* -EREMOTEIO: not taken, for a reason that holds for every file. */
static int send_file(struct export_child *c, const struct config_upload *u, const char *file)
{
	const struct retry_policy policy = { u->retry_initial_ns, u->retry_max_ns };
	struct export_reply reply = { 0 };
	_cleanup_close_ int fd = -1;
	uint64_t samples = 0, bytes = 0;
	char size[UNITS_TEXT_MAX];
	int r = make_window(file, &fd);

	if (r < 0)
		return r;
	for (unsigned tries = 1;; tries++) {
		uint64_t random = 0, delay;
		struct timespec pause;

		r = send_once(c, file, fd, reply.parts_done, &reply);
		if (r < 0)
			return log_err(r, "%s: ember-export failed", file);
		samples += reply.samples;
		bytes += reply.bytes;
		if (reply.outcome != EXPORT_RETRY || tries >= TRIES_MAX)
			break;
		(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
		delay = retry_delay_ns(&policy, tries, reply.retry_after_ns, random);
		(void)log_warning(0, "%s: %s; again in %s", file, reply.error, units_format_time(size, delay));
		pause = (struct timespec){ (time_t)(delay / NS_PER_SEC), (long)(delay % NS_PER_SEC) };
		(void)nanosleep(&pause, NULL);
	}
	if (reply.outcome != EXPORT_SENT)
		return log_err(0, "%s: not sent: %s", file, *reply.error ? reply.error : "refused"),
		       reply.outcome == EXPORT_BLOCKED ? -EREMOTEIO : -EIO;
	if (*reply.error)
		(void)log_warning(0, "%s: %s", file, reply.error);
	fprintf(stderr, "%s: sent %llu samples in %s\n", file, (unsigned long long)samples,
	        units_format_size(size, bytes));
	return 0;
}

static int send_all(const struct upload_arguments *a, const struct config_upload *u, const struct command_args *args)
{
	_cleanup_free_ char *config = upload_config_text(u, a->common, 0);
	const struct export_files files = upload_config_files(u);
	struct export_child c = EXPORT_CHILD_NONE;
	const char *bad = NULL;
	char path[PATH_MAX];
	int r, result = 0;

	find_export(path);
	r = config ? export_child_start(path, config, &files, &c, &bad) : -ENOMEM;
	if (r < 0)
		return log_err(r, "cannot use %s", bad ? bad : path);
	for (size_t i = 0; i < args->n_arguments; i++) {
		r = send_file(&c, u, args->arguments[i]);
		result = r < 0 ? r : result;
		if (r == -EREMOTEIO)
			break;
	}
	export_child_close(&c, 0);
	for (int i = 0; i < 200 && export_child_reap(&c, NULL, NULL) == 0; i++)
		(void)poll(&(struct pollfd){ .fd = c.pidfd, .events = POLLIN }, 1, 50);
	return result;
}

/* ---- a destination of emberd.conf; options of the command line come first ---------------------------------------- */

static int set_text(char **text, const char *to)
{
	char *copy = strdup(to);

	if (!copy)
		return log_err(-ENOMEM, "cannot upload");
	free(*text);
	*text = copy;
	return 0;
}

static int apply_options(struct upload_arguments *a, struct config_upload *u)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(settings) && r >= 0; i++)
		if (a->texts[i])
			r = set_text((char **)((char *)u + settings[i].offset), a->texts[i]);
	if (a->attributes.n) {
		config_list_done(&u->attributes);
		u->attributes = a->attributes;
		a->attributes = (struct config_list){ 0 };
	}
	return r;
}

/* A section as emberd reads it, drop-ins and checks included. */
static int find_section(const struct upload_arguments *a, struct config **ret, struct config_upload **ret_upload)
{
	const char *path = a->config_path ? a->config_path : CONFIG_DEFAULT_PATH;
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *error = NULL;
	struct config_upload *u;
	int r = config_load(path, a->config_path, NULL, &c, &error);

	if (r < 0)
		return log_err(error ? 0 : r, "%s; an address needs no configuration: --to http://HOST:4318",
		               error ? error : "cannot read the configuration"),
		       r;
	u = config_find_upload(c, a->to);
	if (!u)
		return log_err(0, "%s has no [Upload %s]; give its name or an address", path, a->to), -ENOENT;
	*ret = TAKE_PTR(c);
	*ret_upload = u;
	return 0;
}

static int send_to(struct upload_arguments *a, struct config_upload *u, const struct command_args *args)
{
	int r = apply_options(a, u);

	if (r >= 0 && strcmp(u->protocol, "pprof-dir") == 0)
		return log_err(0, "emberctl upload writes into no directory; emberctl convert -o FILE does"), -EINVAL;
	return r < 0 ? r : send_all(a, u, args);
}

static int find_and_send(struct upload_arguments *a, const struct command_args *args)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(config_upload_freep) struct config_upload *by_address = NULL;
	struct config_upload *u = NULL;
	int r;

	if (!strstr(a->to, "://")) {
		r = find_section(a, &c, &u);
		return r < 0 ? r : send_to(a, u, args);
	}
	r = config_upload_new("address", &by_address);
	if (r < 0)
		return log_err(r, "cannot upload");
	r = set_text(&by_address->url, a->to);
	return r < 0 ? r : send_to(a, by_address, args);
}

/* ---- what emberd has set aside ----------------------------------------------------------------------------------- */

static int send_refused(const struct upload_arguments *a)
{
	_cleanup_(daemon_freep) struct daemon *d = NULL;
	json_t *params = json_object(), *result = NULL;
	long long n;
	int r;

	if (strcmp(a->refused, "all") != 0)
		(void)json_object_set_new(params, "name", command_json_string(a->refused));
	r = daemon_reach(a->socket, &d);
	if (r >= 0)
		r = daemon_call(d, "upload-refused", TAKE_PTR(params), &result);
	json_decref(params);
	if (r < 0)
		return r;
	n = json_integer_value(json_object_get(result, "windows"));
	json_decref(result);
	fprintf(stderr,
	        n == 1 ? "%lld window waits again; emberctl status tells how it goes\n"
	               : "%lld windows wait again; emberctl status tells how it goes\n",
	        n);
	return 0;
}

static const char *text_of(const struct upload_arguments *a, int option)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (settings[i].option == option)
			return a->texts[i];
	return NULL;
}

/* What stands in an address stands in a command line, for everybody to see. */
static bool has_at(const char *address)
{
	return address && strchr(address, '@');
}

static int upload_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(arguments_done) struct upload_arguments a = { .socket = DAEMON_SOCKET };
	char host[256] = "localhost";
	int r;

	/* No core file: what is read of emberd.conf may hold secrets, and the limit is ember-export's too. */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	a.common = json_pack("{s{}s[]}", "resource", "services");
	if (!a.common)
		return log_err(-ENOMEM, "cannot upload");
	a.resource = json_object_get(a.common, "resource");
	a.services = json_object_get(a.common, "services");
	r = command_parse(c, argc, argv, &args, &a);
	if (r != 0)
		return r;
	if (a.refused)
		return args.n_arguments || a.to ? command_usage_error(c, "--refused goes without files and --to")
		                                : send_refused(&a);
	if (!a.to || !args.n_arguments)
		return command_usage_error(c, a.to ? "which files?" : "--to NAME|URL says where to send");
	if (has_at(a.to) || has_at(text_of(&a, OPTION_PROXY)))
		return command_usage_error(c, "an address takes no user and password; --token-file has a secret");
	(void)gethostname(host, sizeof(host) - 1);
	if (!json_object_get(a.resource, "host.name"))
		(void)json_object_set_new(a.resource, "host.name", command_json_string(host));
	(void)json_object_set_new(a.resource, "os.type", json_string("linux"));
	return find_and_send(&a, &args);
}

const struct command upload_command = {
	.name = "upload",
	.arguments = "FILE...",
	.summary = "Send profiles to an OpenTelemetry Collector, a Pyroscope or a destination of emberd.conf",
	.details =
	        "Any format that emberctl reads; \"-\" is standard input. A destination that is busy is tried "
	        "again, what it "
	        "has taken is not sent twice. Secrets come from files, never from the command line.\n"
	        "--to NAME takes all that [Upload NAME] says, as emberd does; options of the command line come first. "
	        "Labels and services are those of the command line.\n"
	        "With --refused, emberd sends the windows again that NAME refused and that were set aside for it "
	        "('emberctl status').\n\n"
	        "Examples:\n"
	        "  emberctl upload cpu.pb.gz --to http://localhost:4318\n"
	        "  emberctl upload *.pb.gz --to http://pyroscope:4040 --protocol pyroscope\n"
	        "  emberctl upload cpu.folded --to NAME\n"
	        "  emberctl upload --refused NAME",
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = options,
	.parse = parse,
	.run = upload_run,
};
