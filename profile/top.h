/* Where the values of a profile are: flat (spent in it) and cum (in it and in what it called) by function, line, file,
 * process, thread, ... Recursion counts once in cum.
 *
 * For comparisons each row also carries the sum of squares of its samples' weights: with values V made of weighted
 * samples w, sum(w^2) estimates the variance of V where samples come independently (compound Poisson); with samples
 * that weigh 1 both are the count. A row of the profile with value v and count c is taken as c samples of weight v/c.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/frame.h"
#include "profile/profile.h"

struct top;

enum top_by {
	TOP_FUNCTION,
	TOP_LINE,
	TOP_FILE,
	TOP_PROCESS, /* labels comm and pid */
	TOP_THREAD,  /* labels thread and tid */
	TOP_COMM,
	TOP_EXE,
	TOP_UNIT,
	TOP_CONTAINER,
	TOP_HOST,
	TOP_BY_MAX,
};

enum top_sort {
	TOP_FLAT,
	TOP_CUM,
};

struct top_options {
	uint32_t value_index;
	enum top_by by;
	enum top_sort sort;
};

struct top_value {
	int64_t value, count;
	double squares; /* sum of squared weights, in the value's unit squared */
};

/* Sums stay at the ends of their range. */
void top_value_add(struct top_value *to, const struct top_value *v);

struct top_row {
	const char *key; /* tells rows apart, also between profiles; key_size bytes */
	size_t key_size;
	const char *name;           /* for people */
	const char *file, *mapping; /* "" where not known or not asked */
	int64_t line;               /* TOP_LINE: the line. TOP_FUNCTION: the function's line with most flat; 0: none */
	enum frame_kind kind;       /* FRAME_GROUP where rows are not code */
	struct top_value flat, cum;
};

/* Rows in the order asked for; equal ones by name. *ret belongs to the caller and borrows nothing from p.
 * -EINVAL: no such value index; -ENOMEM; -ENOSPC: too many rows. */
int top_build(const struct profile *p, const struct top_options *options, struct top **ret);
struct top *top_free(struct top *t);
DEFINE_CLEANUP(struct top *, top_free)

size_t top_n_rows(const struct top *t);
const struct top_row *top_row(const struct top *t, size_t i);
const struct top_value *top_total(const struct top *t);
/* How many rows, from the first, spent at least that share of the whole in themselves; of rows sorted by TOP_FLAT. */
size_t top_n_hot(const struct top *t, double threshold);
/* -ENOENT where no row has the key. */
int top_find(const struct top *t, const char *key, size_t key_size, size_t *ret);

/* "function", "line", ...; -EINVAL for another word. */
int top_parse_by(const char *word, enum top_by *ret);
const char *top_by_name(enum top_by by);
/* Rows are places in code, not labels of samples. */
bool top_is_code(enum top_by by);
