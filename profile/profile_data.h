/* What a profile is made of, for the files that put in (profile.c), take away (profile_rollback.c) and look up
 * (profile_get.c). */
#pragma once
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
