/* Reading OTLP, the dictionary: where its entries lie, and what of the model they become. For otlp_read.c and
 * otlp_entities.c. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "profile/otlp.h"
#include "profile/otlp_wire.h"
#include "profile/pprof_wire.h"

#define TABLES (DICTIONARY_STACK + 1)

/* One dictionary table: where its entries are, and what they became (index + 1; 0: not yet). */
struct entries {
	struct cursor *at;
	uint32_t *index;
	uint32_t n;
};

struct reader {
	struct profile *p;
	struct cursor request;
	struct entries tables[TABLES];
	struct profile_error *error;
	struct profile_label resource[PROFILE_LABELS_MAX];
	size_t n_resource;
	int64_t end_ns;
	uint32_t said; /* bits of sample types that a Profile says itself */
};

/* An AnyValue as far as a label can hold it. */
struct any {
	enum { ANY_NONE, ANY_TEXT, ANY_NUMBER } kind;
	struct cursor text;
	int64_t number;
	char buffer[32]; /* where the text had to be made */
};

struct attribute {
	struct cursor key, value; /* value: an AnyValue */
	uint64_t unit;
};

typedef int (*otlp_entry_reader)(struct reader *r, struct cursor c, uint32_t *ret);

static inline size_t cursor_size(struct cursor c)
{
	return (size_t)(c.end - c.at);
}

static inline bool is_message(const struct field *f, uint32_t number)
{
	return f->number == number && f->wire == WIRE_BYTES;
}

static inline bool is_number(const struct field *f, uint32_t number)
{
	return f->number == number && f->wire == WIRE_VARINT;
}

static inline bool text_is(struct cursor c, const char *s)
{
	return cursor_size(c) == strlen(s) && memcmp(c.at, s, cursor_size(c)) == 0;
}

/* Sets the error's text; returns code. */
_printf_(3, 4) int otlp_fail(struct reader *r, int code, const char *format, ...);
/* The values of a repeated number, packed or one by one. 1: *ret is the next; 0: none left; -EBADMSG. f->bytes moves.
 */
int otlp_next_number(struct field *f, uint64_t *ret);
int otlp_open_dictionary(struct reader *r);
/* An entry's bytes. Index 0 of a table that is missing altogether is its zero element. */
int otlp_entry(struct reader *r, uint32_t table, uint64_t i, struct cursor *ret);
/* The model's index of an entry, read where it is met first. */
int otlp_take(struct reader *r, uint32_t table, uint64_t i, otlp_entry_reader read, uint32_t *ret);
int otlp_take_string(struct reader *r, uint64_t i, uint32_t *ret);
int otlp_add_text(struct reader *r, struct cursor text, uint32_t *ret);
int otlp_read_stack(struct reader *r, struct cursor c, uint32_t *ret);
int otlp_read_any(struct reader *r, struct cursor c, struct any *ret);
int otlp_read_attribute(struct reader *r, uint64_t i, struct attribute *ret);
/* Puts a label into a set of *n; a key that is there already keeps its value. */
int otlp_put_label(struct reader *r, struct profile_label *labels, size_t *n, struct cursor key, struct cursor value,
        uint64_t unit);
