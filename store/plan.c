#include "store/plan.h"

#include <assert.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/intern.h"
#include "profile/merge.h"
#include "store/facts.h"
#include "store/trailer.h"
#include "store/walk.h"

#define SECOND_NS ((int64_t)NS_PER_SEC)
#define LABEL_BITS_MAX (1u << 26)

/* Paths live as long as the plan: one behind the other, without an allocation each. */
struct plan_block {
	struct plan_block *next;
	size_t used;
	char text[(64u << 10) - 64];
};

static char *keep_path(struct plan *p, const char *path)
{
	const size_t size = strlen(path) + 1;
	struct plan_block *b = p->blocks;

	assert(size <= sizeof(b->text));
	if (!b || size > sizeof(b->text) - b->used) {
		b = malloc(sizeof(*b));
		if (!b)
			return NULL;
		b->next = p->blocks;
		b->used = 0;
		p->blocks = b;
	}
	b->used += size;
	return memcpy(b->text + b->used - size, path, size);
}

void plan_done(struct plan *p)
{
	while (p->blocks) {
		struct plan_block *b = p->blocks;

		p->blocks = b->next;
		free(b);
	}
	free(p->files);
	*p = PLAN_INIT;
}

static int add(struct plan *p, const struct plan_file *f, const char *path)
{
	if (p->n >= PLAN_FILES_MAX)
		return -E2BIG;
	if (p->n == p->room) {
		size_t room = MAX(p->room * 2, (size_t)64);
		struct plan_file *bigger = realloc(p->files, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		p->files = bigger;
		p->room = room;
	}
	p->files[p->n] = *f;
	p->files[p->n].path = keep_path(p, path);
	if (!p->files[p->n].path)
		return -ENOMEM;
	p->n++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct plan_file *x = a, *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return strcmp(x->path, y->path);
}

static void finish(struct plan *p)
{
	if (p->n)
		qsort(p->files, p->n, sizeof(*p->files), compare);
	for (size_t i = 0; i < p->n; i++) {
		const struct plan_file *f = &p->files[i];

		p->n_of[f->level]++;
		p->bytes += f->bytes;
		p->raw_bytes += f->raw_bytes;
		p->first_ns = i ? MIN(p->first_ns, f->start_ns) : f->start_ns;
		p->last_ns = i ? MAX(p->last_ns, f->end_ns) : f->end_ns;
		p->hash = XXH3_64bits_withSeed(f->path, strlen(f->path), p->hash);
	}
}

int64_t plan_duration(const struct plan *p)
{
	int64_t sum = 0, until = INT64_MIN;

	for (size_t i = 0; i < p->n; i++) {
		int64_t start = MAX(p->files[i].start_ns, until);

		if (p->files[i].end_ns > start) {
			sum += p->files[i].end_ns - start;
			until = p->files[i].end_ns;
		}
	}
	return sum;
}

/* Which label values each matcher takes, as bits by label id. */
struct pruning {
	size_t n;
	struct {
		unsigned char *bits;
		size_t size;
		bool takes_absent; /* a sample without the label matches: no file can be passed over */
	} of[MATCHERS_MAX];
	const struct matchers *matchers;
	size_t at;
	bool found[MATCHERS_MAX];
};

static void pruning_done(struct pruning *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->of[i].bits);
}

static int on_label(void *data, int64_t id, const char *name, const char *value, size_t size)
{
	struct pruning *p = data;
	size_t byte = (size_t)id / 8;

	(void)name;
	if (id < 0 || id > LABEL_BITS_MAX)
		return -EBADMSG;
	if (value && !matchers_match_value(p->matchers, p->at, value, size))
		return 0;
	if (byte >= p->of[p->at].size) {
		size_t room = MAX(p->of[p->at].size * 2, byte + 64);
		unsigned char *bigger = realloc(p->of[p->at].bits, room);

		if (!bigger)
			return -ENOMEM;
		memset(bigger + p->of[p->at].size, 0, room - p->of[p->at].size);
		p->of[p->at].bits = bigger;
		p->of[p->at].size = room;
	}
	p->of[p->at].bits[byte] |= (unsigned char)(1u << (id % 8));
	return 0;
}

