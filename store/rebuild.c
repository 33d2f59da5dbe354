#include "store/rebuild.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "profile/pprof.h"
#include "store/age.h"
#include "store/corrupt.h"
#include "store/facts.h"
#include "store/handle.h"
#include "store/trailer.h"
#include "store/walk.h"
#include "store/write.h"

/* A batch of rows is one transaction; while it is open, no other process can store a window's row. */
#define BATCH_NS (200 * NS_PER_MS)
#define FILE_BYTES_MAX ((size_t)PPROF_BYTES_MAX)

struct rebuild {
	struct store *store;
	struct index *index;
	const struct store_progress *progress;
	struct rebuild_result *result;
	int64_t now_ns;
	uint32_t level; /* of this pass: days, hours, then windows, so that what a merged file holds is gone before it
	                   is read */
	bool in_batch;
	uint64_t batch_began_ns;
};

static int begin_batch(struct rebuild *b)
{
	int r;

	if (b->in_batch)
		return 0;
	r = index_begin(b->index);
	if (r < 0)
		return r;
	b->in_batch = true;
	b->batch_began_ns = clock_now_ns(CLOCK_MONOTONIC);
	return 0;
}

/* A kill before it loses no more than the reading of one batch. */
static int end_batch(struct rebuild *b, int result)
{
	if (!b->in_batch)
		return result;
	b->in_batch = false;
	return index_end(b->index, result);
}

