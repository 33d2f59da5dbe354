/* What a profile is made of, for the files that put in (profile.c, profile_samples.c), take away (profile_rollback.c)
 * and look up (profile_get.c). */
#pragma once
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "profile/profile.h"
#include "profile/table.h"

/* A growing array of bytes whose room counts against the profile's limit. */
struct pool {
	char *data;
	size_t size, room;
};

struct span { /* a run of elements in a pool */
	uint32_t first, n;
};

struct location {
	uint64_t address;
	uint32_t mapping, n_lines, is_folded, first_line;
};

struct profile {
	struct profile_header header;
	struct profile_limits limits;
	uint64_t bytes;
	uint64_t seed;   /* so that nobody can prepare text that meets in one slot */
	uint32_t stride; /* values a sample; 0 until the first sample */
	uint32_t n_comments;
	uint32_t next_string, next_function,
	        next_location; /* what is expected to be added next: the one after the last */
	char **comments;

	union {
		struct pool pools[12];
		struct {
			struct pool string_bytes, strings; /* char; struct span */
			struct pool mappings, functions;
			struct pool locations, lines;        /* struct location; struct profile_line */
			struct pool stacks, stack_locations; /* struct span; uint32_t */
			struct pool label_sets, labels;      /* struct span; struct profile_label */
			struct pool samples, values;         /* struct profile_sample; int64_t */
		};
	};
	union {
		struct table tables[7];
		struct {
			struct table string_table, mapping_table, function_table, location_table, stack_table,
			        label_table, sample_table;
		};
	};
};

#define POOL_AT(pool, type) ((type *)(void *)(pool).data)
#define POOL_COUNT(pool, type) ((uint32_t)((pool).size / sizeof(type)))

#define BATCH 32 /* look-ups that wait for memory together */

struct bytes_key { /* of a look-up */
	const void *data;
	size_t size;
};

static inline uint32_t bytes_hash(const struct profile *p, const void *data, size_t size)
{
	return table_hash(XXH3_64bits_withSeed(size ? data : "", size, p->seed));
}

/* Room for n more bytes or entries, counted against the limit: -ENOSPC, -ENOMEM. */
int profile_charge(struct profile *p, uint64_t bytes);
int profile_pool_reserve(struct profile *p, struct pool *pool, size_t n);
int profile_table_reserve(struct profile *p, struct table *t, uint32_t n);

/* Room must be there. */
static inline void *pool_take(struct pool *pool, size_t n)
{
	void *at = pool->data + pool->size;

	pool->size += n;
	return at;
}

static inline void pool_push(struct pool *pool, const void *data, size_t n)
{
	if (n)
		memcpy(pool_take(pool, n), data, n);
}
