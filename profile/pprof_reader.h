/* One file on its way into a profile, for pprof_read.c (the message as a whole), pprof_entities.c (mappings, functions,
 * locations) and pprof_samples.c (labels, samples). */
#pragma once
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "profile/pprof.h"
#include "profile/pprof_wire.h"
#include "profile/table.h"

/* The file's ids to dst's indices: an array for the usual 1..n, a hash table for the rest. */
struct id_pair {
	uint64_t id;
	uint32_t index;
};

struct id_map {
	uint32_t *dense; /* [id - 1] */
	uint32_t n_dense;
	struct id_pair *pairs;
	uint32_t n_pairs, room_pairs;
	struct table table;
};

/* Label bytes that were seen, so that equal ones are parsed once. */
struct label_memo {
	uint32_t start, size;
	uint32_t set; /* PROFILE_NONE: not wanted */
};

#define READER_BATCH 64 /* entities handed to dst together */

struct reader {
	struct profile *dst;
	struct pprof_read_options options;
	struct profile_error *error;
	const char *kind; /* of what is being read, for error texts */
	uint32_t ordinal;

	struct cursor all;
	struct cursor part[PPROF_DOC_URL + 1]; /* from the first to past the last field of each number */
	uint32_t count[PPROF_DOC_URL + 1];
	uint64_t work; /* bytes of working memory */

	uint32_t *string_at; /* offset of each string's length */
	uint32_t *strings;   /* dst's index, PROFILE_NONE until used */
	struct id_map mappings, functions, locations;

	struct profile_header header; /* as the file has it, strings already dst's */
	uint32_t value_to[PROFILE_SAMPLE_TYPES_MAX];

	struct table memo_table;
	struct label_memo *memos;
	uint32_t n_memos, room_memos;
	uint64_t seed;

	struct profile_sample *samples; /* in dst's indices */
	int64_t *values;                /* n_sample_types each */
	size_t n_samples, room_samples;
	uint32_t empty_stack;
};

/* Puts the text, behind what is being read, into the caller's profile_error. Returns code. */
_printf_(3, 4) int reader_fail(struct reader *r, int code, const char *format, ...);
/* dst's own refusals in words; likewise a field of the wrong form. */
int reader_refuse(struct reader *r, int code);
int reader_malformed(struct reader *r);

/* Working memory, up to what dst's limit leaves. *memory is grown from old_bytes to bytes; a table by one entry. */
int reader_alloc(struct reader *r, void **memory, size_t old_bytes, size_t bytes);
int reader_grow_table(struct reader *r, struct table *t);

/* Names what is read from now on, for error texts. */
void reader_enter(struct reader *r, const char *kind);
/* The next field of that number as bytes: 1, or 0 at the end. */
static inline int reader_next(struct reader *r, struct cursor *c, uint32_t number, struct cursor *ret)
{
	struct field f;
	int e;

	while ((e = cursor_field(c, &f)) > 0)
		if (f.number == number) {
			r->ordinal++;
			*ret = f.bytes;
			return 1;
		}
	return e < 0 ? reader_malformed(r), -EBADMSG : 0;
}

/* String i of the file: its bytes, or dst's index of it. */
int reader_string_bytes(struct reader *r, uint64_t i, struct cursor *ret);
int reader_string_new(struct reader *r, uint64_t i, uint32_t *ret);

static inline int reader_string(struct reader *r, uint64_t i, uint32_t *ret)
{
	if (i >= r->count[PPROF_STRING_TABLE] || r->strings[i] == PROFILE_NONE)
		return reader_string_new(r, i, ret);
	*ret = r->strings[i];
	return 0;
}

int reader_entities(struct reader *r);
int reader_samples(struct reader *r);

static inline bool id_pair_equal(const void *owner, uint32_t i, const void *key)
{
	return ((const struct id_map *)owner)->pairs[i].id == *(const uint64_t *)key;
}

static inline uint32_t id_hash(const struct reader *r, uint64_t id)
{
	return table_hash(XXH3_64bits_withSeed(&id, sizeof(id), r->seed));
}

static inline uint32_t id_map_get(const struct reader *r, const struct id_map *m, uint64_t id)
{
	uint32_t i;

	if (id - 1 < m->n_dense)
		return m->dense[id - 1];
	i = table_find(&m->table, id_hash(r, id), id_pair_equal, m, &id);
	return i == TABLE_NONE ? PROFILE_NONE : m->pairs[i].index;
}
