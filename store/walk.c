#include "store/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"

#define DAY_S 86400

static int open_directory(int dir_fd, const char *name, DIR **ret)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		(void)close_fd(fd);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

/* Gone, or something else than a directory: nothing of ours is in there. */
static bool is_no_directory(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

static bool date_is_in_range(const struct walk_where *w, const char *date)
{
	struct tm tm = { 0 };
	int64_t start;

	if (!w->has_range)
		return true;
	if (sscanf(date, "%d-%d-%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	start = (int64_t)timegm(&tm);
	return start < w->to_s + DAY_S && start + DAY_S > w->from_s - DAY_S;
}

static int walk_date(
        DIR *d, const char *type, const char *date, int (*f)(void *, const struct walk_entry *), void *data)
{
	struct dirent *entry;
	int r;

	while (errno = 0, (entry = readdir(d))) {
		struct walk_entry e = { .dir_fd = dirfd(d), .type = type, .filename = entry->d_name };

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (strncmp(entry->d_name, STORE_TEMPORARY_PREFIX, strlen(STORE_TEMPORARY_PREFIX)) == 0)
			e.kind = WALK_TEMPORARY;
		else if (store_name_parse(entry->d_name, &e.name) < 0)
			e.kind = WALK_STRANGER;
		else
			(void)snprintf(e.path, sizeof(e.path), "%s/%s/%s", type, date, entry->d_name);
		r = f(data, &e);
		if (r != 0)
			return r;
	}
	return errno ? -errno : 0;
}

static int walk_type(int type_fd, const char *type, const struct walk_where *w,
        int (*f)(void *, const struct walk_entry *), void *data)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *entry;
	int r;

	r = open_directory(type_fd, type, &d);
	if (r < 0)
		return is_no_directory(r) ? 0 : r;
	while (errno = 0, (entry = readdir(d))) {
		_cleanup_closedir_ DIR *date = NULL;

		if (!store_name_date_is_valid(entry->d_name) || !date_is_in_range(w, entry->d_name))
			continue;
		if (w->is_cleaning && unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR) == 0)
			continue;
		r = open_directory(dirfd(d), entry->d_name, &date);
		if (r >= 0)
			r = walk_date(date, type, entry->d_name, f, data);
		if (r != 0 && !is_no_directory(r))
			return r;
	}
	return errno ? -errno : 0;
}

int walk(struct store *s, const struct walk_where *w, int (*f)(void *, const struct walk_entry *), void *data)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *entry;
	int r;

	if (w->type) {
		r = store_name_type_is_valid(w->type) ? walk_type(s->dir_fd, w->type, w, f, data) : -EINVAL;
		return r < 0 ? r : 0;
	}
	r = open_directory(s->dir_fd, ".", &d);
	if (r < 0)
		return r;
	while (errno = 0, (entry = readdir(d))) {
		if (!store_name_type_is_valid(entry->d_name))
			continue;
		r = walk_type(s->dir_fd, entry->d_name, w, f, data);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return errno ? -errno : 0;
}

int walk_is_type(int dir_fd, const char *name)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *entry;
	int r;

	if (!store_name_type_is_valid(name))
		return 0;
	r = open_directory(dir_fd, name, &d);
	if (r < 0)
		return is_no_directory(r) ? 0 : r;
	while ((entry = readdir(d)))
		if (store_name_date_is_valid(entry->d_name))
			return 1;
	return 0;
}

int walk_open(struct store *s, const char *path)
{
	_cleanup_close_ int fd = openat(s->dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP ? -EBADMSG : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	return TAKE_FD(fd);
}

int walk_read(struct store *s, const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = walk_open(s, path);

	if (fd < 0)
		return fd;
	return fd_read_all(fd, max, ret, ret_size);
}
