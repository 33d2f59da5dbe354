/* emberd's uploads without its sampling: for the tests that simulate a day of windows. Reads lines: "put PATH" (below
 * the store), "status" (answers with one line of JSON), "refused NAME", "reload"; ends with its input, as emberd ends
 * with SIGTERM. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "daemon/uploads.h"

struct driver {
	sd_event *event;
	struct config *config;
	struct store *store;
	struct uploads *uploads;
	char **argv;
	char line[8192];
	size_t n;
};

static int open_uploads(struct driver *d)
{
	_cleanup_free_ char *error = NULL;
	int r = config_load(d->argv[3], true, &(struct config_options){ 0 }, &d->config, &error);

	if (r < 0)
		return log_err(r, "%s", error ? error : "cannot read the configuration");
	r = uploads_new(d->event, d->argv[1], d->argv[2], "box", d->config, d->store, &d->uploads);
	return r < 0 ? log_err(r, "cannot upload") : 0;
}

static void do_line(struct driver *d, char *line)
{
	if (strncmp(line, "put ", 4) == 0) {
		uploads_put(d->uploads, line + 4);
	} else if (strncmp(line, "refused ", 8) == 0) {
		unsigned n = 0;

		(void)uploads_take_back(d->uploads, line + 8, &n);
	} else if (strcmp(line, "reload") == 0) {
		d->uploads = uploads_free(d->uploads);
		d->config = config_free(d->config);
		(void)open_uploads(d);
	} else if (strcmp(line, "status") == 0) {
		json_t *status = uploads_status(d->uploads);

		(void)json_dumpf(status, stdout, JSON_COMPACT);
		json_decref(status);
		puts("");
		(void)fflush(stdout);
	}
}

static int on_input(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
	struct driver *d = userdata;
	ssize_t k = read(fd, d->line + d->n, sizeof(d->line) - 1 - d->n);
	char *end;

	(void)s;
	(void)events;
	if (k <= 0)
		return sd_event_exit(d->event, 0);
	d->n += (size_t)k;
	d->line[d->n] = 0;
	while ((end = strchr(d->line, '\n'))) {
		*end = 0;
		do_line(d, d->line);
		d->n -= (size_t)(end + 1 - d->line);
		memmove(d->line, end + 1, d->n + 1);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct driver d = { .argv = argv };
	struct store_options options;
	int r;

	if (argc != 4) {
		fputs("usage: upload_driver EMBER-EXPORT STORE CONFIG\n", stderr);
		return 2;
	}
	options = (struct store_options){ .path = argv[2], .host = "box" };
	r = sd_event_new(&d.event);
	if (r >= 0)
		r = store_open(&options, &d.store);
	if (r >= 0)
		r = open_uploads(&d);
	if (r >= 0)
		r = sd_event_add_io(d.event, NULL, 0, EPOLLIN, on_input, &d);
	if (r >= 0)
		r = sd_event_loop(d.event);
	(void)uploads_free(d.uploads);
	(void)store_close(d.store);
	(void)config_free(d.config);
	sd_event_unref(d.event);
	return r < 0 ? 1 : 0;
}
