#include "store/compact.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "profile/pprof.h"
#include "store/corrupt.h"
#include "store/facts.h"
#include "store/handle.h"
#include "store/split.h"
#include "store/trailer.h"
#include "store/walk.h"
#include "store/write.h"

#define SECOND_NS ((int64_t)NS_PER_SEC)
/* In the index: a merged file may be in place without its row. Merging its inputs once more would count them twice, so
 * such a file must be found first. */
#define MERGING "merging"

/* Files that are merged together at most; a larger group becomes several merged files. */
#define INPUTS_MAX 4096

struct input {
	char path[STORE_PATH_MAX];
	int64_t start_ns, end_ns, added_ns;
	uint64_t bytes;
};

struct compaction {
	struct store *store;
	struct index *index;
	const struct compact_options *options;
	struct compact_result *result;
	int64_t now_ns;
	uint32_t level; /* that comes into being */
	struct index_group *groups;
	size_t n_groups;
	struct input *inputs; /* of the group at hand, a page of them */
	size_t n_inputs;
	int64_t last_id;
};

static void compaction_done(struct compaction *c)
{
	free(c->groups);
	free(c->inputs);
}

/* An array that doubles: room for one more behind n. */
static int grow(void *array, size_t n, size_t size)
{
	void **a = array, *bigger;

	if (n & (n - 1))
		return 0;
	bigger = realloc(*a, MAX(n * 2, (size_t)1) * size);
	if (!bigger)
		return -ENOMEM;
	*a = bigger;
	return 0;
}

/* Ripe: its time is over. One that lies in the future is a clock's mistake, and over as well. */
static bool is_ripe(const struct compaction *c, const struct index_group *g)
{
	int64_t end_ns = g->start_ns + store_level_seconds(c->level) * SECOND_NS;
	int64_t day_s = c->options && c->options->is_short_of_room ? COMPACT_DAY_EARLY_S : COMPACT_DAY_AFTER_S;
	int64_t after_ns = (c->level == STORE_HOUR ? COMPACT_HOUR_AFTER_S : day_s) * SECOND_NS;

	return c->now_ns >= end_ns + after_ns || c->now_ns < g->start_ns - after_ns;
}

static int on_group(void *data, const struct index_group *g)
{
	struct compaction *c = data;
	int r;

	if (!is_ripe(c, g))
		return 0;
	r = grow(&c->groups, c->n_groups, sizeof(*c->groups));
	if (r < 0)
		return r;
	c->groups[c->n_groups++] = *g;
	return 0;
}

static int on_input(void *data, const struct index_row *row)
{
	struct compaction *c = data;
	int r = grow(&c->inputs, c->n_inputs, sizeof(*c->inputs));

	if (r < 0)
		return r;
	c->inputs[c->n_inputs] = (struct input){
		.start_ns = row->start_ns, .end_ns = row->end_ns, .added_ns = row->added_ns, .bytes = row->bytes
	};
	(void)snprintf(c->inputs[c->n_inputs++].path, STORE_PATH_MAX, "%s", row->path);
	c->last_id = row->id;
	return 0;
}

