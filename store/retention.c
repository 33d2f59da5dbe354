#include "store/retention.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buffer.h"
#include "store/age.h"
#include "store/corrupt.h"
#include "store/handle.h"
#include "store/index.h"

#define PAGE 256

struct retention {
	struct store *store;
	struct index *index;
	const struct retention_options *options;
	struct retention_result *result;
	int64_t now_ns;
	uint64_t bytes;       /* there now */
	uint64_t wanted_free; /* bytes more than are free */
};

struct row {
	char path[STORE_PATH_MAX];
	int64_t start_ns, end_ns, added_ns;
	uint64_t bytes;
};

struct page {
	struct row rows[PAGE];
	size_t n;
};

static int on_row(void *data, const struct index_row *row)
{
	struct page *p = data;
	struct row *to = &p->rows[p->n++];

	to->start_ns = row->start_ns;
	to->end_ns = row->end_ns;
	to->added_ns = row->added_ns;
	to->bytes = row->bytes;
	(void)snprintf(to->path, sizeof(to->path), "%s", row->path);
	return p->n == PAGE;
}

/* Which count the file goes to; NULL: it stays, and so does all that is younger. */
static uint64_t *reason(const struct retention *t, const struct row *row)
{
	const struct retention_options *o = t->options;
	int64_t age_ns = t->now_ns - row->added_ns;

	if (o->age_ns && age_ns > 0 && (uint64_t)age_ns > o->age_ns)
		return &t->result->n_old;
	if (o->max_bytes && t->bytes > o->max_bytes)
		return &t->result->n_over;
	if (t->wanted_free && age_ns > RETENTION_FREE_KEEPS_NS)
		return &t->result->n_full;
	return NULL;
}

static int unlink_rows(struct retention *t, const struct page *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (unlinkat(t->store->dir_fd, p->rows[i].path, 0) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}

static void count(struct retention *t, const struct row *row, uint64_t *n)
{
	struct retention_result *result = t->result;

	result->first_ns = result->bytes ? MIN(result->first_ns, row->start_ns) : row->start_ns;
	result->last_ns = result->bytes ? MAX(result->last_ns, row->end_ns) : row->end_ns;
	result->bytes += row->bytes;
	t->bytes -= MIN(t->bytes, row->bytes);
	t->wanted_free -= MIN(t->wanted_free, row->bytes);
	(*n)++;
}

static int remove_from_index(struct retention *t, const struct page *p, size_t n)
{
	int r = index_begin(t->index);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++)
		r = index_remove(t->index, p->rows[i].path);
	return index_end(t->index, r);
}

/* On a disk that is full to the last block the index cannot be changed before something else is gone: then files go
 * first. A kill between leaves rows without files, which readers count as missing until the next reconciliation. */
static int remove_files(struct retention *t, const struct page *p, size_t n)
{
	int r = remove_from_index(t, p, n), unlinked;

	if (r < 0 && r != -ENOSPC)
		return r;
	unlinked = unlink_rows(t, p, n);
	if (unlinked < 0)
		return unlinked;
	if (r == -ENOSPC) {
		(void)syncfs(t->store->dir_fd); /* freed blocks are free for others only when the journal says so */
		r = remove_from_index(t, p, n);
	}
	return r;
}

/* 1: there may be more. */
static int remove_page(struct retention *t, struct page *p)
{
	size_t n = 0;
	int r;

	p->n = 0;
	r = index_each(t->index, &(struct index_where){ .oldest_first = true, .limit = PAGE }, on_row, p);
	if (r < 0)
		return r;
	for (; n < p->n; n++) {
		uint64_t *counter = reason(t, &p->rows[n]);

		if (!counter)
			break;
		count(t, &p->rows[n], counter);
	}
	if (n == 0)
		return 0;
	r = remove_files(t, p, n);
	return r < 0 ? r : n == PAGE;
}

static int remove_rows(struct retention *t)
{
	_cleanup_free_ struct page *p = malloc(sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	do
		r = remove_page(t, p);
	while (r == 1);
	return r;
}

static int measure(struct retention *t)
{
	struct index_sums sums;
	struct statvfs fs;
	struct stat st;
	int r = index_sum(t->index, NULL, &sums);

	if (r < 0)
		return r;
	for (uint32_t level = 0; level < STORE_LEVELS; level++)
		t->bytes += sums.bytes[level];
	if (fstatat(t->store->dir_fd, INDEX_FILE, &st, 0) == 0)
		t->bytes += (uint64_t)st.st_size;
	if (t->options->min_free_disk > 0 && fstatvfs(t->store->dir_fd, &fs) == 0 && fs.f_blocks) {
		double wanted = t->options->min_free_disk * (double)fs.f_blocks - (double)fs.f_bavail;

		if (wanted > 0)
			t->wanted_free = (uint64_t)(wanted * (double)fs.f_frsize);
	}
	return 0;
}

int store_retain(struct store *s, const struct retention_options *options, struct retention_result *ret)
{
	struct retention t = { .store = s, .options = options, .result = ret };
	_cleanup_close_ int lock = -1;
	int r;

	assert(options);
	assert(ret);

	*ret = (struct retention_result){ 0 };
	lock = store_keep(s, false, false, &t.index);
	if (lock < 0)
		return lock;
	(void)age_tick(t.index); /* on a full disk it may fail: then the clock stands, and nothing is too old */
	t.now_ns = age_now(t.index);
	r = corrupt_trim(s, &t.bytes, &ret->n_corrupt);
	if (r >= 0)
		r = measure(&t);
	if (r >= 0)
		r = remove_rows(&t);
	if (r < 0)
		return r;
	ret->bytes_kept = t.bytes;
	ret->is_short_of_disk = t.wanted_free > 0;
	if (ret->n_old + ret->n_over + ret->n_full > 0)
		(void)index_drop_unused_labels(t.index);
	return 0;
}
