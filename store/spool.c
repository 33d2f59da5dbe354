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

/* SEQUENCE-NAME, or SEQUENCE, the state's letter, PARTS-NAME. */
static const char state_letters[] = { [SPOOL_WAITING] = '.', [SPOOL_REFUSED] = '=', [SPOOL_DENIED] = '@' };

struct item {
	uint64_t sequence, size_bytes, time_ns, parts_done;
	enum spool_state state;
	char *file;       /* in the directory */
	const char *name; /* the end of file */
};

struct spool {
	int fd;
	uint64_t bytes_max, next;
	struct spool_totals totals;
	struct item *items; /* oldest first; the live ones are first..first + n */
	size_t first, room;
};

static int item_compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static void count_aside(struct spool *s, const struct item *item, int sign)
{
	if (item->state == SPOOL_WAITING)
		return;
	s->totals.n_aside += (size_t)sign;
	s->totals.bytes_aside += (uint64_t)sign * item->size_bytes;
}

static void count(struct spool *s, const struct item *item, int sign)
{
	s->totals.n += (size_t)sign;
	s->totals.bytes += (uint64_t)sign * item->size_bytes;
	count_aside(s, item, sign);
}

static int append_item(struct spool *s, const struct item *item)
{
	if (s->totals.n >= SPOOL_ENTRIES_MAX)
		return -ENOSPC;
	if (s->first && s->first + s->totals.n == s->room) {
		memmove(s->items, s->items + s->first, s->totals.n * sizeof(*s->items));
		s->first = 0;
	}
	if (s->totals.n == s->room) {
		size_t room = MAX(s->room * 2, (size_t)64);
		struct item *bigger = reallocarray(s->items, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->items = bigger;
		s->room = room;
	}
	s->items[s->first + s->totals.n] = *item;
	count(s, item, 1);
	return 0;
}

static void forget_item(struct spool *s, size_t i)
{
	struct item *item = s->items + s->first + i;

	count(s, item, -1);
	free(item->file);
	if (i == 0)
		s->first++;
	else
		memmove(item, item + 1, (s->totals.n - i) * sizeof(*item));
	if (s->totals.n == 0)
		s->first = 0;
}

/* A number in hex and where it ends; NULL where there is none. */
static const char *parse_hex(const char *p, int digits_max, uint64_t *ret)
{
	uint64_t v = 0;
	int n = 0;

	for (; n < digits_max; n++, p++) {
		if (*p >= '0' && *p <= '9')
			v = v << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			v = v << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	if (n == 0)
		return NULL;
	*ret = v;
	return p;
}

/* What an entry's file name says; false for any other file. */
static int parse_name(const char *file, struct item *ret)
{
	struct item item = { 0 };
	const char *p = parse_hex(file, SEQUENCE_DIGITS, &item.sequence);
	const char *letter;

	if (!p || p - file != SEQUENCE_DIGITS || !*p)
		return 0;
	letter = memchr(state_letters, *p, sizeof(state_letters));
	if (letter) {
		item.state = (enum spool_state)(letter - state_letters);
		p = parse_hex(p + 1, SEQUENCE_DIGITS, &item.parts_done);
	}
	if (!p || *p != '-' || !p[1])
		return 0;
	item.name = p + 1;
	*ret = item;
	return 1;
}

/* Gives item a file name made of its facts; the old one stays the caller's. */
static int make_file(struct item *item, const char *name)
{
	char parts[24] = "";

	if (item->state != SPOOL_WAITING || item->parts_done)
		(void)snprintf(parts, sizeof(parts), "%c%" PRIx64, state_letters[item->state], item->parts_done);
	if (asprintf(&item->file, "%016" PRIx64 "%s-%s", item->sequence, parts, name) < 0) {
		item->file = NULL;
		return -ENOMEM;
	}
	item->name = item->file + strlen(item->file) - strlen(name);
	return 0;
}

static int stat_item(int fd, const char *file, struct item *item)
{
	struct stat st;

	if (fstatat(fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	item->size_bytes = (uint64_t)st.st_size;
	item->time_ns = clock_timespec_ns(st.st_mtim);
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

		if (!parse_name(e->d_name, &item))
			continue;
		s->next = MAX(s->next, item.sequence + 1);
		if (stat_item(s->fd, e->d_name, &item) < 0)
			continue;
		item.file = strdup(e->d_name);
		if (!item.file)
			return -ENOMEM;
		item.name = item.file + (item.name - e->d_name);
		r = append_item(s, &item);
		if (r < 0) {
			free(item.file);
			return r;
		}
	}
	if (s->totals.n)
		qsort(s->items, s->totals.n, sizeof(*s->items), item_compare);
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
	for (size_t i = 0; i < s->totals.n; i++)
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
	while (s->totals.n && (s->totals.bytes + size > s->bytes_max || s->totals.n >= SPOOL_ENTRIES_MAX)) {
		int r = remove_at(s, 0);

		if (r < 0)
			return r;
		(*dropped)++;
	}
	return 0;
}

static int put(struct spool *s, int dirfd, const char *path, const char *name, unsigned *dropped)
{
	struct item item = { .sequence = s->next };
	_cleanup_free_ char *file = NULL;
	int r;

	r = stat_item(dirfd, path, &item);
	if (r < 0)
		return r;
	if (item.size_bytes > s->bytes_max)
		return -E2BIG;
	r = make_file(&item, name);
	if (r < 0)
		return r;
	file = item.file;
	r = make_room(s, item.size_bytes, dropped);
	if (r < 0)
		return r;
	if (linkat(dirfd, path, s->fd, file, 0) < 0)
		return -errno;
	s->next++;
	r = append_item(s, &item);
	if (r < 0) {
		(void)unlinkat(s->fd, file, 0);
		return r;
	}
	file = NULL;
	if (fsync(s->fd) < 0) { /* it may not last: taken back, so that what is told to have failed is not sent */
		r = -errno;
		(void)remove_at(s, s->totals.n - 1);
		return r;
	}
	return 0;
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

	if (i >= s->totals.n)
		return -ENOENT;
	item = s->items + s->first + i;
	*ret = (struct spool_entry){
		.sequence = item->sequence,
		.size_bytes = item->size_bytes,
		.time_ns = item->time_ns,
		.parts_done = item->parts_done,
		.state = item->state,
		.name = item->name,
	};
	return 0;
}

int spool_next(const struct spool *s, struct spool_entry *ret)
{
	if (s->totals.n == s->totals.n_aside)
		return -ENOENT;
	for (size_t i = 0; i < s->totals.n; i++)
		if (s->items[s->first + i].state == SPOOL_WAITING)
			return spool_get(s, i, ret);
	return -ENOENT;
}

/* Entries are asked for and removed near the front, or behind what is set aside: a walk is as good as a search. */
static int find(const struct spool *s, uint64_t sequence, size_t *ret)
{
	for (size_t i = 0; i < s->totals.n && s->items[s->first + i].sequence <= sequence; i++)
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
	r = remove_at(s, i);
	if (r < 0)
		forget_item(s, i);
	else if (fsync(s->fd) < 0)
		r = -errno;
	return r;
}

static int set_state(struct spool *s, struct item *item, enum spool_state state, uint64_t parts_done)
{
	struct item changed = *item;
	int r;

	if (item->state == state && item->parts_done == parts_done)
		return 0;
	changed.state = state;
	changed.parts_done = parts_done;
	r = make_file(&changed, item->name);
	if (r < 0)
		return r;
	if (renameat(s->fd, item->file, s->fd, changed.file) < 0) {
		r = -errno;
		free(changed.file);
		return r;
	}
	count_aside(s, item, -1);
	count_aside(s, &changed, 1);
	free(item->file);
	*item = changed;
	return 0;
}

int spool_set(struct spool *s, uint64_t sequence, enum spool_state state, uint64_t parts_done)
{
	size_t i;
	int r = find(s, sequence, &i);

	return r < 0 ? r : set_state(s, s->items + s->first + i, state, parts_done);
}

unsigned spool_take_back(struct spool *s, int only_denied)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->totals.n; i++) {
		struct item *item = s->items + s->first + i;

		if (item->state == SPOOL_WAITING || (only_denied && item->state != SPOOL_DENIED))
			continue;
		n += set_state(s, item, SPOOL_WAITING, item->parts_done) == 0;
	}
	return n;
}

void spool_forget_parts(struct spool *s)
{
	for (size_t i = 0; i < s->totals.n; i++)
		(void)set_state(s, s->items + s->first + i, s->items[s->first + i].state, 0);
}

struct spool_totals spool_totals(const struct spool *s)
{
	return s->totals;
}

void spool_set_bytes_max(struct spool *s, uint64_t bytes_max)
{
	s->bytes_max = bytes_max;
}

int spool_dirfd(const struct spool *s)
{
	return s->fd;
}