static int compare_inputs(const void *a, const void *b)
{
	const struct input *x = a, *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* What is being merged out of some of a group's files. */
struct merged {
	struct profile *profile;
	struct trailer trailer;
	struct input *inputs[INPUTS_MAX];
	size_t n;
	int64_t start_ns, end_ns, covered_ns, added_ns;
	uint64_t bytes;
};

static void merged_done(struct merged *m)
{
	m->profile = profile_free(m->profile);
	trailer_done(&m->trailer);
}

/* 0: it is in; 1: it cannot be in this one, or is no more. */
static int merge_input(struct compaction *c, struct merged *m, struct input *in)
{
	_cleanup_free_ char *data = NULL;
	size_t size;
	int r;

	r = walk_read(c->store, in->path, PPROF_BYTES_MAX, &data, &size);
	if (r >= 0)
		r = pprof_read_into(m->profile, &(struct pprof_read_options){ .drop_labels = facts_dropped_labels },
		        data, size, NULL);
	if (r == -ENOENT)
		return 1; /* removed by somebody; the next reconciliation takes its row */
	if (corrupt_is(r)) {
		r = corrupt_set_aside(c->store, in->path, &c->result->corrupt);
		return r < 0 ? r : 1;
	}
	if (r == -EINVAL || r == -ENOSPC) { /* other sample types, or too much for one file: it stays what it is */
		r = index_seal(c->index, in->path, c->level);
		return r < 0 ? r : 1;
	}
	if (r < 0)
		return r;
	r = trailer_add_covered(&m->trailer, in->path, size, trailer_hash(data, size));
	if (r < 0)
		return r;
	m->covered_ns += in->end_ns - MAX(in->start_ns, m->n ? MIN(m->end_ns, in->end_ns) : in->start_ns);
	m->start_ns = m->n ? MIN(m->start_ns, in->start_ns) : in->start_ns;
	m->end_ns = m->n ? MAX(m->end_ns, in->end_ns) : in->end_ns;
	m->added_ns = m->n ? MAX(m->added_ns, in->added_ns) : in->added_ns;
	m->bytes += in->bytes;
	m->inputs[m->n++] = in;
	return 0;
}

static int put_row(struct compaction *c, const struct index_group *g, const struct merged *m, const char *path,
        const struct facts *f, uint64_t bytes, uint64_t raw_bytes)
{
	int r;

	r = index_put(c->index,
	        &(struct index_row){
	                .path = path,
	                .type = g->type,
	                .host = g->host,
	                .level = c->level,
	                .start_ns = m->start_ns,
	                .end_ns = m->end_ns,
	                .added_ns = m->added_ns,
	                .bytes = bytes,
	                .raw_bytes = raw_bytes,
	                .n_samples = f->n_samples,
	                .totals = f->totals,
	        },
	        f->labels);
	for (size_t i = 0; i < m->n && r >= 0; i++)
		r = index_remove(c->index, m->inputs[i]->path);
	return r < 0 ? r : 0;
}

static int replace(struct compaction *c, const struct index_group *g, struct merged *m, const struct buffer *data,
        const struct facts *f, uint64_t raw_bytes)
{
	_cleanup_write_ struct write_file file = WRITE_FILE_INIT;
	struct store_name name = { .start_s = m->start_ns / SECOND_NS, .level = c->level };
	uint64_t n_removed = 0;
	int r;

	store_name_set_host(&name, g->host);
	r = write_prepare(c->store, g->type, &name, data, &file);
	if (r < 0)
		return r;
	r = index_set_number(c->index, MERGING, 1);
	if (r < 0)
		return r;
	r = write_commit(&file, g->type, &name);
	if (r < 0)
		return r;
	r = index_begin(c->index);
	if (r >= 0)
		r = index_end(c->index, put_row(c, g, m, file.path, f, data->size, raw_bytes));
	if (r < 0) { /* the old files answer on; without its row nobody has seen the new one */
		(void)unlinkat(c->store->dir_fd, file.path, 0);
		return r;
	}
	c->result->n_merged[c->level]++;
	c->result->n_files += m->n;
	c->result->bytes_before += m->bytes;
	c->result->bytes_after += data->size;
	r = rebuild_unlink_covered(c->store, &m->trailer, &n_removed);
	/* Not before: once this file is merged into a day, nothing tells any more that what is left of its inputs is.
	 */
	return r < 0 ? r : index_set_number(c->index, MERGING, 0);
}

/* 1: too large for one file. */
static int write_merged(struct compaction *c, const struct index_group *g, struct merged *m)
{
	_cleanup_buffer_ struct buffer data = BUFFER(UINT32_MAX);
	_cleanup_(profile_freep) struct profile *sorted = NULL;
	_cleanup_facts_ struct facts f = { 0 };
	uint64_t raw_bytes;
	int r;

	profile_header(m->profile)->time_ns = m->start_ns;
	profile_header(m->profile)->duration_ns = m->covered_ns;
	r = split_sorted(m->profile, &sorted);
	if (r < 0)
		return r;
	m->profile = profile_free(m->profile);
	m->profile = TAKE_PTR(sorted);
	r = write_encode(m->profile, &m->trailer, WRITE_LEVEL_MERGED, c->store->max_profile_bytes, &data, &raw_bytes);
	if (r == -E2BIG)
		return 1;
	if (r < 0)
		return r;
	r = facts_make(m->profile, &f);
	if (r < 0)
		return r;
	return replace(c, g, m, &data, &f, raw_bytes);
}

static int merge_range(struct compaction *c, const struct index_group *g, size_t first, size_t n);

/* Too large: each half by itself; a file that is too large with any other stays what it is. */
static int merge_halves(struct compaction *c, const struct index_group *g, size_t first, size_t n)
{
	int r = merge_range(c, g, first, n / 2);

	return r < 0 ? r : merge_range(c, g, first + n / 2, n - n / 2);
}

static int seal(struct compaction *c, const struct input *in)
{
	return index_seal(c->index, in->path, c->level);
}

static int merge_range(struct compaction *c, const struct index_group *g, size_t first, size_t n)
{
	_cleanup_(merged_done) struct merged m = { .trailer = TRAILER_INIT };
	const struct profile_limits limits = { .bytes_max = COMPACT_BYTES_MAX };
	int r;

	if (n == 1)
		return seal(c, &c->inputs[first]);
	(void)snprintf(m.trailer.host, sizeof(m.trailer.host), "%s", g->host);
	r = profile_new(&limits, &m.profile);
	for (size_t i = first; i < first + n && r >= 0; i++)
		r = merge_input(c, &m, &c->inputs[i]);
	if (r < 0)
		return r;
	if (m.n == 0)
		return 0;
	if (m.n == 1)
		return seal(c, m.inputs[0]);
	r = write_merged(c, g, &m);
	if (r != 1)
		return r;
	merged_done(&m);
	return merge_halves(c, g, first, n);
}

static int read_inputs(struct compaction *c, const struct index_group *g)
{
	const int64_t span_ns = store_level_seconds(c->level) * SECOND_NS;
	int r;

	c->n_inputs = 0;
	r = index_each(c->index,
	        &(struct index_where){ .type = g->type,
	                .host = g->host,
	                .has_slot = true,
	                .slot_from_ns = g->start_ns,
	                .slot_to_ns = g->start_ns + span_ns,
	                .levels_below = c->level,
	                .sealed_below = c->level,
	                .after_id = c->last_id,
	                .limit = INPUTS_MAX },
	        on_input, c);
	if (r >= 0 && c->n_inputs)
		qsort(c->inputs, c->n_inputs, sizeof(*c->inputs), compare_inputs);
	return r;
}

static int merge_group(struct compaction *c, const struct index_group *g)
{
	int r;

	c->last_id = 0;
	do {
		r = read_inputs(c, g);
		if (r >= 0 && c->n_inputs > 1)
			r = merge_range(c, g, 0, c->n_inputs);
	} while (r >= 0 && c->n_inputs == INPUTS_MAX);
	return r;
}

static int compact_level(struct compaction *c, uint32_t level)
{
	int r;

	c->level = level;
	c->n_groups = 0;
	r = index_groups(c->index, level, on_group, c);
	for (size_t i = 0; i < c->n_groups && r >= 0; i++) {
		r = merge_group(c, &c->groups[i]);
		if (c->options && c->options->progress && c->options->progress->f)
			c->options->progress->f(c->options->progress->userdata, i + 1, c->n_groups);
	}
	return r;
}

static int finish_killed_merge(struct compaction *c)
{
	struct rebuild_result found;
	int64_t merging;
	int r = index_get_number(c->index, MERGING, &merging);

	if (r < 0 || !merging)
		return r == -ENOENT ? 0 : r;
	r = rebuild_locked(c->store, c->index, false, NULL, &found);
	return r < 0 ? r : 0;
}

int store_compact(struct store *s, const struct compact_options *options, struct compact_result *ret)
{
	_cleanup_(compaction_done) struct compaction c = { .store = s, .options = options, .result = ret };
	_cleanup_close_ int lock = -1;
	int r;

	assert(ret);

	*ret = (struct compact_result){ 0 };
	lock = store_keep(s, false, false, &c.index);
	if (lock < 0)
		return lock;
	r = finish_killed_merge(&c);
	if (r < 0)
		return r;
	c.now_ns = options && options->now_ns ? options->now_ns : (int64_t)clock_now_ns(CLOCK_REALTIME);
	r = compact_level(&c, STORE_HOUR);
	if (r >= 0 && !(options && options->no_days))
		r = compact_level(&c, STORE_DAY);
	return r;
}
