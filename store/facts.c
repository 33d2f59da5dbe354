#include "store/facts.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "profile/merge.h"
#include "profile/window_labels.h"

const char *const facts_dropped_labels[] = { "tid", WINDOW_LABELS, NULL };

void facts_done(struct facts *f)
{
	free(f->totals);
	f->labels = intern_free(f->labels);
	*f = (struct facts){ 0 };
}

static int make_totals(const struct profile *p, char **ret)
{
	const struct profile_header *h = profile_header_const(p);
	_cleanup_buffer_ struct buffer b = BUFFER(64 << 10);
	char *text;

	for (uint32_t i = 0; i < h->n_sample_types; i++)
		(void)buffer_printf(&b, "%s%.200s/%.200s=%" PRId64, i ? " " : "",
		        profile_string(p, h->sample_types[i].type, NULL),
		        profile_string(p, h->sample_types[i].unit, NULL), profile_total(p, i));
	if (b.error)
		return b.error;
	text = buffer_take_string(&b);
	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}

/* Values already seen of each label name, by string index: names are few. */
struct counts {
	struct {
		uint32_t key, n;
	} of[PROFILE_LABELS_MAX * 4];
	size_t n;
};

static uint32_t *count_of(struct counts *c, uint32_t key)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->of[i].key == key)
			return &c->of[i].n;
	if (c->n == ARRAY_SIZE(c->of))
		return NULL;
	c->of[c->n].key = key;
	c->of[c->n].n = 0;
	return &c->of[c->n++].n;
}

static int put_label(struct intern *t, const struct profile *p, const struct profile_label *l, struct counts *counts)
{
	char entry[FACTS_VALUE_BYTES_MAX + 256];
	const char *key, *value;
	char number[24];
	size_t key_size, value_size;
	uint32_t id, *count;
	int r;

	key = profile_string(p, l->key, &key_size);
	if (merge_drops(facts_dropped_labels, key) || key_size >= 200 || memchr(key, 0, key_size))
		return 0;
	if (l->unit == PROFILE_NONE)
		value = profile_string(p, (uint32_t)l->value, &value_size);
	else {
		value_size = (size_t)snprintf(number, sizeof(number), "%" PRId64, l->value);
		value = number;
	}
	count = count_of(counts, l->key);
	if (!count)
		return -E2BIG;
	memcpy(entry, key, key_size + 1);
	if (value_size > FACTS_VALUE_BYTES_MAX || *count >= FACTS_VALUES_MAX) {
		r = intern_put(t, entry, key_size, &id);
		return r < 0 ? r : 0;
	}
	memcpy(entry + key_size + 1, value, value_size);
	r = intern_put(t, entry, key_size + 1 + value_size, &id);
	if (r > 0)
		(*count)++;
	return r < 0 ? r : 0;
}

int facts_make(const struct profile *p, struct facts *ret)
{
	_cleanup_(facts_done) struct facts f = { 0 };
	const struct profile_header *h = profile_header_const(p);
	struct counts counts = { .n = 0 };
	int r;

	assert(ret);

	f.start_ns = MAX(h->time_ns, (int64_t)0);
	if (h->duration_ns < 0 || __builtin_add_overflow(f.start_ns, h->duration_ns, &f.end_ns))
		f.end_ns = f.start_ns;
	f.n_samples = profile_n_samples(p);
	r = make_totals(p, &f.totals);
	if (r < 0)
		return r;
	r = intern_new(FACTS_LABELS_MAX, FACTS_BYTES_MAX, &f.labels);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < profile_n_label_sets(p); i++) {
		size_t n;
		const struct profile_label *l = profile_label_set(p, i, &n);

		for (size_t j = 0; j < n; j++) {
			r = put_label(f.labels, p, &l[j], &counts);
			if (r < 0)
				return r;
		}
	}
	*ret = f;
	f = (struct facts){ 0 };
	return 0;
}