/* Whether the file's bytes are those that were merged. */
static int is_covered(struct store *s, const struct trailer_covered *c)
{
	_cleanup_free_ char *data = NULL;
	size_t size;
	struct stat st;
	int r;

	if (fstatat(s->dir_fd, c->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if ((uint64_t)st.st_size != c->size)
		return 0;
	r = walk_read(s, c->path, FILE_BYTES_MAX, &data, &size);
	if (r < 0)
		return r == -ENOENT || corrupt_is(r) ? 0 : r;
	return size == c->size && trailer_hash(data, size) == c->hash;
}

int rebuild_remove_covered_rows(struct store *s, struct index *x, const struct trailer *t)
{
	for (size_t i = 0; i < t->n_covered; i++) {
		int r = index_has(x, t->covered[i].path);

		if (r > 0)
			r = is_covered(s, &t->covered[i]);
		if (r > 0)
			r = index_remove(x, t->covered[i].path);
		if (r < 0)
			return r;
	}
	return 0;
}

int rebuild_unlink_covered(struct store *s, const struct trailer *t, uint64_t *n_removed)
{
	for (size_t i = 0; i < t->n_covered; i++) {
		int r = is_covered(s, &t->covered[i]);

		if (r < 0)
			return r;
		if (r == 0)
			continue;
		if (unlinkat(s->dir_fd, t->covered[i].path, 0) < 0 && errno != ENOENT)
			return -errno;
		(*n_removed)++;
	}
	return 0;
}

static int read_facts(const char *data, size_t size, struct facts *ret)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	int r;

	r = profile_new(NULL, &p);
	if (r < 0)
		return r;
	r = pprof_read_into(p,
	        &(struct pprof_read_options){ .flags = PPROF_READ_NO_STACKS, .drop_labels = facts_dropped_labels },
	        data, size, NULL);
	if (r < 0)
		return r;
	return facts_make(p, ret);
}

static int put_row(
        struct rebuild *b, const struct walk_entry *e, const struct facts *f, const struct trailer *t, uint64_t bytes)
{
	struct index_row row = {
		.path = e->path,
		.type = e->type,
		.host = e->name.host,
		.level = e->name.level,
		.start_ns = f->start_ns,
		.end_ns = f->end_ns,
		.added_ns = age_of_found(b->now_ns, f->start_ns),
		.bytes = bytes,
		.raw_bytes = t->raw_bytes ? t->raw_bytes : bytes * 4,
		.n_samples = t->n_samples && t->n_samples < UINT32_MAX ? (uint32_t)t->n_samples : f->n_samples,
		.totals = f->totals,
	};
	int64_t level_ns = store_level_seconds(e->name.level) * (int64_t)NS_PER_SEC;

	/* A name tells the place of a file; a profile that says something else (clocks, copies) is filed by its name.
	 */
	if (row.start_ns / (int64_t)NS_PER_SEC != e->name.start_s) {
		row.end_ns = e->name.start_s * (int64_t)NS_PER_SEC + (row.end_ns - row.start_ns);
		row.start_ns = e->name.start_s * (int64_t)NS_PER_SEC;
	}
	if (level_ns && row.end_ns - row.start_ns > level_ns)
		row.end_ns = row.start_ns + level_ns;
	return index_put(b->index, &row, f->labels);
}

/* A writer holds the lock of its file until it has put the row as well: what is locked is none of our business. */
static int is_being_put(struct store *s, const char *path)
{
	_cleanup_close_ int fd = walk_open(s, path);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? 1 : -errno;
}

static int read_trailer(struct store *s, const char *path, struct trailer *ret)
{
	_cleanup_close_ int fd = walk_open(s, path);
	int r;

	if (fd < 0)
		return fd;
	r = trailer_read(fd, ret);
	return r == -ENODATA ? 0 : r;
}

static int add_file(struct rebuild *b, const struct walk_entry *e)
{
	_cleanup_trailer_ struct trailer t = TRAILER_INIT;
	_cleanup_facts_ struct facts f = { 0 };
	_cleanup_free_ char *data = NULL;
	size_t size;
	int r;

	r = is_being_put(b->store, e->path);
	if (r > 0)
		return 0;
	if (r >= 0)
		r = walk_read(b->store, e->path, FILE_BYTES_MAX, &data, &size);
	if (r >= 0)
		r = read_trailer(b->store, e->path, &t);
	if (r >= 0)
		r = read_facts(data, size, &f);
	if (r == -ENOENT)
		return 0;
	if (corrupt_is(r))
		return corrupt_set_aside(b->store, e->path, &b->result->corrupt);
	if (r < 0)
		return r;
	r = begin_batch(b);
	if (r >= 0)
		r = put_row(b, e, &f, &t, size);
	if (r >= 0)
		r = rebuild_remove_covered_rows(b->store, b->index, &t);
	if (r < 0)
		return r;
	b->result->n_added++;
	/* The merged row must be there for good before what it holds goes away. */
	if (t.n_covered || clock_now_ns(CLOCK_MONOTONIC) - b->batch_began_ns >= BATCH_NS) {
		r = end_batch(b, 0);
		if (r < 0)
			return r;
	}
	return rebuild_unlink_covered(b->store, &t, &b->result->n_leftovers);
}

/* A merged file that the index knows: its inputs have no rows any more, but a kill may have left the files. */
static int clean_behind(struct rebuild *b, const char *path)
{
	_cleanup_trailer_ struct trailer t = TRAILER_INIT;
	int r = read_trailer(b->store, path, &t);

	if (r >= 0)
		r = rebuild_unlink_covered(b->store, &t, &b->result->n_leftovers);
	return r == -ENOENT || corrupt_is(r) ? 0 : r; /* who reads it will find out */
}

static int on_file(struct rebuild *b, const struct walk_entry *e)
{
	int r;

	if (e->name.level != b->level)
		return 0;
	b->result->n_files++;
	if (b->progress && b->progress->f && b->result->n_files % 64 == 0)
		b->progress->f(b->progress->userdata, b->result->n_files, 0);
	if (b->in_batch && clock_now_ns(CLOCK_MONOTONIC) - b->batch_began_ns >= BATCH_NS) {
		r = end_batch(b, 0);
		if (r < 0)
			return r;
	}
	r = index_has(b->index, e->path);
	if (r < 0)
		return r;
	if (r == 0)
		return add_file(b, e);
	return b->level > STORE_WINDOW ? clean_behind(b, e->path) : 0;
}

static int on_entry(void *data, const struct walk_entry *e)
{
	struct rebuild *b = data;
	int r;

	if (e->kind == WALK_FILE)
		return on_file(b, e);
	if (b->level != STORE_WINDOW)
		return 0;
	if (e->kind == WALK_STRANGER) {
		b->result->n_strangers++;
		return 0;
	}
	r = write_remove_stale(e->dir_fd, e->filename);
	b->result->n_temporaries += r > 0;
	return r < 0 ? r : 0;
}

/* Rows without a file, a page of rows at a time. */
struct missing {
	struct rebuild *rebuild;
	struct buffer paths; /* NUL-terminated, one behind the other */
	int64_t last_id;
	uint64_t n;
};

static int on_row(void *data, const struct index_row *row)
{
	struct missing *m = data;

	m->n++;
	m->last_id = row->id;
	if (faccessat(m->rebuild->store->dir_fd, row->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return 0;
	return buffer_append(&m->paths, row->path, strlen(row->path) + 1);
}

static int remove_missing(struct rebuild *b)
{
	const uint64_t page = 1000;
	int64_t after = 0;
	int r;

	for (;;) {
		_cleanup_(buffer_done) struct buffer paths = BUFFER(page * STORE_PATH_MAX);
		struct missing m = { .rebuild = b, .paths = paths };

		r = index_each(b->index, &(struct index_where){ .after_id = after, .limit = page }, on_row, &m);
		paths = m.paths;
		if (r < 0)
			return r;
		for (size_t at = 0; at < paths.size; at += strlen(paths.data + at) + 1) {
			r = index_remove(b->index, paths.data + at);
			if (r < 0)
				return r;
			b->result->n_gone++;
		}
		if (m.n < page)
			return 0;
		after = m.last_id;
	}
}

static int run(struct rebuild *b, bool from_nothing)
{
	int r = 0;

	if (from_nothing) {
		r = index_clear(b->index);
		if (r < 0)
			return r;
	}
	for (uint32_t left = STORE_LEVELS; left > 0 && r >= 0; left--) {
		b->level = left - 1;
		r = end_batch(b,
		        walk(b->store, &(struct walk_where){ .is_cleaning = b->level == STORE_WINDOW }, on_entry, b));
	}
	if (r >= 0)
		r = remove_missing(b);
	if (r >= 0)
		r = index_set_complete(b->index, true);
	return r;
}

int rebuild_locked(struct store *s, struct index *x, bool from_nothing, const struct store_progress *progress,
        struct rebuild_result *ret)
{
	struct rebuild b = { .store = s, .index = x, .progress = progress, .result = ret, .now_ns = age_now(x) };
	int r;

	*ret = (struct rebuild_result){ 0 };
	r = run(&b, from_nothing);
	if (r >= 0)
		s->needs_rebuild = false;
	return r;
}

static int reconcile(struct store *s, bool wait, bool from_nothing, const struct store_progress *progress,
        struct rebuild_result *ret)
{
	_cleanup_close_ int lock = -1;
	struct index *x;
	int r;

	*ret = (struct rebuild_result){ 0 };
	lock = store_keep(s, wait, true, &x);
	if (lock < 0)
		return lock;
	r = rebuild_locked(s, x, from_nothing, progress, ret);
	if (r == -EBADMSG) { /* broken while we worked: the next open sets it aside */
		s->index = index_close(s->index);
		s->needs_rebuild = true;
	}
	return r;
}

int store_reconcile(struct store *s, bool wait, const struct store_progress *progress, struct rebuild_result *ret)
{
	return reconcile(s, wait, false, progress, ret);
}

int store_rebuild(struct store *s, bool wait, const struct store_progress *progress, struct rebuild_result *ret)
{
	return reconcile(s, wait, true, progress, ret);
}
