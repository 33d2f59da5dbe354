#include "profile/merge.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "profile/ledger.h"
#include "profile/sum.h"

/* ---- headers ---- */

void merge_header(struct profile_header *to, const struct profile_header *from)
{
	if (to->n_sample_types == 0) {
		to->n_sample_types = from->n_sample_types;
		memcpy(to->sample_types, from->sample_types, sizeof(to->sample_types));
	}
	if (!to->period_type.type && !to->period_type.unit)
		to->period_type = from->period_type;
	to->period = MAX(to->period, from->period);
	if (from->time_ns && (!to->time_ns || from->time_ns < to->time_ns))
		to->time_ns = from->time_ns;
	to->duration_ns = sum_saturating(to->duration_ns, from->duration_ns);
	to->default_sample_type = to->default_sample_type ? to->default_sample_type : from->default_sample_type;
	to->drop_frames = to->drop_frames ? to->drop_frames : from->drop_frames;
	to->keep_frames = to->keep_frames ? to->keep_frames : from->keep_frames;
	to->doc_url = to->doc_url ? to->doc_url : from->doc_url;
}

int merge_match_types(const struct profile *dst, const struct profile_header *from,
        uint32_t ret_value_to[PROFILE_SAMPLE_TYPES_MAX], struct profile_error *error)
{
	const struct profile_header *to = profile_header_const(dst);
	uint32_t taken = 0;

	if (to->n_sample_types == 0)
		to = from;
	for (uint32_t i = 0; i < from->n_sample_types; i++) {
		const struct profile_value_type *t = &from->sample_types[i];
		uint32_t k = 0;

		while (k < to->n_sample_types && ((taken & 1u << k) || to->sample_types[k].type != t->type ||
		                                         to->sample_types[k].unit != t->unit))
			k++;
		if (k == to->n_sample_types) {
			if (error)
				(void)snprintf(error->text, sizeof(error->text),
				        "sample type %.50s/%.50s does not belong here",
				        profile_string(dst, t->type, NULL), profile_string(dst, t->unit, NULL));
			return -EINVAL;
		}
		taken |= 1u << k;
		ret_value_to[i] = k;
	}
	if (to->n_sample_types != from->n_sample_types) {
		if (error)
			(void)snprintf(error->text, sizeof(error->text), "%u sample types where %u are expected",
			        from->n_sample_types, to->n_sample_types);
		return -EINVAL;
	}
	return 0;
}

/* ---- one into the other ---- */

struct merger {
	struct profile *dst;
	const struct profile *src;
	struct merge_options options;
	/* src's indices to dst's, PROFILE_NONE until used; one block of memory */
	uint32_t *strings, *mappings, *functions, *locations, *stacks, *sets;
	uint32_t *wanted; /* label sets: 0 not asked, 1 wanted, 2 not */
	uint32_t *hidden; /* functions: likewise */
	uint32_t value_to[PROFILE_SAMPLE_TYPES_MAX];
	struct profile_header header; /* src's in dst's strings */
};

#define GONE (PROFILE_NONE - 1)    /* a location whose lines are all hidden */
#define WAITING (PROFILE_NONE - 1) /* a stack that is on its way */
#define MERGE_BATCH 64             /* what goes into dst together: faster than one by one */

static void merger_done(struct merger *m)
{
	free(m->strings);
}

static int merger_new(struct merger *m)
{
	const struct profile *s = m->src;
	const struct {
		uint32_t **array;
		uint32_t n;
		int fill;
	} arrays[] = {
		{ &m->strings, profile_n_strings(s), 0xff },
		{ &m->mappings, profile_n_mappings(s), 0xff },
		{ &m->functions, profile_n_functions(s), 0xff },
		{ &m->locations, profile_n_locations(s), 0xff },
		{ &m->stacks, profile_n_stacks(s), 0xff },
		{ &m->sets, profile_n_label_sets(s), 0xff },
		{ &m->wanted, profile_n_label_sets(s), 0 },
		{ &m->hidden, profile_n_functions(s), 0 },
	};
	size_t total = 0;
	uint32_t *memory;

	for (size_t i = 0; i < ARRAY_SIZE(arrays); i++)
		total += arrays[i].n;
	memory = malloc(total * sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(arrays); i++) {
		memset(memory, arrays[i].fill, arrays[i].n * sizeof(*memory));
		*arrays[i].array = memory;
		memory += arrays[i].n;
	}
	return 0;
}

static int map_string(struct merger *m, uint32_t i, uint32_t *ret)
{
	const char *text;
	size_t n;
	int r = 0;

	if (m->strings[i] == PROFILE_NONE) {
		text = profile_string(m->src, i, &n);
		r = profile_add_string(m->dst, text, n, &m->strings[i]);
	}
	*ret = m->strings[i];
	return r;
}

static int map_mapping(struct merger *m, uint32_t i, uint32_t *ret)
{
	struct profile_mapping copy;
	int r = 0;

	if (m->mappings[i] == PROFILE_NONE) {
		copy = *profile_mapping(m->src, i);
		r = map_string(m, copy.filename, &copy.filename);
		if (r >= 0)
			r = map_string(m, copy.build_id, &copy.build_id);
		if (r >= 0)
			r = profile_add_mapping(m->dst, &copy, &m->mappings[i]);
	}
	*ret = m->mappings[i];
	return r;
}

