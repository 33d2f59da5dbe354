#include "profile/top.h"

#include <string.h>

#include "base/buffer.h"
#include "base/intern.h"
#include "profile/drop_frames.h"
#include "profile/sum.h"
#include "profile/tree.h"

#define ROWS_MAX (1u << 20)
#define KEY_BYTES_MAX ((size_t)256 << 20)

struct top {
	struct intern *keys; /* -> row before sorting */
	struct top_row *rows;
	uint32_t *order; /* row of each key, after sorting */
	size_t n_rows, room, kept;
	struct top_value total;
};

struct building {
	const struct profile *p;
	const struct top_options *options;
	struct top *top;
	uint32_t *first;      /* of each location, in frame_rows; n_locations + 1 of them */
	uint32_t *frame_rows; /* innermost first */
	int64_t *frame_lines;
	int64_t *line_flat; /* flat value of each entry of frame_rows */
	struct drop_frames dropped;
	uint32_t *seen; /* the last sample that counted in each row's cum, + 1 */
};

static void building_done(struct building *b)
{
	free(b->first);
	free(b->frame_rows);
	free(b->frame_lines);
	free(b->line_flat);
	drop_frames_done(&b->dropped);
	free(b->seen);
}

struct by {
	const char *name;
	const char *label, *number_label; /* NULL where rows are code */
};

static const struct by bys[TOP_BY_MAX] = {
	[TOP_FUNCTION] = { "function", NULL, NULL },
	[TOP_LINE] = { "line", NULL, NULL },
	[TOP_FILE] = { "file", NULL, NULL },
	[TOP_PROCESS] = { "process", "comm", "pid" },
	[TOP_THREAD] = { "thread", "thread", "tid" },
	[TOP_COMM] = { "comm", "comm", NULL },
	[TOP_EXE] = { "exe", "exe", NULL },
	[TOP_UNIT] = { "unit", "unit", NULL },
	[TOP_CONTAINER] = { "container", "container_id", NULL },
	[TOP_HOST] = { "host", "host", NULL },
};

int top_parse_by(const char *word, enum top_by *ret)
{
	for (int i = 0; i < TOP_BY_MAX; i++)
		if (strcmp(bys[i].name, word) == 0) {
			*ret = (enum top_by)i;
			return 0;
		}
	return -EINVAL;
}

const char *top_by_name(enum top_by by)
{
	return bys[by].name;
}

bool top_is_code(enum top_by by)
{
	return !bys[by].label;
}

struct top *top_free(struct top *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_rows; i++) {
		free((char *)t->rows[i].name);
		free((char *)t->rows[i].file);
		free((char *)t->rows[i].mapping);
	}
	if (t->keys)
		intern_free(t->keys);
	free(t->rows);
	free(t->order);
	free(t);
	return NULL;
}