static int make_pruning(struct index *x, const struct matchers *m, struct pruning *p)
{
	p->matchers = m;
	p->n = matchers_count(m);
	for (p->at = 0; p->at < p->n; p->at++) {
		int r;

		/* The index does not know the values of a label that merging drops. */
		p->of[p->at].takes_absent = matchers_match_value(m, p->at, "", 0) ||
		                            merge_drops(facts_dropped_labels, matchers_name(m, p->at));
		if (p->of[p->at].takes_absent)
			continue;
		r = index_each_label(x, matchers_name(m, p->at), on_label, p);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_file_label(void *data, int64_t id)
{
	struct pruning *p = data;

	for (size_t i = 0; i < p->n; i++)
		if (id >= 0 && (size_t)id / 8 < p->of[i].size && (p->of[i].bits[id / 8] >> (id % 8) & 1))
			p->found[i] = true;
	return 0;
}

/* 1 where the file may hold a sample that is meant. */
static int may_match(struct pruning *p, const struct index_row *row)
{
	int r;

	for (size_t i = 0; i < p->n; i++)
		p->found[i] = p->of[i].takes_absent;
	r = index_labels_each(row->labels, row->labels_size, on_file_label, p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n; i++)
		if (!p->found[i])
			return 0;
	return 1;
}

struct from_index {
	struct plan *plan;
	struct pruning pruning;
};

static int on_row(void *data, const struct index_row *row)
{
	struct from_index *f = data;
	int r = may_match(&f->pruning, row);

	if (r == 0)
		f->plan->n_passed_over++;
	if (r <= 0)
		return r;
	return add(f->plan,
	        &(struct plan_file){ .start_ns = row->start_ns,
	                .end_ns = row->end_ns,
	                .bytes = row->bytes,
	                .raw_bytes = row->raw_bytes,
	                .level = row->level },
	        row->path);
}

static int plan_from_index(struct index *x, const struct selection *sel, struct plan *ret)
{
	struct from_index f = { .plan = ret };
	int r;

	r = make_pruning(x, sel->matchers, &f.pruning);
	if (r >= 0)
		r = index_each(x,
		        &(struct index_where){
		                .type = sel->type, .has_range = true, .from_ns = sel->from_ns, .to_ns = sel->to_ns },
		        on_row, &f);
	pruning_done(&f.pruning);
	ret->has_index = true;
	return r;
}

/* Without an index: names tell where a file starts; a merged one ends with its hour or day. */
static bool name_is_in_range(const struct store_name *n, const struct selection *sel, int64_t *ret_end_ns)
{
	int64_t start = n->start_s * SECOND_NS, level_s = store_level_seconds(n->level), end, middle;

	if (n->level == STORE_WINDOW) {
		*ret_end_ns = start;
		return start + SECOND_NS > sel->from_ns && start < sel->to_ns &&
		       (start >= sel->from_ns || sel->from_ns % SECOND_NS != 0);
	}
	end = (n->start_s / level_s + 1) * level_s * SECOND_NS;
	middle = start + (end - start) / 2;
	*ret_end_ns = end;
	return (middle >= sel->from_ns && middle < sel->to_ns) || (start <= sel->from_ns && end >= sel->to_ns);
}

struct from_names {
	struct store *store;
	const struct selection *selection;
	struct plan *plan;
	struct intern *covered; /* "path size hash" */
};

static int take_covered(struct from_names *f, const char *path)
{
	_cleanup_trailer_ struct trailer t = TRAILER_INIT;
	_cleanup_close_ int fd = walk_open(f->store, path);
	int r;

	r = fd < 0 ? fd : trailer_read(fd, &t);
	if (r < 0) /* gone, or broken: reading it will tell */
		return r == -ENOMEM ? r : 0;
	for (size_t i = 0; i < t.n_covered; i++) {
		uint32_t id;

		r = intern_put(f->covered, &t.covered[i], sizeof(t.covered[i]), &id);
		if (r < 0)
			return r == -ENOSPC ? -E2BIG : r;
	}
	return 0;
}

static int on_name(void *data, const struct walk_entry *e)
{
	struct from_names *f = data;
	struct plan_file file = { .start_ns = e->name.start_s * SECOND_NS, .level = e->name.level };
	struct stat st;
	int r;

	if (e->kind != WALK_FILE || !name_is_in_range(&e->name, f->selection, &file.end_ns))
		return 0;
	if (fstatat(e->dir_fd, e->filename, &st, AT_SYMLINK_NOFOLLOW) == 0)
		file.bytes = (uint64_t)MAX(st.st_size, (off_t)0);
	if (file.level) {
		r = take_covered(f, e->path);
		if (r < 0)
			return r;
	}
	return add(f->plan, &file, e->path);
}

/* 1 where a merged file of the plan holds this one: same name, same bytes. */
static int is_leftover(struct from_names *f, const struct plan_file *file)
{
	struct trailer_covered c = { .size = file->bytes };
	_cleanup_free_ char *data = NULL;
	size_t size;
	uint32_t id;

	if (intern_count(f->covered) == 0 || walk_read(f->store, file->path, UINT32_MAX, &data, &size) < 0)
		return 0;
	(void)snprintf(c.path, sizeof(c.path), "%s", file->path);
	c.size = size;
	c.hash = trailer_hash(data, size);
	return intern_find(f->covered, &c, sizeof(c), &id) == 0;
}

static int plan_from_names(struct store *s, const struct selection *sel, struct plan *ret)
{
	_cleanup_(intern_freep) struct intern *covered = NULL;
	struct from_names f = { .store = s, .selection = sel, .plan = ret };
	size_t kept = 0;
	int r;

	r = intern_new(TRAILER_COVERED_MAX, 64u << 20, &covered);
	if (r < 0)
		return r;
	f.covered = covered;
	r = walk(s,
	        &(struct walk_where){ .type = sel->type,
	                .has_range = true,
	                .from_s = sel->from_ns / SECOND_NS,
	                .to_s = sel->to_ns / SECOND_NS + 1 },
	        on_name, &f);
	for (size_t i = 0; i < ret->n; i++)
		if (r < 0 || !is_leftover(&f, &ret->files[i]))
			ret->files[kept++] = ret->files[i];
	ret->n = kept;
	return r;
}

int plan_make(struct store *s, const struct selection *sel, struct plan *ret)
{
	_cleanup_plan_ struct plan p = PLAN_INIT;
	struct index *x;
	int r;

	assert(sel->type);

	r = store_index(s, false, &x);
	if (r >= 0)
		r = plan_from_index(x, sel, &p);
	if (r < 0 && r != -ENOMEM && r != -E2BIG) { /* no index, or none that we may or can read */
		plan_done(&p);
		r = plan_from_names(s, sel, &p);
	}
	if (r < 0)
		return r;
	finish(&p);
	*ret = p;
	p = PLAN_INIT;
	return 0;
}
