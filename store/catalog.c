#include "store/catalog.h"

#include <string.h>

#include "base/buffer.h"
#include "base/intern.h"
#include "profile/pprof.h"
#include "store/facts.h"
#include "store/query.h"
#include "store/walk.h"

#define VALUES_MAX (1u << 20)
#define VALUES_BYTES_MAX (256u << 20)

static const char *type_of(const char *path, char type[STORE_TYPE_MAX])
{
	(void)snprintf(type, STORE_TYPE_MAX, "%.*s", (int)strcspn(path, "/"), path);
	return type;
}

struct files {
	int (*f)(void *, const struct catalog_file *);
	void *data;
};

static int on_row(void *data, const struct index_row *row)
{
	struct files *files = data;

	return files->f(files->data, &(struct catalog_file){ .path = row->path,
	                                     .type = row->type,
	                                     .host = row->host,
	                                     .totals = row->totals,
	                                     .level = row->level,
	                                     .n_samples = row->n_samples,
	                                     .start_ns = row->start_ns,
	                                     .end_ns = row->end_ns,
	                                     .bytes = row->bytes,
	                                     .raw_bytes = row->raw_bytes });
}

static int tell_planned(const struct plan *plan, const struct files *files)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_file *file = &plan->files[i];
		char type[STORE_TYPE_MAX];
		struct store_name name;
		int r;

		if (store_name_parse(strrchr(file->path, '/') + 1, &name) < 0)
			continue;
		r = files->f(files->data, &(struct catalog_file){ .path = file->path,
		                                  .type = type_of(file->path, type),
		                                  .host = name.host,
		                                  .totals = "",
		                                  .level = file->level,
		                                  .start_ns = file->start_ns,
		                                  .end_ns = file->end_ns,
		                                  .bytes = file->bytes });
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return 0;
}

struct by_type {
	struct store *store;
	const struct selection *selection;
	struct files files;
};

static int on_type(void *data, const char *type)
{
	struct by_type *t = data;
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct selection sel = *t->selection;
	int r;

	sel.type = type;
	r = plan_make(t->store, &sel, &plan);
	return r < 0 ? r : tell_planned(&plan, &t->files);
}

int catalog_files(
        struct store *s, const struct selection *sel, int (*f)(void *, const struct catalog_file *), void *data)
{
	struct by_type t = { .store = s, .selection = sel, .files = { f, data } };
	struct index *x;
	int r;

	if (matchers_count(sel->matchers) == 0 && store_index(s, false, &x) == 0) {
		r = index_each(x,
		        &(struct index_where){
		                .type = sel->type, .has_range = true, .from_ns = sel->from_ns, .to_ns = sel->to_ns },
		        on_row, &t.files);
		if (r >= 0)
			return 1;
	}
	r = sel->type ? on_type(&t, sel->type) : store_each_type(s, on_type, &t);
	return r < 0 ? r : 0;
}

/* Distinct values and in how many files each is. */
struct values {
	struct store *store;
	const struct selection *selection;
	const char *name;
	const struct store_progress *progress;
	struct intern *values; /* "=" and the value, or "*": too many */
	uint64_t *counts;
	uint64_t n_counts;
	struct index *index;
	uint32_t *of_label; /* by label id: its value's number + 1 */
	size_t n_labels;
	uint64_t *last_file, n_files; /* so that a name counts once a file */
};

static void values_done(struct values *v)
{
	v->values = intern_free(v->values);
	free(v->counts);
	free(v->last_file);
	free(v->of_label);
}