static int rows_reserve(struct top *t)
{
	size_t room = MAX(t->room * 2, (size_t)64);
	struct top_row *grown;

	if (t->n_rows < t->room)
		return 0;
	grown = reallocarray(t->rows, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	t->rows = grown;
	t->room = room;
	return 0;
}

/* Takes name; borrows file and mapping. */
static int add_row(struct top *t, const void *key, size_t key_size, char *name, const struct frame *f, uint32_t *ret)
{
	_cleanup_free_ char *owned_name = name, *file = NULL, *mapping = NULL;
	struct top_row row = { .line = f->line, .kind = f->kind };
	uint32_t id;
	int r;

	if (!owned_name)
		return -ENOMEM;
	r = frame_keep(f->file, f->mapping, &t->kept, &file, &mapping);
	if (r >= 0)
		r = rows_reserve(t);
	if (r < 0)
		return r;
	r = intern_put(t->keys, key, key_size, &id);
	if (r < 0)
		return r;
	row.key = intern_get(t->keys, id, &row.key_size);
	row.name = TAKE_PTR(owned_name);
	row.file = TAKE_PTR(file);
	row.mapping = TAKE_PTR(mapping);
	t->rows[t->n_rows++] = row;
	*ret = id;
	return 0;
}

/* Key and name of a frame: a function is its name and its file, as two static functions may share a name. */
static int frame_key(const struct frame *f, enum top_by by, struct buffer *key)
{
	const char *file;

	switch (by) {
	case TOP_LINE:
		if (f->function == PROFILE_NONE || f->line == 0) {
			/* No line: the address is what there is. The kernel's are not in a profile. */
			(void)buffer_append(key, f->name, f->name_size);
			return f->address ? buffer_printf(key, "+0x%llx", (unsigned long long)f->address) : key->error;
		}
		(void)buffer_append(key, f->name, f->name_size);
		return buffer_printf(key, " %s:%lld", f->file, (long long)f->line);
	case TOP_FILE:
		file = f->file[0] ? f->file : f->mapping[0] ? f->mapping : "[unknown]";
		return buffer_append(key, file, strlen(file));
	default:
		return buffer_append(key, f->name, f->name_size);
	}
}

static int add_frame_row(struct building *b, struct frame *f, uint32_t *ret)
{
	_cleanup_buffer_ struct buffer key = BUFFER(KEY_BYTES_MAX), name = BUFFER(KEY_BYTES_MAX);
	int r;

	r = frame_key(f, b->options->by, &name);
	if (r < 0)
		return r;
	(void)buffer_append(&key, name.data, name.size);
	if (b->options->by == TOP_FUNCTION) {
		(void)buffer_append(&key, "", 1);
		(void)buffer_append(&key, f->file, strlen(f->file));
		f->line = 0; /* found out at the end: set_lines() */
	}
	if (key.error)
		return key.error;
	r = intern_find(b->top->keys, key.data, key.size, ret);
	if (r != -ENOENT)
		return r;
	if (b->options->by == TOP_FILE)
		f->line = 0;
	return add_row(b->top, key.data, key.size, buffer_take_string(&name), f, ret);
}

static int map_locations(struct building *b)
{
	uint32_t n = profile_n_locations(b->p), at = 0;
	size_t total = 1;

	for (uint32_t i = 0; i < n; i++)
		total += frame_count(b->p, i);
	if (total >= UINT32_MAX)
		return -ENOSPC;
	b->first = calloc((size_t)n + 1, sizeof(*b->first));
	b->frame_rows = calloc(total, sizeof(*b->frame_rows));
	b->frame_lines = calloc(total, sizeof(*b->frame_lines));
	b->line_flat = calloc(total, sizeof(*b->line_flat));
	if (!b->first || !b->frame_rows || !b->frame_lines || !b->line_flat)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t lines = frame_count(b->p, i);

		b->first[i] = at;
		for (uint32_t line = 0; line < lines; line++) {
			struct frame f;
			int r;

			frame_get(b->p, i, line, &f);
			b->frame_lines[at] = f.line;
			r = add_frame_row(b, &f, &b->frame_rows[at++]);
			if (r < 0)
				return r;
		}
	}
	b->first[n] = at;
	return drop_frames_find(b->p, &b->dropped);
}

void top_value_add(struct top_value *to, const struct top_value *v)
{
	to->value = sum_saturating(to->value, v->value);
	to->count = sum_saturating(to->count, v->count);
	to->squares += v->squares;
}

static struct top_value sample_value(const struct building *b, uint32_t sample, uint32_t count_index)
{
	const int64_t *values = profile_values_const(b->p, sample);
	struct top_value v = { .value = values[b->options->value_index],
		.count = count_index == PROFILE_NONE ? 1 : values[count_index] };
	double count = v.count > 0 ? (double)v.count : 1;

	v.squares = (double)v.value * (double)v.value / count;
	return v;
}

