#include "daemon/upload_dir.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "store/name.h"

#define SUFFIX ".pb.gz"
#define TEMPORARY ".tmp-"
#define FILES_MAX 100000u

static void temporary_name(const char *name, char ret[UPLOAD_DIR_NAME_MAX + sizeof(TEMPORARY)])
{
	(void)snprintf(ret, UPLOAD_DIR_NAME_MAX + sizeof(TEMPORARY), TEMPORARY "%s", name);
}

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n > k && strcmp(s + n - k, suffix) == 0;
}

int upload_dir_open(int dirfd, const char *entry, char ret_name[UPLOAD_DIR_NAME_MAX], int *ret_fd)
{
	char temporary[UPLOAD_DIR_NAME_MAX + sizeof(TEMPORARY)];
	int n = (int)strlen(entry), fd;

	if (has_suffix(entry, STORE_SUFFIX))
		n -= (int)strlen(STORE_SUFFIX);
	if (snprintf(ret_name, UPLOAD_DIR_NAME_MAX, "%.*s" SUFFIX, n, entry) >= UPLOAD_DIR_NAME_MAX)
		return -ENAMETOOLONG;
	temporary_name(ret_name, temporary);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int upload_dir_commit(int dirfd, const char *name)
{
	char temporary[UPLOAD_DIR_NAME_MAX + sizeof(TEMPORARY)];

	temporary_name(name, temporary);
	if (renameat(dirfd, temporary, dirfd, name) < 0)
		return -errno;
	return fsync(dirfd) < 0 && errno != EINVAL ? -errno : 0;
}

void upload_dir_abort(int dirfd, const char *name)
{
	char temporary[UPLOAD_DIR_NAME_MAX + sizeof(TEMPORARY)];

	temporary_name(name, temporary);
	(void)unlinkat(dirfd, temporary, 0);
}

/* TYPE-START-HOST.pb.gz, with the start as the store writes it. */
static bool name_is_ours(const char *name)
{
	char stored[STORE_NAME_MAX];
	struct store_name parsed;
	const char *dash = strchr(name, '-');

	while (dash && dash - name < STORE_TYPE_MAX) {
		(void)snprintf(stored, sizeof(stored), "%.*s" STORE_SUFFIX, (int)(strlen(dash + 1) - strlen(SUFFIX)),
		        dash + 1);
		if (store_name_parse(stored, &parsed) == 0)
			return true;
		dash = strchr(dash + 1, '-');
	}
	return false;
}

struct file {
	char *name;
	uint64_t time_ns, bytes;
};

static int by_time(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static size_t list_files(int dirfd, struct file **ret)
{
	_cleanup_closedir_ DIR *dir = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	size_t n = 0;

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		(void)close_fd(fd);
		return 0;
	}
	while ((e = readdir(dir)) && n < FILES_MAX) {
		struct file *bigger;
		struct stat st;

		if (!has_suffix(e->d_name, SUFFIX) || !name_is_ours(e->d_name) ||
		        fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		bigger = reallocarray(*ret, n + 1, sizeof(*bigger));
		if (!bigger)
			break;
		*ret = bigger;
		bigger[n] = (struct file){ strdup(e->d_name), clock_timespec_ns(st.st_mtim), (uint64_t)st.st_size };
		if (!bigger[n].name)
			break;
		n++;
	}
	return n;
}

int upload_dir_trim(int dirfd, uint64_t max_age_ns, uint64_t max_bytes)
{
	_cleanup_free_ struct file *files = NULL;
	uint64_t now = clock_now_ns(CLOCK_REALTIME), bytes = 0;
	size_t n = list_files(dirfd, &files);
	int removed = 0;

	for (size_t i = 0; i < n; i++)
		bytes += files[i].bytes;
	if (n)
		qsort(files, n, sizeof(*files), by_time);
	for (size_t i = 0; i < n; i++) {
		bool is_old = files[i].time_ns + max_age_ns < now;

		if ((is_old || bytes > max_bytes) && unlinkat(dirfd, files[i].name, 0) == 0) {
			bytes -= files[i].bytes;
			removed++;
		}
		free(files[i].name);
	}
	return removed;
}
