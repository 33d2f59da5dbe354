#include "profile/profile.h"

#include <assert.h>

#include "profile/profile_data.h"
#include "profile/sum.h"

/* ---- stacks and label sets: runs of fixed-size elements ---- */

struct run_owner {
	const struct span *spans;
	const char *elements;
	size_t size;
};

static bool run_equal(const void *owner, uint32_t i, const void *key)
{
	const struct run_owner *o = owner;
	const struct bytes_key *k = key;
	const struct span *s = &o->spans[i];

	return s->n * o->size == k->size &&
	       (k->size == 0 || memcmp(o->elements + s->first * o->size, k->data, k->size) == 0);
}

__attribute__((always_inline)) static inline int add_run(struct profile *p, struct pool *spans, struct pool *elements,
        struct table *table, const void *data, size_t n, size_t size, uint32_t hash, uint32_t *ret)
{
	const struct run_owner owner = { (const struct span *)(const void *)spans->data, elements->data, size };
	const struct bytes_key key = { data, n * size };
	uint32_t i;
	int r;

	i = table_find(table, hash, run_equal, &owner, &key);
	if (i != TABLE_NONE) {
		*ret = i;
		return 0;
	}
	if (elements->size / size + n >= UINT32_MAX)
		return -ENOSPC;
	r = profile_table_reserve(p, table, 1);
	if (r >= 0)
		r = profile_pool_reserve(p, elements, key.size);
	if (r >= 0)
		r = profile_pool_reserve(p, spans, sizeof(struct span));
	if (r < 0)
		return r;
	i = POOL_COUNT(*spans, struct span);
	*(struct span *)pool_take(spans, sizeof(struct span)) =
	        (struct span){ .first = (uint32_t)(elements->size / size), .n = (uint32_t)n };
	pool_push(elements, data, key.size);
	table_insert(table, hash, i);
	*ret = i;
	return 0;
}

static int stack_check(const struct profile *p, const uint32_t *locations, size_t n)
{
	const uint32_t n_locations = profile_n_locations(p);
	uint32_t is_bad = 0;

	if (n > PROFILE_STACK_DEPTH_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n; i++) /* no early end: so it is done four at a time */
		is_bad |= locations[i] >= n_locations;
	return is_bad ? -EINVAL : 0;
}

static int add_hashed_stack(struct profile *p, const uint32_t *locations, size_t n, uint32_t hash, uint32_t *ret)
{
	return add_run(
	        p, &p->stacks, &p->stack_locations, &p->stack_table, locations, n, sizeof(*locations), hash, ret);
}

int profile_add_stack(struct profile *p, const uint32_t *locations, size_t n, uint32_t *ret)
{
	int r = stack_check(p, locations, n);

	return r < 0 ? r : add_hashed_stack(p, locations, n, bytes_hash(p, locations, n * sizeof(*locations)), ret);
}

