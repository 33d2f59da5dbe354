#include "store/corrupt.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

bool corrupt_is(int r)
{
	return r == -EBADMSG || r == -E2BIG;
}

void corrupt_note(struct corrupt *list, const char *path)
{
	if (list->n < CORRUPT_NAMED_MAX)
		(void)snprintf(list->named[list->n], STORE_PATH_MAX, "%s", path);
	list->n++;
}

int corrupt_set_aside(struct store *s, const char *path, struct corrupt *list)
{
	const char *filename = strrchr(path, '/');
	char to[STORE_PATH_MAX];
	struct index *x;
	int r;

	if (s->is_read_only || !store_name_path_is_valid(path))
		return -EROFS;
	if (mkdirat(s->dir_fd, STORE_CORRUPT_DIRECTORY, 0750) < 0 && errno != EEXIST)
		return -errno;
	for (unsigned i = 1; i < 1000; i++) {
		(void)snprintf(to, sizeof(to), STORE_CORRUPT_DIRECTORY "/%.*s-%s", (int)strcspn(path, "/"), path,
		        filename + 1);
		if (i > 1)
			(void)snprintf(to + strlen(to), sizeof(to) - strlen(to), ".%u", i);
		r = renameat2(s->dir_fd, path, s->dir_fd, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
		if (r != -EEXIST)
			break;
	}
	if (r < 0)
		return r;
	if (store_index(s, true, &x) == 0)
		(void)index_remove(x, path);
	corrupt_note(list, to);
	return 0;
}

struct file {
	char name[STORE_NAME_MAX];
	int64_t mtime_s;
	uint64_t bytes;
};

static int by_age(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return x->mtime_s < y->mtime_s ? -1 : x->mtime_s > y->mtime_s;
}

static size_t list_files(DIR *d, struct file *list, uint64_t *bytes)
{
	struct dirent *e;
	size_t n = 0;

	while (n < CORRUPT_FILES_MAX && (e = readdir(d))) {
		struct stat st;

		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
		        strlen(e->d_name) >= sizeof(list[n].name))
			continue;
		(void)snprintf(list[n].name, sizeof(list[n].name), "%.*s", STORE_NAME_MAX - 1, e->d_name);
		list[n].mtime_s = (int64_t)st.st_mtime;
		list[n].bytes = (uint64_t)st.st_size;
		*bytes += list[n++].bytes;
	}
	return n;
}

int corrupt_trim(struct store *s, uint64_t *ret_bytes, uint64_t *ret_removed)
{
	_cleanup_free_ struct file *list = malloc(CORRUPT_FILES_MAX * sizeof(*list));
	_cleanup_closedir_ DIR *d = NULL;
	uint64_t bytes = 0, removed = 0;
	size_t n, left;
	int fd = openat(s->dir_fd, STORE_CORRUPT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		*ret_bytes = *ret_removed = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	d = fdopendir(fd);
	if (!d || !list) {
		if (!d)
			(void)close_fd(fd);
		return -ENOMEM;
	}
	n = left = list_files(d, list, &bytes);
	qsort(list, n, sizeof(*list), by_age);
	for (size_t i = 0; i < n; i++) {
		if (bytes <= CORRUPT_BYTES_MAX && (n < CORRUPT_FILES_MAX || left <= n / 2))
			break;
		if (unlinkat(dirfd(d), list[i].name, 0) < 0 && errno != ENOENT)
			return -errno;
		bytes -= list[i].bytes;
		left--;
		removed++;
	}
	*ret_bytes = bytes;
	*ret_removed = removed;
	return 0;
}
