/* emberd: the daemon. Arguments, then the manager. */
#include <argp.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/manager.h"
#include "daemon/storekeeper.h"

enum {
	OPTION_CHECK_CONFIG = 0x1000,
	OPTION_STORE,
	OPTION_RUNTIME_DIR,
	OPTION_SYMBOLIZER,
	OPTION_EXPORT,
	OPTION_PRIVATE,
	OPTION_PRINT_CONFIG,
};

struct arguments {
	struct manager_options manager;
	bool check_config, print_config;
};

static const struct argp_option options[] = {
	{ "config", 'c', "FILE", 0, "Read FILE and FILE.d/*.conf in place of " CONFIG_DEFAULT_PATH },
	{ "check-config", OPTION_CHECK_CONFIG, NULL, 0, "Check the configuration, say what is wrong, and exit" },
	{ "print-config", OPTION_PRINT_CONFIG, NULL, 0, "Print every key with its default, and exit" },
	{ "foreground", 'f', NULL, 0, "Stay in the foreground (emberd always does; for scripts that say so)" },
	{ "store", OPTION_STORE, "DIR", 0, "Keep profiles in DIR, whatever the configuration says" },
	{ "runtime-dir", OPTION_RUNTIME_DIR, "DIR", 0, "Put the control socket in DIR (default: /run/emberd)" },
	{ "symbolizer", OPTION_SYMBOLIZER, "PATH", 0, "Use this ember-symbolizer" },
	{ "export", OPTION_EXPORT, "PATH", 0, "Use this ember-export" },
	{ "private", OPTION_PRIVATE, "FD", 0,
	        "Serve one client on descriptor FD and end with it: no store, no socket" },
	{ "verbose", 'v', NULL, 0, "Say more" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;
	long fd;

	switch (key) {
	case 'c':
		a->manager.config_path = arg;
		a->manager.config_must_exist = true;
		return 0;
	case 'f':
		return 0;
	case 'v':
		log_set_max_level(LOG_DEBUG);
		return 0;
	case OPTION_CHECK_CONFIG:
		a->check_config = true;
		return 0;
	case OPTION_PRINT_CONFIG:
		a->print_config = true;
		return 0;
	case OPTION_STORE:
		a->manager.store_path = arg;
		return 0;
	case OPTION_RUNTIME_DIR:
		a->manager.runtime_path = arg;
		return 0;
	case OPTION_SYMBOLIZER:
		a->manager.symbolizer_path = arg;
		return 0;
	case OPTION_EXPORT:
		a->manager.export_path = arg;
		return 0;
	case OPTION_PRIVATE:
		fd = strtol(arg, &end, 10);
		if (*end || end == arg || fd < 3 || fd > INT_MAX || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
			argp_error(state, "--private takes an open descriptor, not '%s'", arg);
		a->manager.is_private = true;
		a->manager.control_fd = (int)fd;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "takes no argument: '%s'", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool is_source(const char *name)
{
	return source_find(name) != NULL;
}

static int check_config(const struct arguments *a)
{
	const struct config_options config_options = { .is_source = is_source };
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *error = NULL;
	int r = config_load(a->manager.config_path, a->manager.config_must_exist, &config_options, &c, &error);

	if (r < 0)
		return log_err(error ? 0 : r, "%s", error ? error : "cannot read the configuration"), r;
	printf("%s: good\n", a->manager.config_path);
	return 0;
}

/* The executable that belongs to this one: in the build tree beside our folder, else where it is installed. */
static char *find_sibling(const char *folder, const char *name)
{
	char self[PATH_MAX], path[PATH_MAX + 128], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash) {
			*slash = '\0';
			(void)snprintf(path, sizeof(path), "%s/../%s/%s", self, folder, name);
			if (access(path, X_OK) == 0)
				return strdup(path);
		}
	}
	(void)snprintf(path, sizeof(path), "%s/%s", EMBER_LIBEXECDIR, name);
	return strdup(path);
}

/* systemd's $RUNTIME_DIRECTORY may name several; ours is one. */
static const char *default_runtime_path(void)
{
	const char *d = getenv("RUNTIME_DIRECTORY");

	return d && *d == '/' && !strchr(d, ':') ? d : "/run/emberd";
}

/* libbpf's own words, hundreds of lines where a program is refused, are for who asks for them. */
static int print_libbpf(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	return log_max_level() >= LOG_DEBUG ? vfprintf(stderr, format, ap) : 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse, NULL,
		"Profiles this host all the time, within a budget; `emberctl` shows what it finds.\v"
		"SIGHUP reads the configuration again, SIGTERM writes the last window and ends." };
	struct arguments a = { .manager = { .config_path = CONFIG_DEFAULT_PATH, .control_fd = -1 } };
	_cleanup_free_ char *symbolizer = find_sibling("symbolizer", "ember-symbolizer");
	_cleanup_free_ char *export = find_sibling("export", "ember-export");
	_cleanup_(manager_freep) struct manager *m = NULL;

	argp_program_version = "emberd " EMBER_VERSION;
	log_set_prefix("emberd: ");
	if (argc > 1 && strcmp(argv[1], STOREKEEPER_ARGUMENT) == 0)
		return storekeeper_main(argc - 1, argv + 1);
	a.manager.runtime_path = default_runtime_path();
	a.manager.symbolizer_path = symbolizer;
	a.manager.export_path = export;
	argp_err_exit_status = 2;
	if (argp_parse(&argp, argc, argv, 0, NULL, &a) != 0)
		return 2;
	if (a.print_config) {
		config_print_defaults(stdout);
		return 0;
	}
	if (a.check_config)
		return check_config(&a) < 0;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)libbpf_set_print(print_libbpf);
	if (manager_new(&a.manager, &m) < 0)
		return 1;
	return manager_run(m) < 0;
}
