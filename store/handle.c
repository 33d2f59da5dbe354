#include "store/handle.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "store/walk.h"

int store_lock(struct store *s, const char *name, bool wait)
{
	_cleanup_close_ int fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	int r;

	if (fd < 0)
		return -errno;
	do
		r = flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB));
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Whether any type's directory is there: then an index that was just made cannot be complete. */
static int has_types(int dir_fd)
{
	_cleanup_closedir_ DIR *d = NULL;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		(void)close_fd(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d)))
		if (walk_is_type(fd, e->d_name) > 0)
			return 1;
	return 0;
}

static int create_index(struct store *s, struct index **ret)
{
	_cleanup_(index_closep) struct index *x = NULL;
	int r, types = has_types(s->dir_fd);

	if (types < 0)
		return types;
	r = index_open(s->path, INDEX_CREATE, &x);
	if (r < 0)
		return r;
	if (!types) {
		r = index_set_complete(x, true);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(x);
	return 0;
}

static int set_index_aside(struct store *s)
{
	char name[64];

	if (mkdirat(s->dir_fd, STORE_CORRUPT_DIRECTORY, STORE_DIRECTORY_MODE) < 0 && errno != EEXIST)
		return -errno;
	(void)snprintf(name, sizeof(name), STORE_CORRUPT_DIRECTORY "/index-%lld.sqlite",
	        (long long)(clock_now_ns(CLOCK_REALTIME) / NS_PER_MS));
	if (renameat(s->dir_fd, INDEX_FILE, s->dir_fd, name) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(s->dir_fd, INDEX_FILE "-journal", 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Makes a missing index and replaces a broken one; one process at a time, so that nobody sets aside what another has
 * just made. */
static int repair_index(struct store *s, struct index **ret)
{
	_cleanup_close_ int lock = store_lock(s, STORE_LOCK_INDEX, true);
	int r;

	if (lock < 0)
		return lock;
	r = index_open(s->path, 0, ret);
	if (r != -ENOENT && r != -EBADMSG)
		return r;
	if (r == -EBADMSG) {
		r = set_index_aside(s);
		if (r < 0)
			return r;
	}
	return create_index(s, ret);
}

int store_open_index(struct store *s)
{
	bool complete;
	int r;

	s->index = index_close(s->index);
	r = index_open(s->path, s->is_read_only ? INDEX_READ_ONLY : 0, &s->index);
	if ((r == -ENOENT || r == -EBADMSG) && !s->is_read_only)
		r = repair_index(s, &s->index);
	if (r >= 0)
		r = index_is_complete(s->index, &complete);
	s->needs_rebuild = r < 0 || !complete;
	return r;
}

int store_index(struct store *s, bool allow_incomplete, struct index **ret)
{
	bool complete;
	int r;

	if (!s->index || !index_is_current(s->index)) {
		r = store_open_index(s);
		if (r < 0)
			return r;
	}
	r = index_is_complete(s->index, &complete);
	if (r < 0) {
		s->index = index_close(s->index);
		s->needs_rebuild = true;
		return r;
	}
	s->needs_rebuild = !complete;
	if (!complete && !allow_incomplete)
		return -ENODATA;
	*ret = s->index;
	return 0;
}

int store_keep(struct store *s, bool wait, bool allow_incomplete, struct index **ret)
{
	_cleanup_close_ int lock = -1;
	int r;

	if (s->is_read_only)
		return -EROFS;
	lock = store_lock(s, STORE_LOCK_KEEPER, wait);
	if (lock < 0)
		return lock;
	r = store_index(s, allow_incomplete, ret);
	return r < 0 ? r : TAKE_FD(lock);
}
