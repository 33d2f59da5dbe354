#include "daemon/uploads.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/upload.h"
#include "daemon/usage.h"
#include "store/walk.h"

#define SPOOL_DIRECTORY "spool"
#define MISSED_MAX 4096u /* windows taken up at a start */

struct uploads {
	struct store *store;
	int store_dirfd;
	json_t *common;
	struct upload *items[CONFIG_UPLOADS_MAX];
	size_t n;
};

/* ---- what all destinations say ------------------------------------------------------------------------------------
 */

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		(void)json_object_set_new(o, key, json_string(value));
}

static const char *semantic_arch(const char *machine)
{
	if (strcmp(machine, "x86_64") == 0)
		return "amd64";
	return strcmp(machine, "aarch64") == 0 ? "arm64" : machine;
}

static json_t *common_json(const struct config *config, const char *host)
{
	json_t *resource = json_object(), *services = json_array();
	_cleanup_free_ char *machine_id = NULL;
	struct utsname name;

	for (size_t i = 0; i < config->labels.n; i++) {
		const char *pair = config->labels.items[i], *equals = strchr(pair, '=');
		_cleanup_free_ char *key = strndup(pair, (size_t)(equals - pair));

		if (key)
			set_text(resource, key, equals + 1);
	}
	set_text(resource, "host.name", host);
	set_text(resource, "os.type", "linux");
	if (uname(&name) == 0)
		set_text(resource, "host.arch", semantic_arch(name.machine));
	if (file_read_all(AT_FDCWD, "/etc/machine-id", 128, &machine_id, NULL) >= 0) {
		machine_id[strcspn(machine_id, "\n")] = 0;
		set_text(resource, "host.id", machine_id);
	}
	for (size_t i = 0; i < config->service_names.n; i++)
		(void)json_array_append_new(services, json_string(config->service_names.items[i]));
	return json_pack("{soso}", "resource", resource, "services", services);
}

/* ---- windows that were stored but not queued, by a killed emberd or for want of room
 * -------------------------------------------------------
 */

struct missed {
	char *path;
	uint64_t time_ns;
	int64_t start_s;
	uint32_t serial;
};

struct search {
	uint64_t since_ns;
	struct missed *items;
	size_t n;
};

