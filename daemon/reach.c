#include "daemon/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include "base/cleanup.h"
#include "base/clock.h"

/* But for the inode's number. */
static bool is_alike(const struct file_key *key, const struct stat *st)
{
	uint64_t mtime_ns = clock_timespec_ns(st->st_mtim);

	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == key->size_bytes && mtime_ns == key->mtime_ns;
}

bool reach_is_same(const struct file_key *key, const struct stat *st)
{
	/* not the device: overlay and btrfs show another one to stat than the kernel keeps */
	return is_alike(key, st) && st->st_ino == key->inode;
}

/* overlayfs tells stat a number that may be neither its own inode's nor that of the layer's file, which is what the
 * kernel maps: there size and time of modification, to the nanosecond, must do. */
static bool is_same_on_overlay(const struct file_key *key, const struct stat *st, int fd)
{
	struct statfs fs;

	return is_alike(key, st) && fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

int reach_regular(const char *path, struct stat *ret)
{
	_cleanup_close_ int looking = open(path, O_PATH | O_CLOEXEC);
	char link[64];
	int fd;

	if (looking < 0)
		return -errno;
	if (fstat(looking, ret) < 0)
		return -errno;
	if (!S_ISREG(ret->st_mode))
		return -ESTALE;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", looking);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static int open_same(const struct reach *r, const char *name)
{
	_cleanup_close_ int fd = -1;
	struct stat st = { 0 };
	bool is_same;

	fd = reach_regular(name, &st);
	if (fd < 0)
		return fd;
	is_same = r->has_inode_only ? st.st_ino == r->key.inode
	                            : reach_is_same(&r->key, &st) || is_same_on_overlay(&r->key, &st, fd);
	return is_same ? TAKE_FD(fd) : -ESTALE;
}

/* Keeps the more telling of two failures. */
static int worse(int a, int b)
{
	return a == -ESTALE || b == -ESTALE ? -ESTALE : -ENOENT;
}

int reach_open(const struct reach *r)
{
	char name[PATH_MAX + 64];
	int fd = -ENOENT, failed = -ENOENT;

	if (r->pid > 0 && r->end > r->start) {
		(void)snprintf(name, sizeof(name), "/proc/%d/map_files/%llx-%llx", r->pid, (unsigned long long)r->start,
		        (unsigned long long)r->end);
		fd = open_same(r, name);
		if (fd >= 0)
			return fd;
		failed = worse(failed, fd);
	}
	if (r->pid > 0 && r->is_exe) {
		(void)snprintf(name, sizeof(name), "/proc/%d/exe", r->pid);
		fd = open_same(r, name);
		if (fd >= 0)
			return fd;
		failed = worse(failed, fd);
	}
	if (r->pid > 0 && r->path[0] == '/') {
		(void)snprintf(name, sizeof(name), "/proc/%d/root%s", r->pid, r->path);
		fd = open_same(r, name);
		if (fd >= 0)
			return fd;
		failed = worse(failed, fd);
	}
	if (r->path[0] == '/' && !r->has_inode_only) { /* an inode alone is too little in another root */
		fd = open_same(r, r->path);
		if (fd >= 0)
			return fd;
		failed = worse(failed, fd);
	}
	return failed;
}

bool reach_by_path(const struct reach *r)
{
	struct stat st;

	return r->path[0] == '/' && stat(r->path, &st) == 0 && reach_is_same(&r->key, &st);
}

int reach_path(const char *names, size_t size, char *path, size_t room)
{
	size_t at = 0, end = size;

	if (size > 0 && names[size - 1] != '\0')
		return -EBADMSG;
	while (end > 0) {
		size_t start = end - 1, n;

		while (start > 0 && names[start - 1] != '\0')
			start--;
		n = end - 1 - start;
		if (at + n + 2 > room)
			return -EBADMSG;
		path[at++] = '/';
		for (size_t i = 0; i < n; i++) {
			unsigned char c = (unsigned char)names[start + i];

			path[at++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
		}
		end = start;
	}
	path[at] = '\0';
	return (int)at;
}
