#include "export/subset.h"

#include <assert.h>
#include <string.h>

enum entity { STRING, MAPPING, FUNCTION, LOCATION, STACK, LABELS, ENTITIES };

struct copy {
	const struct profile *from;
	struct profile *to;
	const char *const *keep;
	uint32_t *index[ENTITIES]; /* in to, plus 1; 0: not copied yet */
};

static void copy_done(struct copy *c)
{
	for (size_t i = 0; i < ENTITIES; i++)
		free(c->index[i]);
}

static int copy_entity(struct copy *c, enum entity kind, uint32_t i, uint32_t *ret);

static int copy_string(struct copy *c, uint32_t i, uint32_t *ret)
{
	size_t n;
	const char *s = profile_string(c->from, i, &n);

	return profile_add_string(c->to, s, n, ret);
}

/* Turns indices of from into those of to, in place. */
static int translate(struct copy *c, enum entity kind, uint32_t *const *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = copy_entity(c, kind, *fields[i], fields[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_mapping(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_mapping m = *profile_mapping(c->from, i);
	int r = translate(c, STRING, (uint32_t *[]){ &m.filename, &m.build_id }, 2);

	return r < 0 ? r : profile_add_mapping(c->to, &m, ret);
}

static int copy_function(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_function f = *profile_function(c->from, i);
	int r = translate(c, STRING, (uint32_t *[]){ &f.name, &f.system_name, &f.filename }, 3);

	return r < 0 ? r : profile_add_function(c->to, &f, ret);
}

static int copy_location(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_location l = profile_location(c->from, i);
	struct profile_line lines[PROFILE_LINES_MAX];
	int r;

	if (l.n_lines > PROFILE_LINES_MAX)
		return -E2BIG;
	if (l.n_lines)
		memcpy(lines, l.lines, l.n_lines * sizeof(*lines));
	l.lines = lines;
	if (l.mapping != PROFILE_NONE) {
		r = copy_entity(c, MAPPING, l.mapping, &l.mapping);
		if (r < 0)
			return r;
	}
	for (uint32_t k = 0; k < l.n_lines; k++) {
		r = copy_entity(c, FUNCTION, lines[k].function, &lines[k].function);
		if (r < 0)
			return r;
	}
	return profile_add_location(c->to, &l, ret);
}

static int copy_stack(struct copy *c, uint32_t i, uint32_t *ret)
{
	uint32_t locations[PROFILE_STACK_DEPTH_MAX];
	size_t n;
	const uint32_t *stack = profile_stack(c->from, i, &n);

	if (n > PROFILE_STACK_DEPTH_MAX)
		return -E2BIG;
	for (size_t k = 0; k < n; k++) {
		int r = copy_entity(c, LOCATION, stack[k], &locations[k]);

		if (r < 0)
			return r;
	}
	return profile_add_stack(c->to, locations, n, ret);
}

static int is_kept(const struct copy *c, uint32_t key)
{
	const char *name = profile_string(c->from, key, NULL);

	for (size_t i = 0; c->keep && c->keep[i]; i++)
		if (strcmp(c->keep[i], name) == 0)
			return 1;
	return 0;
}

static int copy_labels(struct copy *c, uint32_t i, uint32_t *ret)
{
	struct profile_label kept[PROFILE_LABELS_MAX];
	size_t n, n_kept = 0;
	const struct profile_label *labels = profile_label_set(c->from, i, &n);

	for (size_t k = 0; k < n && n_kept < PROFILE_LABELS_MAX; k++) {
		struct profile_label l = labels[k];
		uint32_t value;
		int r;

		if (!is_kept(c, l.key))
			continue;
		r = copy_entity(c, STRING, l.key, &l.key);
		if (r >= 0 && l.unit == PROFILE_NONE) {
			r = copy_entity(c, STRING, (uint32_t)l.value, &value);
			l.value = value;
		} else if (r >= 0) {
			r = copy_entity(c, STRING, l.unit, &l.unit);
		}
		if (r < 0)
			return r;
		kept[n_kept++] = l;
	}
	return profile_add_label_set(c->to, kept, n_kept, ret);
}

static int copy_entity(struct copy *c, enum entity kind, uint32_t i, uint32_t *ret)
{
	static int (*const copiers[ENTITIES])(struct copy *, uint32_t, uint32_t *) = {
		[STRING] = copy_string,
		[MAPPING] = copy_mapping,
		[FUNCTION] = copy_function,
		[LOCATION] = copy_location,
		[STACK] = copy_stack,
		[LABELS] = copy_labels,
	};
	uint32_t to;
	int r;

	if (!c->index[kind][i]) {
		r = copiers[kind](c, i, &to);
		if (r < 0)
			return r;
		c->index[kind][i] = to + 1;
	}
	*ret = c->index[kind][i] - 1;
	return 0;
}

static int copy_header(struct copy *c)
{
	struct profile_header h = *profile_header_const(c->from);
	int r;

	for (uint32_t i = 0; i < h.n_sample_types; i++) {
		r = translate(c, STRING, (uint32_t *[]){ &h.sample_types[i].type, &h.sample_types[i].unit }, 2);
		if (r < 0)
			return r;
	}
	r = translate(c, STRING,
	        (uint32_t *[]){ &h.period_type.type, &h.period_type.unit, &h.default_sample_type, &h.drop_frames,
	                &h.keep_frames, &h.doc_url },
	        6);
	if (r < 0)
		return r;
	*profile_header(c->to) = h;
	for (uint32_t i = 0; i < profile_n_comments(c->from); i++) {
		r = profile_add_comment(c->to, profile_comment(c->from, i));
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_all(struct copy *c, const uint32_t *samples, uint32_t n)
{
	const uint32_t counts[ENTITIES] = {
		[STRING] = profile_n_strings(c->from),
		[MAPPING] = profile_n_mappings(c->from),
		[FUNCTION] = profile_n_functions(c->from),
		[LOCATION] = profile_n_locations(c->from),
		[STACK] = profile_n_stacks(c->from),
		[LABELS] = profile_n_label_sets(c->from),
	};
	int r;

	for (size_t i = 0; i < ENTITIES; i++) {
		c->index[i] = calloc((size_t)counts[i] + 1, sizeof(uint32_t));
		if (!c->index[i])
			return -ENOMEM;
	}
	r = copy_header(c);
	for (uint32_t i = 0; i < n && r >= 0; i++) {
		const struct profile_sample *s = profile_sample(c->from, samples[i]);
		uint32_t stack, labels;

		r = copy_entity(c, STACK, s->stack, &stack);
		if (r >= 0)
			r = copy_entity(c, LABELS, s->labels, &labels);
		if (r >= 0)
			r = profile_add_sample(c->to, stack, labels, profile_values_const(c->from, samples[i]), NULL);
	}
	return r;
}

int subset_make(
        const struct profile *p, const uint32_t *samples, uint32_t n, const char *const *keep, struct profile **ret)
{
	_cleanup_(profile_freep) struct profile *to = NULL;
	struct copy c = { .from = p, .keep = keep };
	int r;

	assert(ret);

	r = profile_new(NULL, &to);
	if (r < 0)
		return r;
	c.to = to;
	r = copy_all(&c, samples, n);
	copy_done(&c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(to);
	return 0;
}