static int take_missed(void *data, const struct walk_entry *e)
{
	struct search *s = data;
	struct missed *bigger;
	struct stat st;
	uint64_t time_ns;

	if (e->kind != WALK_FILE || e->name.level != STORE_WINDOW || s->n >= MISSED_MAX ||
	        fstatat(e->dir_fd, e->filename, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	time_ns = clock_timespec_ns(st.st_mtim);
	if (time_ns < s->since_ns)
		return 0;
	bigger = reallocarray(s->items, s->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	s->items = bigger;
	bigger[s->n] = (struct missed){ strdup(e->path), time_ns, e->name.start_s, e->name.serial };
	if (!bigger[s->n].path)
		return -ENOMEM;
	s->n++;
	return 0;
}

/* As their names say: a clock that was set back between two windows, or a file that somebody touched, leaves the order
 * of what they measured alone. Of windows that begin together, the one written first. */
static int by_name(const void *a, const void *b)
{
	const struct missed *x = a, *y = b;

	if (x->start_s != y->start_s)
		return x->start_s < y->start_s ? -1 : 1;
	if (x->serial != y->serial)
		return x->serial < y->serial ? -1 : 1;
	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return strcmp(x->path, y->path);
}

static void recover(struct uploads *u)
{
	uint64_t now = clock_now_ns(CLOCK_REALTIME);
	struct search s = { .since_ns = now };
	struct walk_where where = { .has_range = true };

	for (size_t i = 0; i < u->n; i++)
		if (upload_put_until_ns(u->items[i]))
			s.since_ns = MIN(s.since_ns, upload_put_until_ns(u->items[i]));
	if (s.since_ns == now)
		return;
	where.from_s = (int64_t)(s.since_ns / NS_PER_SEC) - 86400;
	where.to_s = (int64_t)(now / NS_PER_SEC) + 86400;
	if (walk(u->store, &where, take_missed, &s) < 0)
		(void)log_warning(0, "uploads: cannot look for windows that were not queued yet");
	if (s.n)
		qsort(s.items, s.n, sizeof(*s.items), by_name);
	for (size_t k = 0; k < s.n; k++)
		for (size_t i = 0; i < u->n; i++) {
			uint64_t until = upload_put_until_ns(u->items[i]);

			if (until && s.items[k].time_ns >= until)
				upload_put(u->items[i], u->store_dirfd, s.items[k].path, s.items[k].time_ns);
		}
	for (size_t k = 0; k < s.n; k++)
		free(s.items[k].path);
	free(s.items);
}

/* ---- outside ------------------------------------------------------------------------------------------------------
 */

static void open_uploads(
        struct uploads *u, sd_event *event, const char *executable, int spool_dirfd, const struct config *config)
{
	for (size_t i = 0; i < config->n_uploads; i++) {
		const struct upload_options options = {
			.executable = executable,
			.spool_dirfd = spool_dirfd,
			.config = config->uploads[i],
			.common = u->common,
		};
		int r = upload_new(event, &options, &u->items[u->n]);

		if (r < 0)
			(void)log_err(r, "upload %s is left out", config->uploads[i]->name);
		else
			u->n++;
	}
}

int uploads_new(sd_event *event, const char *executable, const char *store_path, const char *host,
        const struct config *config, struct store *store, struct uploads **ret)
{
	_cleanup_(uploads_freep) struct uploads *u = calloc(1, sizeof(*u));
	_cleanup_close_ int spool_dirfd = -1;
	int r;

	assert(ret);

	if (!u)
		return -ENOMEM;
	u->store = store;
	u->store_dirfd = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u->store_dirfd < 0)
		return -errno;
	r = dir_make(u->store_dirfd, SPOOL_DIRECTORY, 0700);
	if (r < 0)
		return r;
	spool_dirfd = openat(u->store_dirfd, SPOOL_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool_dirfd < 0)
		return -errno;
	u->common = common_json(config, host);
	if (!u->common)
		return -ENOMEM;
	open_uploads(u, event, executable, spool_dirfd, config);
	recover(u);
	*ret = TAKE_PTR(u);
	return 0;
}

struct uploads *uploads_free(struct uploads *u)
{
	if (!u)
		return NULL;
	for (size_t i = 0; i < u->n; i++)
		(void)upload_free(u->items[i]);
	json_decref(u->common);
	(void)close_fd(u->store_dirfd);
	free(u);
	return NULL;
}

void uploads_put(struct uploads *u, const char *path)
{
	struct stat st;
	uint64_t time_ns;

	bool is_behind = false;

	if (!u || u->n == 0)
		return;
	for (size_t i = 0; i < u->n; i++)
		is_behind = upload_catch_up(u->items[i]) || is_behind;
	if (is_behind)
		recover(u);
	time_ns = fstatat(u->store_dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? clock_timespec_ns(st.st_mtim)
	                                                                       : clock_now_ns(CLOCK_REALTIME);
	for (size_t i = 0; i < u->n; i++)
		upload_put(u->items[i], u->store_dirfd, path, time_ns);
}

int uploads_take_back(struct uploads *u, const char *name, unsigned *ret_n)
{
	bool found = !name;
	unsigned n = 0;

	for (size_t i = 0; u && i < u->n; i++)
		if (!name || strcmp(upload_name(u->items[i]), name) == 0) {
			n += upload_take_back(u->items[i]);
			found = true;
		}
	if (!found)
		return -ENOENT;
	*ret_n = n;
	return 0;
}

json_t *uploads_status(const struct uploads *u)
{
	json_t *array = json_array();

	for (size_t i = 0; u && i < u->n; i++)
		(void)json_array_append_new(array, upload_status(u->items[i]));
	return array;
}

uint64_t uploads_children_cpu_ns(const struct uploads *u)
{
	uint64_t ns = 0;

	for (size_t i = 0; u && i < u->n; i++)
		ns += upload_child_cpu_ns(u->items[i]);
	return ns;
}

uint64_t uploads_children_rss_bytes(const struct uploads *u)
{
	uint64_t bytes = 0;

	for (size_t i = 0; u && i < u->n; i++) {
		struct usage usage = { 0 };

		if (upload_child(u->items[i]) && usage_of(upload_child(u->items[i]), &usage) >= 0)
			bytes += usage.rss_bytes;
	}
	return bytes;
}
