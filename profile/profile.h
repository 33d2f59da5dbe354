/* The profile model: what a pprof file says, as plain arrays of interned entities. Building, reading, merging and
 * answering queries are the same act here: put an entity in, get a small number back; equal entities get equal numbers.
 *
 * Every entity is known by an index that counts from 0 in order of first sight. String 0 is "". The arrays may move
 * when something is added, so keep indices, not pointers. No I/O, no logging, no globals. One thread.
 *
 * Meaning of the fields: https://github.com/google/pprof/blob/main/proto/profile.proto */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct profile;

/* What a reader has to say about bad input, for one line of log: "sample 17: location 99 does not exist". Functions
 * that take one accept NULL and touch it only on failure. */
struct profile_error {
	char text[160];
};

#define PROFILE_SAMPLE_TYPES_MAX 8
#define PROFILE_STACK_DEPTH_MAX 1024 /* locations a sample, leaf first; deeper input is -E2BIG */
#define PROFILE_LABELS_MAX 64        /* labels a sample */
#define PROFILE_LINES_MAX 256        /* lines (inlined frames) a location */
#define PROFILE_COMMENTS_MAX 1024
#define PROFILE_NONE UINT32_MAX

struct profile_value_type {
	uint32_t type, unit; /* strings: "cpu", "nanoseconds" */
};

struct profile_mapping {
	uint64_t start, limit, offset; /* start..limit of the code in memory or in the file's own addresses */
	uint32_t filename, build_id;   /* strings; the build ID in lower-case hex, or "" */
	uint32_t flags;                /* PROFILE_MAPPING_* */
};

enum {
	PROFILE_MAPPING_HAS_FUNCTIONS = 1 << 0,
	PROFILE_MAPPING_HAS_FILENAMES = 1 << 1,
	PROFILE_MAPPING_HAS_LINE_NUMBERS = 1 << 2,
	PROFILE_MAPPING_HAS_INLINE_FRAMES = 1 << 3,
};

struct profile_function {
	uint32_t name, system_name, filename; /* strings; the name is demangled */
	uint32_t padding;
	int64_t start_line;
};

struct profile_line {
	uint32_t function;
	uint32_t column;
	int64_t line;
};

/* As given to and got from profile_add_location(); lines[0] is the innermost inlined frame, as pprof has it. */
struct profile_location {
	uint64_t address;
	uint32_t mapping; /* PROFILE_NONE for none */
	uint32_t n_lines;
	uint32_t is_folded;
	uint32_t padding;
	const struct profile_line *lines; /* borrowed on adding; valid until the next add on getting */
};

/* A string label where unit == PROFILE_NONE, else a number with that unit (string; "" for none). */
struct profile_label {
	uint32_t key;
	uint32_t unit;
	int64_t value; /* string index, or the number */
};

/* One row of the result: equal (stack, labels) are one sample, their values added (saturating). */
struct profile_sample {
	uint32_t stack;  /* profile_stack() */
	uint32_t labels; /* profile_label_set() */
};

/* Limits hold for all that is ever put in; going over one is -ENOSPC and changes nothing. */
struct profile_limits {
	uint64_t bytes_max; /* of all that the profile holds in memory */
};
#define PROFILE_LIMITS_DEFAULT ((struct profile_limits){ .bytes_max = 1ull << 30 })

int profile_new(const struct profile_limits *limits, struct profile **ret);
struct profile *profile_free(struct profile *p);
DEFINE_CLEANUP(struct profile *, profile_free)

/* Facts of the whole profile: plain fields, read and written freely; but the number of sample types is fixed by the
 * first sample. */
struct profile_header {
	uint32_t n_sample_types;
	uint32_t default_sample_type; /* string, 0 for none */
	struct profile_value_type sample_types[PROFILE_SAMPLE_TYPES_MAX];
	struct profile_value_type period_type;
	int64_t period;
	int64_t time_ns, duration_ns;
	uint32_t drop_frames, keep_frames, doc_url; /* strings */
};
struct profile_header *profile_header(struct profile *p);
const struct profile_header *profile_header_const(const struct profile *p);