static void add_stack(struct building *b, uint32_t sample, const struct top_value *v)
{
	size_t n;
	const uint32_t *locations = profile_stack(b->p, profile_sample(b->p, sample)->stack, &n);
	const size_t leaf = drop_frames_of_stack(&b->dropped, locations, n);

	for (size_t i = leaf; i < n; i++)
		for (uint32_t at = b->first[locations[i]]; at < b->first[locations[i] + 1]; at++) {
			uint32_t row = b->frame_rows[at];

			if (i == leaf && at == b->first[locations[leaf]]) {
				top_value_add(&b->top->rows[row].flat, v);
				b->line_flat[at] = sum_saturating(b->line_flat[at], v->value);
			}
			if (b->seen[row] != sample + 1) {
				b->seen[row] = sample + 1;
				top_value_add(&b->top->rows[row].cum, v);
			}
		}
}

static int add_code(struct building *b, uint32_t count_index)
{
	int r = map_locations(b);

	if (r < 0)
		return r;
	b->seen = calloc(b->top->n_rows + 1, sizeof(*b->seen));
	if (!b->seen)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile_n_samples(b->p); i++) {
		struct top_value v = sample_value(b, i, count_index);

		top_value_add(&b->top->total, &v);
		add_stack(b, i, &v);
	}
	return 0;
}

/* "nginx (1234)", or the label's value alone; "[no LABEL]" where a sample lacks it. */
static int label_text(const struct profile *p, uint32_t set, const struct by *by, struct buffer *b)
{
	size_t n;
	const struct profile_label *labels = profile_label_set(p, set, &n), *text = NULL, *number = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *key = profile_string(p, labels[i].key, NULL);

		if (!text && strcmp(key, by->label) == 0)
			text = &labels[i];
		else if (!number && by->number_label && strcmp(key, by->number_label) == 0)
			number = &labels[i];
	}
	if (text && text->unit == PROFILE_NONE)
		(void)buffer_append_string(b, profile_string(p, (uint32_t)text->value, NULL));
	else if (text)
		(void)buffer_printf(b, "%lld", (long long)text->value);
	else if (!number)
		(void)buffer_printf(b, "[no %s]", by->label);
	if (number && number->unit != PROFILE_NONE)
		(void)buffer_printf(b, text ? " (%lld)" : "(%lld)", (long long)number->value);
	else if (number)
		(void)buffer_printf(b, text ? " (%s)" : "(%s)", profile_string(p, (uint32_t)number->value, NULL));
	return b->error;
}

static int add_label_row(struct building *b, uint32_t set, uint32_t *ret)
{
	_cleanup_buffer_ struct buffer text = BUFFER(KEY_BYTES_MAX), name = BUFFER(KEY_BYTES_MAX);
	const struct frame f = { .file = "", .mapping = "", .kind = FRAME_GROUP };
	int r;

	r = label_text(b->p, set, &bys[b->options->by], &text);
	if (r < 0)
		return r;
	r = intern_find(b->top->keys, text.data ? text.data : "", text.size, ret);
	if (r != -ENOENT)
		return r;
	r = buffer_append(&name, text.data ? text.data : "", text.size);
	if (r < 0)
		return r;
	return add_row(b->top, text.data ? text.data : "", text.size, buffer_take_string(&name), &f, ret);
}

static int add_labels(struct building *b, uint32_t count_index)
{
	uint32_t n = profile_n_label_sets(b->p);
	_cleanup_free_ uint32_t *rows = NULL;
	int r;

	rows = calloc((size_t)n + 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		r = add_label_row(b, i, &rows[i]);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < profile_n_samples(b->p); i++) {
		struct top_value v = sample_value(b, i, count_index);
		struct top_row *row = &b->top->rows[rows[profile_sample(b->p, i)->labels]];

		top_value_add(&b->top->total, &v);
		top_value_add(&row->flat, &v);
		top_value_add(&row->cum, &v);
	}
	return 0;
}

/* A function is shown with the line where most of its own time goes. */
static void set_lines(struct building *b)
{
	uint32_t n = b->first ? b->first[profile_n_locations(b->p)] : 0;
	_cleanup_free_ int64_t *best = calloc(b->top->n_rows + 1, sizeof(*best));

	if (!best || b->options->by != TOP_FUNCTION)
		return;
	for (uint32_t at = 0; at < n; at++) {
		uint32_t row = b->frame_rows[at];

		if (b->frame_lines[at] > 0 && (b->top->rows[row].line == 0 || b->line_flat[at] > best[row])) {
			best[row] = b->line_flat[at];
			b->top->rows[row].line = b->frame_lines[at];
		}
	}
}

