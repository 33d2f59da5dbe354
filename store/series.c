#include "store/series.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/intern.h"
#include "profile/pprof.h"
#include "profile/sum.h"
#include "store/walk.h"

#define KEYS_MAX 65536u
#define KEYS_BYTES_MAX (16u << 20)

struct sums {
	struct intern *keys;
	int64_t *values;
};

static void sums_done(struct sums *s)
{
	s->keys = intern_free(s->keys);
	free(s->values);
}

static int key_of(struct intern *keys, const struct profile *p, uint32_t set, const char *by, uint32_t *ret)
{
	size_t n, size = 0;
	const struct profile_label *l = profile_label_set(p, set, &n);
	const char *value = "";
	char number[24];

	for (size_t i = 0; by && i < n; i++) {
		if (strcmp(profile_string(p, l[i].key, NULL), by) != 0)
			continue;
		if (l[i].unit == PROFILE_NONE)
			value = profile_string(p, (uint32_t)l[i].value, &size);
		else {
			size = (size_t)snprintf(number, sizeof(number), "%" PRId64, l[i].value);
			value = number;
		}
		break;
	}
	return intern_put(keys, value, size, ret);
}

static int add_up(struct sums *s, const struct profile *p, const char *by, uint32_t value_index)
{
	int r = intern_new(KEYS_MAX, KEYS_BYTES_MAX, &s->keys);

	if (r < 0)
		return r;
	s->values = calloc((size_t)profile_n_samples(p) + 1, sizeof(*s->values));
	if (!s->values)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile_n_samples(p); i++) {
		uint32_t key;

		r = key_of(s->keys, p, profile_sample(p, i)->labels, by, &key);
		if (r < 0)
			return r == -ENOSPC ? -E2BIG : r;
		s->values[key] = sum_saturating(s->values[key], profile_values_const(p, i)[value_index]);
	}
	return 0;
}

static int tell(const struct plan_file *f, const struct profile *p, const struct series_options *o,
        int (*each)(void *, const struct series_point *), void *data)
{
	const struct profile_header *h = profile_header_const(p);
	_cleanup_(sums_done) struct sums sums = { 0 };
	uint32_t value_index = h->n_sample_types - 1;
	const char *unit;
	int r = 0;

	if (h->n_sample_types == 0)
		return 0;
	if (o->sample_type)
		r = profile_find_sample_type(p, o->sample_type, &value_index);
	if (r >= 0)
		r = add_up(&sums, p, o->by, value_index);
	if (r < 0)
		return r;
	unit = profile_string(p, h->sample_types[value_index].unit, NULL);
	for (uint32_t i = 0; i < intern_count(sums.keys) && r == 0; i++) {
		size_t size;
		const char *bytes = intern_get(sums.keys, i, &size);
		_cleanup_free_ char *key = strndup(bytes, size);

		if (!key)
			return -ENOMEM;
		r = each(data, &(struct series_point){ .start_ns = f->start_ns,
		                       .end_ns = f->end_ns,
		                       .key = key,
		                       .value = sums.values[i],
		                       .unit = unit });
	}
	return r;
}

static int read_file(struct store *s, const struct selection *sel, const struct plan_file *f,
        const struct series_options *o, int (*each)(void *, const struct series_point *), void *data,
        struct query_report *report)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	int r;

	r = profile_new(NULL, &p);
	if (r >= 0)
		r = query_read(s, f, sel, PPROF_READ_NO_STACKS, p);
	if (r == -ENOENT) {
		report->n_missing++;
		return 0;
	}
	if (corrupt_is(r)) {
		corrupt_note(&report->corrupt, f->path);
		return 0;
	}
	return r < 0 ? r : tell(f, p, o, each, data);
}

int store_series(struct store *s, const struct selection *sel, const struct series_options *options,
        int (*f)(void *, const struct series_point *), void *data, struct query_report *report,
        struct profile_error *error)
{
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct selection with_type = *sel;
	char type[STORE_TYPE_MAX];
	int r;

	assert(f);
	assert(report);

	*report = (struct query_report){ 0 };
	r = query_type(s, sel, type, error);
	if (r < 0)
		return r;
	with_type.type = type;
	r = plan_make(s, &with_type, &plan);
	for (size_t i = 0; i < plan.n && r == 0; i++) {
		r = read_file(s, &with_type, &plan.files[i], options, f, data, report);
		if (options->progress && options->progress->f)
			options->progress->f(options->progress->userdata, i + 1, plan.n);
	}
	report->n_files = plan.n;
	report->has_index = plan.has_index;
	return r < 0 ? r : 0;
}