int profile_add_stacks(struct profile *p, const uint32_t *locations, const uint32_t *depths, size_t n, uint32_t *ret)
{
	for (size_t first = 0; first < n; first += BATCH) {
		const size_t end = MIN(n, first + BATCH);
		const uint32_t *at = locations;
		uint32_t hashes[BATCH], guesses[BATCH];

		for (size_t i = first; i < end; at += depths[i++]) {
			int r = stack_check(p, at, depths[i]);

			if (r < 0)
				return r;
			hashes[i - first] = bytes_hash(p, at, depths[i] * sizeof(*at));
			table_prefetch(&p->stack_table, hashes[i - first]);
		}
		for (size_t i = first; i < end; i++) {
			guesses[i - first] = table_guess(&p->stack_table, hashes[i - first]);
			if (guesses[i - first] != TABLE_NONE)
				__builtin_prefetch(&POOL_AT(p->stacks, struct span)[guesses[i - first]]);
		}
		for (size_t i = first; i < end; i++)
			if (guesses[i - first] != TABLE_NONE)
				__builtin_prefetch(
				        p->stack_locations.data +
				        POOL_AT(p->stacks, struct span)[guesses[i - first]].first * sizeof(uint32_t));
		for (size_t i = first; i < end; locations += depths[i++]) {
			int r = add_hashed_stack(p, locations, depths[i], hashes[i - first], &ret[i]);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static bool label_before(const struct profile_label *a, const struct profile_label *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (a->unit != b->unit)
		return a->unit < b->unit;
	return a->value < b->value;
}

int profile_add_label_set(struct profile *p, const struct profile_label *labels, size_t n, uint32_t *ret)
{
	struct profile_label sorted[PROFILE_LABELS_MAX];
	uint32_t n_strings = profile_n_strings(p);

	if (n > PROFILE_LABELS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n; i++) {
		const struct profile_label *l = &labels[i];
		size_t at = i;

		if (l->key >= n_strings || (l->unit != PROFILE_NONE && l->unit >= n_strings) ||
		        (l->unit == PROFILE_NONE && (l->value < 0 || l->value >= n_strings)))
			return -EINVAL;
		for (; at > 0 && label_before(l, &sorted[at - 1]); at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = *l;
	}
	return add_run(p, &p->label_sets, &p->labels, &p->label_table, sorted, n, sizeof(*sorted),
	        bytes_hash(p, sorted, n * sizeof(*sorted)), ret);
}

/* ---- samples ---- */

static bool sample_equal(const void *owner, uint32_t i, const void *key)
{
	const struct profile *p = owner;
	const struct profile_sample *a = &POOL_AT(p->samples, struct profile_sample)[i], *b = key;

	return a->stack == b->stack && a->labels == b->labels;
}

int profile_reserve_samples(struct profile *p, uint32_t n)
{
	const size_t n_types = p->stride ? p->stride : p->header.n_sample_types;
	int r = profile_table_reserve(p, &p->sample_table, n);

	if (r >= 0)
		r = profile_pool_reserve(p, &p->samples, n * sizeof(struct profile_sample));
	if (r >= 0)
		r = profile_pool_reserve(p, &p->values, n * n_types * sizeof(int64_t));
	return r;
}

static int sample_check(struct profile *p, const struct profile_sample *key)
{
	assert(p->header.n_sample_types <= PROFILE_SAMPLE_TYPES_MAX);
	if (key->stack >= profile_n_stacks(p) || key->labels >= profile_n_label_sets(p))
		return -EINVAL;
	if (!p->stride)
		p->stride = p->header.n_sample_types;
	return p->stride == 0 || p->stride != p->header.n_sample_types ? -EINVAL : 0;
}

static int add_hashed_sample(
        struct profile *p, const struct profile_sample *key, uint32_t hash, const int64_t *values, uint32_t *ret)
{
	uint32_t i = table_find(&p->sample_table, hash, sample_equal, p, key);
	int r;

	if (i == TABLE_NONE) {
		r = profile_reserve_samples(p, 1);
		if (r < 0)
			return r;
		i = profile_n_samples(p);
		pool_push(&p->samples, key, sizeof(*key));
		pool_push(&p->values, values, p->stride * sizeof(*values));
		table_insert(&p->sample_table, hash, i);
	} else {
		int64_t *sum = profile_values(p, i);

		for (uint32_t k = 0; k < p->stride; k++)
			sum[k] = sum_saturating(sum[k], values[k]);
	}
	*ret = i;
	return 0;
}

int profile_add_sample(struct profile *p, uint32_t stack, uint32_t labels, const int64_t *values, uint32_t *ret_sample)
{
	const struct profile_sample key = { stack, labels };
	uint32_t i;
	int r = sample_check(p, &key);

	if (r >= 0)
		r = add_hashed_sample(p, &key, bytes_hash(p, &key, sizeof(key)), values, &i);
	if (r >= 0 && ret_sample)
		*ret_sample = i;
	return r;
}

int profile_add_samples(struct profile *p, const struct profile_sample *samples, const int64_t *values, size_t n)
{
	for (size_t first = 0; first < n; first += BATCH) {
		const size_t end = MIN(n, first + BATCH);
		uint32_t hashes[BATCH], ignored;

		for (size_t i = first; i < end; i++) {
			hashes[i - first] = bytes_hash(p, &samples[i], sizeof(*samples));
			table_prefetch(&p->sample_table, hashes[i - first]);
		}
		for (size_t i = first; i < end; i++) {
			uint32_t guess = table_guess(&p->sample_table, hashes[i - first]);

			if (guess == TABLE_NONE)
				continue;
			__builtin_prefetch(&POOL_AT(p->samples, struct profile_sample)[guess]);
			__builtin_prefetch(&POOL_AT(p->values, int64_t)[(size_t)guess * p->stride], 1);
		}
		for (size_t i = first; i < end; i++) {
			int r = sample_check(p, &samples[i]);

			if (r >= 0)
				r = add_hashed_sample(
				        p, &samples[i], hashes[i - first], values + i * p->stride, &ignored);
			if (r < 0)
				return r;
		}
	}
	return 0;
}