/* Put in, get an index. 0 on success, -ENOSPC, -ENOMEM, -E2BIG; -EINVAL where an index given does not exist. */
int profile_add_string(struct profile *p, const char *s, size_t size, uint32_t *ret);
int profile_add_cstring(struct profile *p, const char *s, uint32_t *ret); /* NUL-terminated */
/* Many at once, faster than one by one. On failure those before the one that failed are in. */
struct profile_text {
	const char *data;
	size_t size;
};
int profile_add_strings(struct profile *p, const struct profile_text *texts, size_t n, uint32_t *ret);
int profile_add_functions(struct profile *p, const struct profile_function *functions, size_t n, uint32_t *ret);
int profile_add_locations(struct profile *p, const struct profile_location *list, size_t n, uint32_t *ret);
/* locations: those of the first stack, depths[0] of them, then those of the second... */
int profile_add_stacks(struct profile *p, const uint32_t *locations, const uint32_t *depths, size_t n, uint32_t *ret);

int profile_add_mapping(struct profile *p, const struct profile_mapping *m, uint32_t *ret);
int profile_add_function(struct profile *p, const struct profile_function *f, uint32_t *ret);
int profile_add_location(struct profile *p, const struct profile_location *l, uint32_t *ret);
int profile_add_stack(struct profile *p, const uint32_t *locations, size_t n, uint32_t *ret); /* leaf first */
/* Order does not matter: sets are kept sorted by key. */
int profile_add_label_set(struct profile *p, const struct profile_label *labels, size_t n, uint32_t *ret);
/* Adds values (n_sample_types of them) to the sample (stack, labels). ret_sample may be NULL. */
int profile_add_sample(struct profile *p, uint32_t stack, uint32_t labels, const int64_t *values, uint32_t *ret_sample);
/* Many at once, faster than one by one; values: those of the first sample, then those of the second... On failure those
 * before the one that failed are in. */
int profile_add_samples(struct profile *p, const struct profile_sample *samples, const int64_t *values, size_t n);
/* A comment is free text; the ledger is made of comments "emberd.NAME=NUMBER" (profile/ledger.h). */
int profile_add_comment(struct profile *p, const char *text);
int profile_set_comment(struct profile *p, uint32_t i, const char *text);

/* Room for n more samples, so that the next n profile_add_sample() with known stacks and labels cannot fail. */
int profile_reserve_samples(struct profile *p, uint32_t n);

/* A place to go back to: profile_rollback() takes away every entity added since (not values added to older samples). */
struct profile_mark {
	uint32_t strings, mappings, functions, locations, stacks, label_sets, samples;
};
struct profile_mark profile_mark(const struct profile *p);
void profile_rollback(struct profile *p, const struct profile_mark *mark);

/* Look-ups. Counts are one past the last index. */
uint32_t profile_n_strings(const struct profile *p);
uint32_t profile_n_mappings(const struct profile *p);
uint32_t profile_n_functions(const struct profile *p);
uint32_t profile_n_locations(const struct profile *p);
uint32_t profile_n_stacks(const struct profile *p);
uint32_t profile_n_label_sets(const struct profile *p);
uint32_t profile_n_samples(const struct profile *p);
uint32_t profile_n_comments(const struct profile *p);

const char *profile_string(
        const struct profile *p, uint32_t i, size_t *ret_size); /* NUL-terminated; size may be NULL */
const struct profile_mapping *profile_mapping(const struct profile *p, uint32_t i);
const struct profile_function *profile_function(const struct profile *p, uint32_t i);
struct profile_location profile_location(const struct profile *p, uint32_t i);
const uint32_t *profile_stack(const struct profile *p, uint32_t i, size_t *ret_n);
const struct profile_label *profile_label_set(const struct profile *p, uint32_t i, size_t *ret_n);
const struct profile_sample *profile_sample(const struct profile *p, uint32_t i);
int64_t *profile_values(struct profile *p, uint32_t sample); /* n_sample_types of them */
const int64_t *profile_values_const(const struct profile *p, uint32_t sample);
const char *profile_comment(const struct profile *p, uint32_t i);

/* Sum of one value over all samples. */
int64_t profile_total(const struct profile *p, uint32_t value_index);
/* Index of the sample type called name; -ENOENT. */
int profile_find_sample_type(const struct profile *p, const char *name, uint32_t *ret);
/* The sample type that is shown where none is asked for: default_sample_type, else the last, as pprof has it; where all
 * of that is 0 (nothing is in use any more), the next one before it with anything. */
uint32_t profile_default_value(const struct profile *p);
uint64_t profile_bytes(const struct profile *p);      /* memory held */
uint64_t profile_bytes_left(const struct profile *p); /* until the limit */
/* Index of a string that is there; -ENOENT. Adds nothing. */
int profile_find_string(const struct profile *p, const char *s, uint32_t *ret);
