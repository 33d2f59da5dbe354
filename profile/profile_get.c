#include "profile/profile_data.h"

#include <assert.h>
#include <string.h>

#define DEFINE_COUNT(pool, type)                                                                                       \
	uint32_t profile_n_##pool(const struct profile *p)                                                             \
	{                                                                                                              \
		return POOL_COUNT(p->pool, type);                                                                      \
	}

DEFINE_COUNT(strings, struct span)
DEFINE_COUNT(mappings, struct profile_mapping)
DEFINE_COUNT(functions, struct profile_function)
DEFINE_COUNT(locations, struct location)
DEFINE_COUNT(stacks, struct span)
DEFINE_COUNT(label_sets, struct span)
DEFINE_COUNT(samples, struct profile_sample)

uint32_t profile_n_comments(const struct profile *p)
{
	return p->n_comments;
}

const char *profile_string(const struct profile *p, uint32_t i, size_t *ret_size)
{
	const struct span *s = &POOL_AT(p->strings, struct span)[i];

	assert(i < profile_n_strings(p));
	if (ret_size)
		*ret_size = s->n;
	return p->string_bytes.data + s->first;
}

const struct profile_mapping *profile_mapping(const struct profile *p, uint32_t i)
{
	assert(i < profile_n_mappings(p));
	return &POOL_AT(p->mappings, struct profile_mapping)[i];
}

const struct profile_function *profile_function(const struct profile *p, uint32_t i)
{
	assert(i < profile_n_functions(p));
	return &POOL_AT(p->functions, struct profile_function)[i];
}

struct profile_location profile_location(const struct profile *p, uint32_t i)
{
	const struct location *l = &POOL_AT(p->locations, struct location)[i];

	assert(i < profile_n_locations(p));
	return (struct profile_location){
		.address = l->address,
		.mapping = l->mapping,
		.n_lines = l->n_lines,
		.is_folded = l->is_folded,
		.lines = l->n_lines ? &POOL_AT(p->lines, struct profile_line)[l->first_line] : NULL,
	};
}

const uint32_t *profile_stack(const struct profile *p, uint32_t i, size_t *ret_n)
{
	const struct span *s = &POOL_AT(p->stacks, struct span)[i];

	assert(i < profile_n_stacks(p));
	*ret_n = s->n;
	return s->n ? &POOL_AT(p->stack_locations, uint32_t)[s->first] : NULL;
}

const struct profile_label *profile_label_set(const struct profile *p, uint32_t i, size_t *ret_n)
{
	const struct span *s = &POOL_AT(p->label_sets, struct span)[i];

	assert(i < profile_n_label_sets(p));
	*ret_n = s->n;
	return s->n ? &POOL_AT(p->labels, struct profile_label)[s->first] : NULL;
}

const struct profile_sample *profile_sample(const struct profile *p, uint32_t i)
{
	assert(i < profile_n_samples(p));
	return &POOL_AT(p->samples, struct profile_sample)[i];
}

int64_t *profile_values(struct profile *p, uint32_t sample)
{
	assert(sample < profile_n_samples(p));
	return &POOL_AT(p->values, int64_t)[(size_t)sample * p->stride];
}

const int64_t *profile_values_const(const struct profile *p, uint32_t sample)
{
	assert(sample < profile_n_samples(p));
	return &POOL_AT(p->values, int64_t)[(size_t)sample * p->stride];
}

const char *profile_comment(const struct profile *p, uint32_t i)
{
	assert(i < p->n_comments);
	return p->comments[i];
}

int64_t profile_total(const struct profile *p, uint32_t value_index)
{
	__int128 sum = 0; /* 2^32 samples of 2^63 at most: it cannot overflow */

	for (uint32_t i = 0; i < profile_n_samples(p); i++)
		sum += profile_values_const(p, i)[value_index];
	return sum > INT64_MAX ? INT64_MAX : sum < INT64_MIN ? INT64_MIN : (int64_t)sum;
}

int profile_find_sample_type(const struct profile *p, const char *name, uint32_t *ret)
{
	for (uint32_t i = 0; i < p->header.n_sample_types; i++)
		if (strcmp(profile_string(p, p->header.sample_types[i].type, NULL), name) == 0) {
			*ret = i;
			return 0;
		}
	return -ENOENT;
}

static uint32_t named_default(const struct profile_header *h)
{
	for (uint32_t i = 0; h->default_sample_type && i < h->n_sample_types; i++)
		if (h->sample_types[i].type == h->default_sample_type)
			return i;
	return h->n_sample_types ? h->n_sample_types - 1 : 0;
}

uint32_t profile_default_value(const struct profile *p)
{
	uint32_t wanted = named_default(&p->header);

	for (uint32_t i = wanted; i < p->header.n_sample_types; i--)
		if (profile_total(p, i) != 0)
			return i;
	return wanted;
}

uint64_t profile_bytes(const struct profile *p)
{
	return p->bytes;
}

uint64_t profile_bytes_left(const struct profile *p)
{
	return p->limits.bytes_max - p->bytes;
}
