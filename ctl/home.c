#include "ctl/home.h"

#include <dirent.h>
#include <ini.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/log.h"
#include "ctl/daemon.h"
#include "store/store.h"

#define CONFIG_PATH "/etc/emberd/emberd.conf"
#define PATIENCE_S 3 /* with an emberd that does not answer */

static int ask_daemon(struct daemon *d, char **ret)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	_cleanup_message_ struct daemon_message m = DAEMON_MESSAGE;
	const char *path;
	uint64_t id;
	int r;

	if (setsockopt(daemon_fd(d), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	r = daemon_send(d, "status", NULL, &id);
	if (r >= 0)
		r = daemon_receive(d, &m);
	if (r < 0)
		return r;
	path = m.kind == DAEMON_RESULT ? json_string_value(json_object_get(m.body, "store")) : NULL;
	if (!path || !*path)
		return -ENOENT;
	*ret = strdup(path);
	return *ret ? 0 : -ENOMEM;
}

static int from_socket(const char *socket_path, char **ret)
{
	_cleanup_(daemon_freep) struct daemon *d = NULL;
	int r = daemon_connect(socket_path, &d);

	return r < 0 ? r : ask_daemon(d, ret);
}

/* The last one counts, as emberd has it. */
static int take_pair(void *userdata, const char *section, const char *name, const char *value)
{
	char **path = userdata;

	if (strcmp(section, "Store") == 0 && strcmp(name, "Path") == 0 && value && *value) {
		free(*path);
		*path = strdup(value);
	}
	return 1;
}

static int is_drop_in(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

static char *from_configuration(void)
{
	struct dirent **names;
	char *path = NULL;
	int n;

	(void)ini_parse(CONFIG_PATH, take_pair, &path);
	n = scandir(CONFIG_PATH ".d", &names, is_drop_in, alphasort);
	for (int i = 0; i < n; i++) {
		char drop_in[sizeof(CONFIG_PATH) + 300];

		(void)snprintf(drop_in, sizeof(drop_in), CONFIG_PATH ".d/%s", names[i]->d_name);
		(void)ini_parse(drop_in, take_pair, &path);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return path ? path : strdup(STORE_DEFAULT_PATH);
}

static int from_name(const char *source, char **ret)
{
	struct stat st;
	int r;

	if (strstr(source, "://"))
		return log_err(0,
		               "%s: emberctl reads stores on this host, not over a network; run it there, or copy the "
		               "store "
		               "here and name its directory",
		               source),
		       -EPROTONOSUPPORT;
	if (stat(source, &st) == 0 && S_ISSOCK(st.st_mode)) {
		r = from_socket(source, ret);
		return r < 0 ? log_err(r, "cannot ask the emberd that listens at %s where its store is", source) : 0;
	}
	*ret = strdup(source);
	return *ret ? 0 : log_err(-ENOMEM, "cannot open %s", source);
}

int home_find(const char *source, char **ret)
{
	if (source)
		return from_name(source, ret);
	if (from_socket(DAEMON_SOCKET, ret) == 0)
		return 0;
	*ret = from_configuration();
	return *ret ? 0 : log_err(-ENOMEM, "cannot find the store");
}