struct sorting {
	const struct top *top;
	enum top_sort sort;
};

static int compare_rows(const void *a, const void *b, void *userdata)
{
	const struct sorting *s = userdata;
	const struct top_row *x = &s->top->rows[*(const uint32_t *)a], *y = &s->top->rows[*(const uint32_t *)b];
	int64_t first_x = s->sort == TOP_CUM ? x->cum.value : x->flat.value;
	int64_t first_y = s->sort == TOP_CUM ? y->cum.value : y->flat.value;
	int64_t second_x = s->sort == TOP_CUM ? x->flat.value : x->cum.value;
	int64_t second_y = s->sort == TOP_CUM ? y->flat.value : y->cum.value;
	int order;

	if (first_x != first_y)
		return first_x > first_y ? -1 : 1;
	if (second_x != second_y)
		return second_x > second_y ? -1 : 1;
	order = memcmp(x->key, y->key, MIN(x->key_size, y->key_size));
	return order ? order : x->key_size < y->key_size ? -1 : x->key_size > y->key_size;
}

static int sort_rows(struct top *t, enum top_sort sort)
{
	struct sorting sorting = { t, sort };
	_cleanup_free_ uint32_t *sorted = calloc(t->n_rows + 1, sizeof(*sorted));
	_cleanup_free_ struct top_row *rows = calloc(t->n_rows + 1, sizeof(*rows));

	t->order = calloc(t->n_rows + 1, sizeof(*t->order));
	if (!sorted || !rows || !t->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n_rows; i++)
		sorted[i] = i;
	qsort_r(sorted, t->n_rows, sizeof(*sorted), compare_rows, &sorting);
	for (uint32_t i = 0; i < t->n_rows; i++) {
		rows[i] = t->rows[sorted[i]];
		t->order[sorted[i]] = i;
	}
	free(t->rows);
	t->rows = TAKE_PTR(rows);
	return 0;
}

int top_build(const struct profile *p, const struct top_options *options, struct top **ret)
{
	_cleanup_(top_freep) struct top *t = calloc(1, sizeof(*t));
	_cleanup_(building_done) struct building b = { .p = p, .options = options, .top = t };
	uint32_t count_index = tree_count_index(p, options->value_index);
	int r;

	if (!t)
		return -ENOMEM;
	if (options->value_index >= profile_header_const(p)->n_sample_types)
		return -EINVAL;
	r = intern_new(ROWS_MAX, KEY_BYTES_MAX, &t->keys);
	if (r < 0)
		return r;
	r = top_is_code(options->by) ? add_code(&b, count_index) : add_labels(&b, count_index);
	if (r < 0)
		return r;
	set_lines(&b);
	r = sort_rows(t, options->sort);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(t);
	return 0;
}

size_t top_n_rows(const struct top *t)
{
	return t->n_rows;
}

const struct top_row *top_row(const struct top *t, size_t i)
{
	return &t->rows[i];
}

const struct top_value *top_total(const struct top *t)
{
	return &t->total;
}

size_t top_n_hot(const struct top *t, double threshold)
{
	const double whole = (double)t->total.value;
	size_t n = 0;

	/* 1 % of 300 is 3: a share computed as 0.00999.. is in. */
	while (whole > 0 && n < t->n_rows && t->rows[n].flat.value > 0 &&
	        (double)t->rows[n].flat.value / whole >= threshold * (1 - 1e-12))
		n++;
	return n;
}

int top_find(const struct top *t, const char *key, size_t key_size, size_t *ret)
{
	uint32_t id;
	int r = intern_find(t->keys, key, key_size, &id);

	if (r < 0)
		return r;
	*ret = t->order[id];
	return 0;
}