static int map_function(struct merger *m, uint32_t i, uint32_t *ret)
{
	struct profile_function copy;
	int r = 0;

	if (m->functions[i] == PROFILE_NONE) {
		copy = *profile_function(m->src, i);
		r = map_string(m, copy.name, &copy.name);
		if (r >= 0)
			r = map_string(m, copy.system_name, &copy.system_name);
		if (r >= 0)
			r = map_string(m, copy.filename, &copy.filename);
		if (r >= 0)
			r = profile_add_function(m->dst, &copy, &m->functions[i]);
	}
	*ret = m->functions[i];
	return r;
}

static bool is_hidden(struct merger *m, uint32_t function)
{
	if (!m->options.hide)
		return false;
	if (!m->hidden[function])
		m->hidden[function] = m->options.hide(m->options.userdata, m->src, function) ? 2 : 1;
	return m->hidden[function] == 2;
}

static int add_location(struct merger *m, uint32_t i)
{
	struct profile_location l = profile_location(m->src, i);
	struct profile_line lines[PROFILE_LINES_MAX];
	uint32_t n = 0;
	int r = 0;

	for (uint32_t k = 0; k < l.n_lines; k++) {
		if (is_hidden(m, l.lines[k].function))
			continue;
		lines[n] = l.lines[k];
		r = map_function(m, lines[n].function, &lines[n].function);
		if (r < 0)
			return r;
		n++;
	}
	if (l.n_lines && !n) {
		m->locations[i] = GONE;
		return 0;
	}
	l.lines = lines;
	l.n_lines = n;
	if (l.mapping != PROFILE_NONE)
		r = map_mapping(m, l.mapping, &l.mapping);
	return r < 0 ? r : profile_add_location(m->dst, &l, &m->locations[i]);
}

/* Stacks on their way into dst. */
struct stacks {
	uint32_t n, n_locations;
	uint32_t indices[MERGE_BATCH]; /* src's */
	uint32_t depths[MERGE_BATCH];
	uint32_t locations[4 * PROFILE_STACK_DEPTH_MAX];
};

static int flush_stacks(struct merger *m, struct stacks *w)
{
	uint32_t indices[MERGE_BATCH];
	int r = profile_add_stacks(m->dst, w->locations, w->depths, w->n, indices);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < w->n; i++)
		m->stacks[w->indices[i]] = indices[i];
	w->n = w->n_locations = 0;
	return 0;
}

static int map_stack(struct merger *m, uint32_t i, struct stacks *w)
{
	uint32_t *const locations = w->locations + w->n_locations, kept = 0;
	const uint32_t *from;
	size_t n;
	int r;

	if (m->stacks[i] != PROFILE_NONE)
		return 0;
	from = profile_stack(m->src, i, &n);
	for (size_t k = 0; k < n && !m->options.no_stacks; k++) {
		if (m->locations[from[k]] == PROFILE_NONE) {
			r = add_location(m, from[k]);
			if (r < 0)
				return r;
		}
		if (m->locations[from[k]] != GONE)
			locations[kept++] = m->locations[from[k]];
	}
	m->stacks[i] = WAITING;
	w->indices[w->n] = i;
	w->depths[w->n++] = kept;
	w->n_locations += kept;
	if (w->n < MERGE_BATCH && w->n_locations + PROFILE_STACK_DEPTH_MAX <= ARRAY_SIZE(w->locations))
		return 0;
	return flush_stacks(m, w);
}

bool merge_drops(const char *const *drop_labels, const char *key)
{
	for (const char *const *drop = drop_labels; drop && *drop; drop++)
		if (strcmp(*drop, key) == 0)
			return true;
	return false;
}

static int map_label(struct merger *m, struct profile_label *l)
{
	uint32_t text;
	int r = map_string(m, l->key, &l->key);

	if (r < 0)
		return r;
	if (l->unit != PROFILE_NONE)
		return map_string(m, l->unit, &l->unit);
	r = map_string(m, (uint32_t)l->value, &text);
	l->value = text;
	return r;
}

static int map_set(struct merger *m, uint32_t i)
{
	struct profile_label labels[PROFILE_LABELS_MAX];
	const struct profile_label *from;
	size_t n, kept = 0;
	int r;

	if (m->wanted[i])
		return 0;
	from = profile_label_set(m->src, i, &n);
	m->wanted[i] = m->options.want && !m->options.want(m->options.userdata, m->src, from, n) ? 2 : 1;
	if (m->wanted[i] == 2)
		return 0;
	for (size_t k = 0; k < n; k++) {
		if (merge_drops(m->options.drop_labels, profile_string(m->src, from[k].key, NULL)))
			continue;
		labels[kept] = from[k];
		r = map_label(m, &labels[kept++]);
		if (r < 0)
			return r;
	}
	return profile_add_label_set(m->dst, labels, kept, &m->sets[i]);
}

