#include "store/spool.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/fd.h"

#define SEQUENCE_DIGITS 16 /* hex, so names sort as numbers do */

struct item {
	uint64_t sequence, size_bytes, time_ns;
	char *file; /* name in the directory: SEQUENCE-NAME */
};

struct spool {
	int fd;
	uint64_t bytes_max, bytes, next;
	struct item *items; /* oldest first; the live ones are first..first + n */
	size_t first, n, room;
};

static int item_compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static int append_item(struct spool *s, const struct item *item)
{
	if (s->n >= SPOOL_ENTRIES_MAX)
		return -ENOSPC;
	if (s->first && s->first + s->n == s->room) {
		memmove(s->items, s->items + s->first, s->n * sizeof(*s->items));
		s->first = 0;
	}
	if (s->n == s->room) {
		size_t room = MAX(s->room * 2, (size_t)64);
		struct item *bigger = reallocarray(s->items, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->items = bigger;
		s->room = room;
	}
	s->items[s->first + s->n++] = *item;
	s->bytes += item->size_bytes;
	return 0;
}

static void forget_item(struct spool *s, size_t i)
{
	struct item *item = s->items + s->first + i;

	s->bytes -= MIN(s->bytes, item->size_bytes);
	free(item->file);
	if (i == 0)
		s->first++;
	else
		memmove(item, item + 1, (s->n - i - 1) * sizeof(*item));
	s->n--;
	if (s->n == 0)
		s->first = 0;
}

/* The number at the start of an entry's name; false for any other file. */
static int parse_sequence(const char *file, uint64_t *ret)
{
	uint64_t v = 0;

	for (int i = 0; i < SEQUENCE_DIGITS; i++) {
		char c = file[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return 0;
	}
	if (file[SEQUENCE_DIGITS] != '-' || !file[SEQUENCE_DIGITS + 1])
		return 0;
	*ret = v;
	return 1;
}

static int stat_item(int fd, const char *file, struct item *item)
{
	struct stat st;

	if (fstatat(fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	item->size_bytes = (uint64_t)st.st_size;
	item->time_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)st.st_mtim.tv_nsec;
	return 0;
}

static int scan(struct spool *s)
{
	_cleanup_close_ int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	fd = -1;
	while ((e = readdir(dir))) {
		struct item item;
		int r;

		if (!parse_sequence(e->d_name, &item.sequence))
			continue;
		s->next = MAX(s->next, item.sequence + 1);
		if (stat_item(s->fd, e->d_name, &item) < 0)
			continue;
		item.file = strdup(e->d_name);
		if (!item.file)
			return -ENOMEM;
		r = append_item(s, &item);
		if (r < 0) {
			free(item.file);
			return r;
		}
	}
	if (s->n)
		qsort(s->items, s->n, sizeof(*s->items), item_compare);
	return 0;
}

int spool_open(int dirfd, const char *name, uint64_t bytes_max, struct spool **ret)
{
	_cleanup_(spool_freep) struct spool *s = NULL;
	int r;

	assert(name);
	assert(ret);

	r = dir_make(dirfd, name, 0700);
	if (r < 0)
		return r;
	s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct spool){ .fd = -1, .bytes_max = bytes_max, .next = 1 };
	s->fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd < 0)
		return -errno;
	r = scan(s);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

struct spool *spool_free(struct spool *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++)
		free(s->items[s->first + i].file);
	free(s->items);
	(void)close_fd(s->fd);
	free(s);
	return NULL;
}

static int remove_at(struct spool *s, size_t i)
{
	if (unlinkat(s->fd, s->items[s->first + i].file, 0) < 0 && errno != ENOENT)
		return -errno;
	forget_item(s, i);
	return 0;
}

static int make_room(struct spool *s, uint64_t size, unsigned *dropped)
{
	while (s->n && (s->bytes + size > s->bytes_max || s->n >= SPOOL_ENTRIES_MAX)) {
		int r = remove_at(s, 0);

		if (r < 0)
			return r;
		(*dropped)++;
	}
	return 0;
}

static int link_entry(struct spool *s, int dirfd, const char *path, const char *file, unsigned *dropped)
{
	if (linkat(dirfd, path, s->fd, file, 0) == 0)
		return 0;
	if (errno != ENOSPC && errno != EDQUOT)
		return -errno;
	if (s->n == 0)
		return -ENOSPC;
	if (remove_at(s, 0) < 0)
		return -ENOSPC;
	(*dropped)++;
	return linkat(dirfd, path, s->fd, file, 0) < 0 ? -errno : 0;
}

static int put(struct spool *s, int dirfd, const char *path, const char *name, unsigned *dropped)
{
	_cleanup_free_ char *file = NULL;
	struct item item = { .sequence = s->next };
	int r;

	r = stat_item(dirfd, path, &item);
	if (r < 0)
		return r;
	if (item.size_bytes > s->bytes_max)
		return -E2BIG;
	if (asprintf(&file, "%016" PRIx64 "-%s", s->next, name) < 0) {
		file = NULL;
		return -ENOMEM;
	}
	r = make_room(s, item.size_bytes, dropped);
	if (r < 0)
		return r;
	r = link_entry(s, dirfd, path, file, dropped);
	if (r < 0)
		return r;
	s->next++;
	item.file = file;
	r = append_item(s, &item);
	if (r < 0) {
		(void)unlinkat(s->fd, file, 0);
		return r;
	}
	file = NULL;
	return fsync(s->fd) < 0 ? -errno : 0;
}

int spool_put(struct spool *s, int dirfd, const char *path, const char *name, unsigned *ret_dropped)
{
	unsigned dropped = 0;
	int r;

	assert(s);
	assert(path);
	assert(name);

	if (!*name || strchr(name, '/') || strlen(name) > SPOOL_NAME_MAX)
		r = -EINVAL;
	else
		r = put(s, dirfd, path, name, &dropped);
	if (ret_dropped)
		*ret_dropped = dropped;
	return r;
}

int spool_get(const struct spool *s, size_t i, struct spool_entry *ret)
{
	const struct item *item;

	if (i >= s->n)
		return -ENOENT;
	item = s->items + s->first + i;
	*ret = (struct spool_entry){
		.sequence = item->sequence,
		.size_bytes = item->size_bytes,
		.time_ns = item->time_ns,
		.name = item->file + SEQUENCE_DIGITS + 1,
	};
	return 0;
}

/* Entries are asked for and removed near the front: a walk is as good as a search. */
static int find(const struct spool *s, uint64_t sequence, size_t *ret)
{
	for (size_t i = 0; i < s->n && s->items[s->first + i].sequence <= sequence; i++)
		if (s->items[s->first + i].sequence == sequence) {
			*ret = i;
			return 0;
		}
	return -ENOENT;
}

int spool_open_entry(const struct spool *s, uint64_t sequence, int *ret_fd)
{
	size_t i;
	int fd, r;

	r = find(s, sequence, &i);
	if (r < 0)
		return r;
	fd = openat(s->fd, s->items[s->first + i].file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int spool_remove(struct spool *s, uint64_t sequence)
{
	size_t i;
	int r;

	r = find(s, sequence, &i);
	if (r < 0)
		return r;
	return remove_at(s, i);
}

size_t spool_count(const struct spool *s)
{
	return s->n;
}

uint64_t spool_bytes(const struct spool *s)
{
	return s->bytes;
}

void spool_set_bytes_max(struct spool *s, uint64_t bytes_max)
{
	s->bytes_max = bytes_max;
}

int spool_dirfd(const struct spool *s)
{
	return s->fd;
}
