#include "store/write.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "profile/compress.h"
#include "profile/pprof.h"

#define FILE_MODE 0640
#define DIRECTORY_MODE 0750
#define SERIAL_MAX 100000u
#define TEMPORARY_TRIES 100

int write_encode(const struct profile *p, const struct trailer *t, int level, uint64_t raw_max, struct buffer *out,
        uint64_t *ret_raw_bytes)
{
	_cleanup_buffer_ struct buffer raw = BUFFER(raw_max);
	struct trailer told = *t; /* borrows what t owns */
	int r;

	r = pprof_write(p, &raw);
	if (r < 0)
		return r;
	r = compress_bytes(COMPRESSION_ZSTD, level, raw.data, raw.size, out);
	if (r < 0)
		return r;
	told.n_samples = profile_n_samples(p);
	told.raw_bytes = raw.size;
	r = trailer_write(&told, out);
	if (r < 0)
		return r;
	*ret_raw_bytes = raw.size;
	return 0;
}

/* A new directory is synced into its parent: a file in it must not be lost with it. */
static int make_directory(int dir_fd, const char *name)
{
	if (mkdirat(dir_fd, name, DIRECTORY_MODE) == 0)
		return fsync(dir_fd) < 0 ? -errno : 0;
	return errno == EEXIST ? 0 : -errno;
}

static int open_directory(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static int make_path(struct store *s, const char *type, const char *date)
{
	_cleanup_close_ int type_fd = -1;
	int r;

	r = make_directory(s->dir_fd, type);
	if (r < 0)
		return r;
	type_fd = open_directory(s->dir_fd, type);
	if (type_fd < 0)
		return type_fd;
	r = make_directory(type_fd, date);
	if (r < 0)
		return r;
	return open_directory(type_fd, date);
}

/* 1: the keeper has taken it for one that a kill left, in the instant before it was locked. */
static int create_one_temporary(struct write_file *w)
{
	uint64_t nonce;
	struct stat st;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return -errno;
	(void)snprintf(w->temporary, sizeof(w->temporary), STORE_TEMPORARY_PREFIX "%016llx", (unsigned long long)nonce);
	w->fd = close_fd(w->fd);
	w->fd = openat(w->dir_fd, w->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (w->fd < 0) {
		int r = -errno;

		w->temporary[0] = 0;
		return r;
	}
	if (flock(w->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 1 : -errno;
	if (fstat(w->fd, &st) < 0)
		return -errno;
	return st.st_nlink == 0;
}

static int create_temporary(struct write_file *w)
{
	int r = 1;

	for (int i = 0; i < TEMPORARY_TRIES && r == 1; i++)
		r = create_one_temporary(w);
	return r == 1 ? -EBUSY : r;
}

int write_prepare(struct store *s, const char *type, const struct store_name *name, const struct buffer *data,
        struct write_file *ret)
{
	_cleanup_write_ struct write_file w = WRITE_FILE_INIT;
	char path[STORE_PATH_MAX], *date, *filename;
	int r = -ENOENT;

	store_name_format(name, type, path);
	date = strchr(path, '/') + 1;
	filename = strchr(date, '/');
	*filename = 0;
	/* The keeper may remove an empty directory just now. */
	for (int i = 0; i < 10 && r == -ENOENT; i++) {
		w.dir_fd = close_fd(w.dir_fd);
		w.dir_fd = make_path(s, type, date);
		r = w.dir_fd < 0 ? w.dir_fd : create_temporary(&w);
	}
	if (r < 0)
		return r;
	r = fd_write_full(w.fd, data->data, data->size);
	if (r < 0)
		return r;
	if (fsync(w.fd) < 0)
		return -errno;
	*ret = w;
	w = WRITE_FILE_INIT;
	return 0;
}

/* Like rename, but never over a file that is there. Not every file system has RENAME_NOREPLACE. */
static int rename_new(int dir_fd, const char *from, const char *to)
{
	if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(dir_fd, from, dir_fd, to, 0) < 0)
		return -errno;
	return unlinkat(dir_fd, from, 0) < 0 ? -errno : 0;
}

int write_commit(struct write_file *w, const char *type, struct store_name *name)
{
	int r;

	name->serial = MAX(name->serial, 1u);
	do {
		store_name_format(name, type, w->path);
		r = rename_new(w->dir_fd, w->temporary, strrchr(w->path, '/') + 1);
	} while (r == -EEXIST && ++name->serial < SERIAL_MAX);
	if (r < 0)
		return r;
	w->temporary[0] = 0;
	return fsync(w->dir_fd) < 0 ? -errno : 0;
}

void write_done(struct write_file *w)
{
	if (w->temporary[0])
		(void)unlinkat(w->dir_fd, w->temporary, 0);
	w->fd = close_fd(w->fd);
	w->dir_fd = close_fd(w->dir_fd);
	*w = WRITE_FILE_INIT;
}

int write_remove_stale(int dir_fd, const char *filename)
{
	_cleanup_close_ int fd = openat(dir_fd, filename, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno;
	if (unlinkat(dir_fd, filename, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 1;
}