static int map_header(struct merger *m)
{
	struct profile_header *h = &m->header;
	uint32_t *const strings[] = { &h->period_type.type, &h->period_type.unit, &h->default_sample_type,
		&h->drop_frames, &h->keep_frames, &h->doc_url };
	int r;

	*h = *profile_header_const(m->src);
	if (m->options.value != MERGE_ALL_VALUES) {
		if (m->options.value >= h->n_sample_types)
			return -EINVAL;
		h->sample_types[0] = h->sample_types[m->options.value];
		h->default_sample_type = h->sample_types[0].type;
		h->n_sample_types = 1;
	}
	for (uint32_t i = 0; i < h->n_sample_types; i++) {
		r = map_string(m, h->sample_types[i].type, &h->sample_types[i].type);
		if (r >= 0)
			r = map_string(m, h->sample_types[i].unit, &h->sample_types[i].unit);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		r = map_string(m, *strings[i], strings[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int map_samples(struct merger *m, uint32_t *ret_n)
{
	struct stacks waiting;
	uint32_t n = 0;

	waiting.n = waiting.n_locations = 0;
	for (uint32_t i = 0; i < profile_n_samples(m->src); i++) {
		const struct profile_sample *s = profile_sample(m->src, i);
		int r = map_set(m, s->labels);

		if (r >= 0 && m->wanted[s->labels] == 1) {
			r = map_stack(m, s->stack, &waiting);
			n++;
		}
		if (r < 0)
			return r;
	}
	*ret_n = n;
	return flush_stacks(m, &waiting);
}

/* Room was reserved and all that they refer to is there, so this cannot fail. */
static void flush_samples(struct merger *m, const struct profile_sample *samples, const int64_t *values, size_t n)
{
	int r = profile_add_samples(m->dst, samples, values, n);

	assert(r >= 0);
}

static void add_samples(struct merger *m)
{
	const uint32_t first = m->options.value == MERGE_ALL_VALUES ? 0 : m->options.value;
	const uint32_t n_values = m->header.n_sample_types;
	int64_t values[MERGE_BATCH * PROFILE_SAMPLE_TYPES_MAX];
	struct profile_sample samples[MERGE_BATCH];
	size_t n = 0;

	for (uint32_t i = 0; i < profile_n_samples(m->src); i++) {
		const struct profile_sample *s = profile_sample(m->src, i);
		const int64_t *from = profile_values_const(m->src, i) + first;

		if (m->wanted[s->labels] != 1)
			continue;
		for (uint32_t k = 0; k < n_values; k++)
			values[n * n_values + m->value_to[k]] = from[k];
		samples[n++] = (struct profile_sample){ m->stacks[s->stack], m->sets[s->labels] };
		if (n == MERGE_BATCH) {
			flush_samples(m, samples, values, n);
			n = 0;
		}
	}
	flush_samples(m, samples, values, n);
}

static int merge_all(struct merger *m, struct profile_error *error)
{
	const struct profile_header before = *profile_header(m->dst);
	uint32_t n;
	int r = map_header(m);

	if (r >= 0)
		r = merge_match_types(m->dst, &m->header, m->value_to, error);
	if (r >= 0)
		r = map_samples(m, &n);
	if (r < 0)
		return r;
	merge_header(profile_header(m->dst), &m->header);
	r = profile_reserve_samples(m->dst, n);
	if (r >= 0)
		r = ledger_merge(m->dst, m->src);
	if (r < 0) {
		*profile_header(m->dst) = before;
		return r;
	}
	add_samples(m);
	return 0;
}

int profile_merge(struct profile *dst, const struct profile *src, const struct merge_options *options,
        struct profile_error *error)
{
	_cleanup_(merger_done) struct merger m = { .dst = dst, .src = src };
	const struct profile_mark mark = profile_mark(dst);
	int r;

	assert(dst != src);

	m.options = options ? *options : MERGE_OPTIONS_DEFAULT;
	if (error)
		(void)snprintf(error->text, sizeof(error->text), "the limit of memory is reached");
	r = merger_new(&m);
	if (r >= 0)
		r = merge_all(&m, error);
	if (r < 0)
		profile_rollback(dst, &mark);
	return r;
}

int merge_map_samples(
        struct profile *dst, const struct profile *src, const struct merge_options *options, struct profile_sample *ret)
{
	_cleanup_(merger_done) struct merger m = { .dst = dst, .src = src };
	const struct profile_mark mark = profile_mark(dst);
	uint32_t n;
	int r;

	m.options = options ? *options : MERGE_OPTIONS_DEFAULT;
	r = merger_new(&m);
	if (r >= 0)
		r = map_samples(&m, &n);
	if (r < 0) {
		profile_rollback(dst, &mark);
		return r;
	}
	for (uint32_t i = 0; i < profile_n_samples(src); i++) {
		const struct profile_sample *s = profile_sample(src, i);

		ret[i] = m.wanted[s->labels] == 1 ? (struct profile_sample){ m.stacks[s->stack], m.sets[s->labels] }
		                                  : (struct profile_sample){ PROFILE_NONE, PROFILE_NONE };
	}
	return 0;
}
