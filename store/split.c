#include "store/split.h"

#include <assert.h>
#include <string.h>

/* Where each entity of the old profile is in the new one; PROFILE_NONE: not there yet. */
struct copy {
	const struct profile *from;
	struct profile *to;
	uint32_t *strings, *mappings, *functions, *locations;
};

static void copy_done(struct copy *c)
{
	free(c->strings);
	free(c->mappings);
	free(c->functions);
	free(c->locations);
}

static int make_map(uint32_t n, uint32_t **ret)
{
	*ret = malloc(((size_t)n + 1) * sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	memset(*ret, 0xff, ((size_t)n + 1) * sizeof(**ret));
	return 0;
}

static int copy_string(struct copy *c, uint32_t i, uint32_t *ret)
{
	int r;

	if (c->strings[i] == PROFILE_NONE) {
		size_t size;
		const char *s = profile_string(c->from, i, &size);

		r = profile_add_string(c->to, s, size, &c->strings[i]);
		if (r < 0)
			return r;
	}
	*ret = c->strings[i];
	return 0;
}

static int copy_strings(struct copy *c, uint32_t *const *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = copy_string(c, *at[i], at[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_mapping(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_mapping m;
	int r;

	if (i == PROFILE_NONE) {
		*ret = PROFILE_NONE;
		return 0;
	}
	if (c->mappings[i] == PROFILE_NONE) {
		m = *profile_mapping(c->from, i);
		r = copy_strings(c, (uint32_t *const[]){ &m.filename, &m.build_id }, 2);
		if (r < 0)
			return r;
		r = profile_add_mapping(c->to, &m, &c->mappings[i]);
		if (r < 0)
			return r;
	}
	*ret = c->mappings[i];
	return 0;
}

static int copy_function(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_function f;
	int r;

	if (c->functions[i] == PROFILE_NONE) {
		f = *profile_function(c->from, i);
		r = copy_strings(c, (uint32_t *const[]){ &f.name, &f.system_name, &f.filename }, 3);
		if (r < 0)
			return r;
		r = profile_add_function(c->to, &f, &c->functions[i]);
		if (r < 0)
			return r;
	}
	*ret = c->functions[i];
	return 0;
}

static int copy_location(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_line lines[PROFILE_LINES_MAX];
	struct profile_location l;
	int r;

	if (c->locations[i] == PROFILE_NONE) {
		l = profile_location(c->from, i);
		if (l.n_lines > ARRAY_SIZE(lines))
			return -E2BIG;
		for (uint32_t j = 0; j < l.n_lines; j++) {
			lines[j] = l.lines[j];
			r = copy_function(c, lines[j].function, &lines[j].function);
			if (r < 0)
				return r;
		}
		l.lines = lines;
		r = copy_mapping(c, l.mapping, &l.mapping);
		if (r < 0)
			return r;
		r = profile_add_location(c->to, &l, &c->locations[i]);
		if (r < 0)
			return r;
	}
	*ret = c->locations[i];
	return 0;
}

static int copy_stack(struct copy *c, uint32_t i, uint32_t *ret)
{
	uint32_t locations[PROFILE_STACK_DEPTH_MAX];
	size_t n;
	const uint32_t *from = profile_stack(c->from, i, &n);

	if (n > ARRAY_SIZE(locations))
		return -E2BIG;
	for (size_t j = 0; j < n; j++) {
		int r = copy_location(c, from[j], &locations[j]);

		if (r < 0)
			return r;
	}
	return profile_add_stack(c->to, locations, n, ret);
}

static int copy_labels(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_label labels[PROFILE_LABELS_MAX];
	size_t n;
	const struct profile_label *from = profile_label_set(c->from, i, &n);

	if (n > ARRAY_SIZE(labels))
		return -E2BIG;
	for (size_t j = 0; j < n; j++) {
		uint32_t value;
		int r;

		labels[j] = from[j];
		r = copy_string(c, from[j].key, &labels[j].key);
		if (r < 0)
			return r;
		if (from[j].unit == PROFILE_NONE) {
			r = copy_string(c, (uint32_t)from[j].value, &value);
			labels[j].value = value;
		} else
			r = copy_string(c, from[j].unit, &labels[j].unit);
		if (r < 0)
			return r;
	}
	return profile_add_label_set(c->to, labels, n, ret);
}

static int copy_header(struct copy *c)
{
	struct profile_header h = *profile_header_const(c->from);
	int r;

	for (uint32_t i = 0; i < h.n_sample_types; i++) {
		r = copy_strings(c, (uint32_t *const[]){ &h.sample_types[i].type, &h.sample_types[i].unit }, 2);
		if (r < 0)
			return r;
	}
	r = copy_strings(c,
	        (uint32_t *const[]){ &h.period_type.type, &h.period_type.unit, &h.default_sample_type, &h.drop_frames,
	                &h.keep_frames, &h.doc_url },
	        6);
	if (r < 0)
		return r;
	*profile_header(c->to) = h;
	return 0;
}

/* order: NULL for the order that they have. */
static int copy_samples(struct copy *c, const uint32_t *order, uint32_t first, uint32_t n)
{
	for (uint32_t at = first; at < first + n; at++) {
		const uint32_t i = order ? order[at] : at;
		const struct profile_sample *s = profile_sample(c->from, i);
		uint32_t stack, labels;
		int r;

		r = copy_stack(c, s->stack, &stack);
		if (r < 0)
			return r;
		r = copy_labels(c, s->labels, &labels);
		if (r < 0)
			return r;
		r = profile_add_sample(c->to, stack, labels, profile_values_const(c->from, i), NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy(const struct profile *p, const uint32_t *order, uint32_t first, uint32_t n, bool with_comments,
        struct profile **ret)
{
	_cleanup_(profile_freep) struct profile *to = NULL;
	_cleanup_(copy_done) struct copy c = { .from = p };
	int r;

	assert(first + n <= profile_n_samples(p));

	r = profile_new(NULL, &to);
	if (r < 0)
		return r;
	c.to = to;
	if (make_map(profile_n_strings(p), &c.strings) < 0 || make_map(profile_n_mappings(p), &c.mappings) < 0 ||
	        make_map(profile_n_functions(p), &c.functions) < 0 ||
	        make_map(profile_n_locations(p), &c.locations) < 0)
		return -ENOMEM;
	r = copy_header(&c);
	if (r < 0)
		return r;
	for (uint32_t i = 0; with_comments && i < profile_n_comments(p); i++) {
		r = profile_add_comment(to, profile_comment(p, i));
		if (r < 0)
			return r;
	}
	r = copy_samples(&c, order, first, n);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(to);
	return 0;
}

int split_copy(const struct profile *p, uint32_t first, uint32_t n, bool with_comments, struct profile **ret)
{
	return copy(p, NULL, first, n, with_comments, ret);
}

static int compare_stacks(const struct profile *p, uint32_t a, uint32_t b)
{
	size_t na, nb;
	const uint32_t *x = profile_stack(p, a, &na), *y = profile_stack(p, b, &nb);

	for (size_t i = 1; i <= na && i <= nb; i++)
		if (x[na - i] != y[nb - i])
			return x[na - i] < y[nb - i] ? -1 : 1;
	return na < nb ? -1 : na > nb;
}

static int compare_samples(const void *a, const void *b, void *data)
{
	const struct profile *p = data;
	const struct profile_sample *x = profile_sample(p, *(const uint32_t *)a),
	                            *y = profile_sample(p, *(const uint32_t *)b);
	int r = x->stack == y->stack ? 0 : compare_stacks(p, x->stack, y->stack);

	if (r != 0)
		return r;
	return x->labels < y->labels ? -1 : x->labels > y->labels;
}

int split_sorted(const struct profile *p, struct profile **ret)
{
	const uint32_t n = profile_n_samples(p);
	_cleanup_free_ uint32_t *order = malloc(((size_t)n + 1) * sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), compare_samples, (void *)p);
	return copy(p, order, 0, n, true, ret);
}
