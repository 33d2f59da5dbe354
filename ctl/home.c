#include "ctl/home.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/log.h"
#include "ctl/daemon.h"
#include "daemon/config.h"
#include "store/store.h"

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

/* A file that emberd would not take either is no reason not to look where stores are by default. */
static char *from_configuration(void)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *error = NULL;
	int r = config_load(CONFIG_DEFAULT_PATH, false, NULL, &c, &error);

	if (r < 0)
		(void)log_warning(error ? 0 : r, "%s; taking the store at %s",
		        error ? error : "cannot read the configuration", STORE_DEFAULT_PATH);
	return strdup(r < 0 ? STORE_DEFAULT_PATH : c->store_path);
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