static int put_value(struct values *v, const char *value, size_t size, uint32_t *ret)
{
	_cleanup_buffer_ struct buffer key = BUFFER(FACTS_BYTES_MAX);
	int r;

	r = buffer_append(&key, value ? "=" : "*", 1);
	if (r >= 0 && value)
		r = buffer_append(&key, value, size);
	if (r >= 0)
		r = intern_put(v->values, key.data, key.size, ret);
	if (r < 0)
		return r == -ENOSPC ? -E2BIG : r;
	if (*ret >= v->n_counts) {
		uint64_t room = MAX(v->n_counts * 2, (uint64_t)64),
		         *bigger = realloc(v->counts, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		v->counts = bigger;
		bigger = realloc(v->last_file, room * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		v->last_file = bigger;
		memset(v->counts + v->n_counts, 0, (room - v->n_counts) * sizeof(*bigger));
		memset(v->last_file + v->n_counts, 0, (room - v->n_counts) * sizeof(*bigger));
		v->n_counts = room;
	}
	return 0;
}

static void count_in_file(struct values *v, uint32_t i)
{
	if (v->last_file[i] == v->n_files)
		return;
	v->last_file[i] = v->n_files;
	v->counts[i]++;
}

static int on_label(void *data, int64_t id, const char *name, const char *value, size_t size)
{
	struct values *v = data;
	uint32_t i;
	int r;

	if (id < 0 || id > VALUES_MAX * 64ll)
		return -EBADMSG;
	r = v->name ? put_value(v, value, size, &i) : put_value(v, name, strlen(name), &i);
	if (r < 0)
		return r;
	if ((size_t)id >= v->n_labels) {
		size_t room = MAX(v->n_labels * 2, (size_t)id + 64);
		uint32_t *bigger = realloc(v->of_label, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		memset(bigger + v->n_labels, 0, (room - v->n_labels) * sizeof(*bigger));
		v->of_label = bigger;
		v->n_labels = room;
	}
	v->of_label[id] = i + 1;
	return 0;
}

static int on_label_id(void *data, int64_t id)
{
	struct values *v = data;

	if (id >= 0 && (size_t)id < v->n_labels && v->of_label[id])
		count_in_file(v, v->of_label[id] - 1);
	return 0;
}

static int on_labelled_row(void *data, const struct index_row *row)
{
	struct values *v = data;

	v->n_files++;
	return index_labels_each(row->labels, row->labels_size, on_label_id, v);
}

static int from_index(struct values *v)
{
	const struct selection *sel = v->selection;
	int r = index_each_label(v->index, v->name, on_label, v);

	if (r < 0)
		return r;
	return index_each(v->index,
	        &(struct index_where){
	                .type = sel->type, .has_range = true, .from_ns = sel->from_ns, .to_ns = sel->to_ns },
	        on_labelled_row, v);
}

static int count_facts(struct values *v, const struct facts *f)
{
	v->n_files++;
	for (uint32_t i = 0; i < intern_count(f->labels); i++) {
		size_t size, name_size;
		const char *entry = intern_get(f->labels, i, &size);
		uint32_t at;
		int r;

		name_size = strnlen(entry, size);
		if (v->name && (strlen(v->name) != name_size || memcmp(v->name, entry, name_size) != 0))
			continue;
		if (!v->name)
			r = put_value(v, entry, name_size, &at);
		else
			r = put_value(v, name_size < size ? entry + name_size + 1 : NULL,
			        name_size < size ? size - name_size - 1 : 0, &at);
		if (r < 0)
			return r;
		count_in_file(v, at);
	}
	return 0;
}

static int from_files_of(void *data, const char *type)
{
	struct values *v = data;
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct selection sel = *v->selection;
	int r;

	sel.type = type;
	r = plan_make(v->store, &sel, &plan);
	for (size_t i = 0; i < plan.n && r >= 0; i++) {
		_cleanup_(profile_freep) struct profile *p = NULL;
		_cleanup_facts_ struct facts f = { 0 };

		r = profile_new(NULL, &p);
		if (r < 0)
			return r;
		r = query_read(v->store, &plan.files[i], &sel, PPROF_READ_NO_STACKS, p);
		if (r >= 0)
			r = facts_make(p, &f);
		if (r >= 0)
			r = count_facts(v, &f);
		if (r == -ENOENT || corrupt_is(r))
			r = 0;
		if (v->progress && v->progress->f)
			v->progress->f(v->progress->userdata, i + 1, plan.n);
	}
	return r < 0 ? r : 0;
}

static int compare_values(const void *a, const void *b, void *data)
{
	const struct values *v = data;
	size_t na, nb;
	const char *x = intern_get(v->values, *(const uint32_t *)a, &na),
	           *y = intern_get(v->values, *(const uint32_t *)b, &nb);
	int r = memcmp(x, y, MIN(na, nb));

	return r ? r : na < nb ? -1 : na > nb;
}

static int tell_values(const struct values *v, int (*f)(void *, const struct catalog_value *), void *data)
{
	uint32_t n = intern_count(v->values);
	_cleanup_free_ uint32_t *order = malloc(((size_t)n + 1) * sizeof(*order));
	int r = 0;

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), compare_values, (void *)v);
	for (uint32_t i = 0; i < n && r == 0; i++) {
		size_t size;
		const char *key = intern_get(v->values, order[i], &size);

		if (v->counts[order[i]])
			r = f(data, &(struct catalog_value){ .value = *key == '=' ? key + 1 : NULL,
			                    .size = size - 1,
			                    .n_files = v->counts[order[i]] });
	}
	return r < 0 ? r : 0;
}

int catalog_labels(struct store *s, const struct selection *sel, const char *name,
        const struct store_progress *progress, int (*f)(void *, const struct catalog_value *), void *data)
{
	_cleanup_(values_done) struct values v = { .store = s, .selection = sel, .name = name, .progress = progress };
	int r;

	r = intern_new(VALUES_MAX, VALUES_BYTES_MAX, &v.values);
	if (r < 0)
		return r;
	if (matchers_count(sel->matchers) == 0 && store_index(s, false, &v.index) == 0 && from_index(&v) >= 0)
		return tell_values(&v, f, data);
	v.values = intern_free(v.values);
	memset(v.counts, 0, v.n_counts * sizeof(*v.counts));
	r = intern_new(VALUES_MAX, VALUES_BYTES_MAX, &v.values);
	if (r >= 0)
		r = sel->type ? from_files_of(&v, sel->type) : store_each_type(s, from_files_of, &v);
	return r < 0 ? r : tell_values(&v, f, data);
}

struct types {
	struct store *store;
	struct index *index;
	int (*f)(void *, const struct catalog_type *);
	void *data;
};

static int sum_file(void *data, const struct catalog_file *file)
{
	struct catalog_type *t = data;

	t->n_files[file->level]++;
	t->bytes += file->bytes;
	t->first_ns = t->first_ns ? MIN(t->first_ns, file->start_ns) : file->start_ns;
	t->last_ns = MAX(t->last_ns, file->end_ns);
	return 0;
}

static int sum_type(void *data, const char *type)
{
	struct types *types = data;
	struct catalog_type t = { .type = type };
	struct index_sums sums;
	int r;

	if (types->index && index_sum(types->index, type, &sums) == 0) {
		memcpy(t.n_files, sums.n_files, sizeof(t.n_files));
		for (uint32_t level = 0; level < STORE_LEVELS; level++)
			t.bytes += sums.bytes[level];
		t.first_ns = sums.first_ns;
		t.last_ns = sums.last_ns;
	} else {
		r = catalog_files(types->store, &(struct selection){ .type = type, .from_ns = 0, .to_ns = INT64_MAX },
		        sum_file, &t);
		if (r < 0)
			return r;
	}
	return types->f(types->data, &t);
}

int catalog_types(struct store *s, int (*f)(void *, const struct catalog_type *), void *data)
{
	struct types types = { .store = s, .f = f, .data = data };

	if (store_index(s, false, &types.index) < 0)
		types.index = NULL;
	return store_each_type(s, sum_type, &types);
}
