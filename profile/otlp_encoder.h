/* Writing OTLP, the state and the dictionary: what a request refers to gets its index here. For otlp_write.c. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/intern.h"
#include "profile/otlp.h"
#include "profile/otlp_groups.h"
#include "profile/otlp_wire.h"
#include "profile/pprof_wire.h"

#define EXTRA_STRINGS_MAX 256u
#define OUT_BYTES 16384u
#define ATTRIBUTES_MAX (PROFILE_LABELS_MAX + 4)

/* One dictionary table: the model's indices to the request's, and back in order. Entry 0 is the zero element. */
struct table {
	uint32_t *index; /* [model index]: 0 where it is not in this request */
	uint32_t *model; /* [index] */
	uint32_t n, room;
};

enum attribute_kind { ATTRIBUTE_STRING, ATTRIBUTE_INT, ATTRIBUTE_BOOL, ATTRIBUTE_COMMENTS };

/* Interned as bytes. Strings are model strings, or n_strings + k for the k-th of our own. */
struct attribute {
	uint32_t key, kind;
	int64_t value;
	uint32_t unit, padding;
};

enum label_role { ROLE_UNKNOWN, ROLE_NONE, ROLE_ATTRIBUTE, ROLE_TIMESTAMP, ROLE_RESOURCE };

struct label_key {
	uint8_t role;
	uint32_t name; /* string of the attribute's key */
};

struct otlp_encoder {
	const struct profile *p;
	const struct profile_header *h;
	struct otlp_options o;
	struct otlp_groups groups;
	uint32_t n_samples, at; /* position in groups.order */
	uint32_t types[PROFILE_SAMPLE_TYPES_MAX], n_types;

	struct table tables[DICTIONARY_STACK + 1];
	struct intern *attributes;
	uint64_t dictionary_bytes;
	uint32_t n_strings; /* the model's */
	const char *extra[EXTRA_STRINGS_MAX];
	uint32_t n_extra;
	struct label_key *keys;      /* [string]: how a label of that key is told */
	uint32_t *sample_attributes; /* those of the sample in hand */
	uint32_t n_sample_attributes;
	uint64_t timestamp;

	uint8_t *scratch;
	size_t scratch_room;
	int error; /* first failure */

	otlp_sink sink;
	void *userdata;
	uint8_t out[OUT_BYTES];
	size_t n_out;
	uint64_t written;
};

/* Bytes of a field of n bytes; all field numbers here take one byte. */
static inline uint64_t field_size(uint64_t n)
{
	return 1 + varint_size(n) + n;
}

static inline uint8_t *put_number(uint8_t *to, uint32_t field, uint64_t value)
{
	if (value == 0)
		return to;
	*to++ = (uint8_t)(field << 3 | WIRE_VARINT);
	return varint_put(to, value);
}

/* n bytes to encode into; NULL sets the error. */
uint8_t *otlp_scratch(struct otlp_encoder *e, size_t n);
void otlp_emit(struct otlp_encoder *e, const void *data, size_t n);
void otlp_emit_head(struct otlp_encoder *e, uint32_t field, uint64_t n);
void otlp_flush(struct otlp_encoder *e);
uint8_t *otlp_put_packed(uint8_t *to, uint32_t field, const uint32_t *values, size_t n);
/* A string field, mended to UTF-8; to has otlp_text_room(n). */
uint8_t *otlp_put_text(uint8_t *to, uint32_t field, const char *text, size_t n);
size_t otlp_text_room(size_t n);

uint32_t otlp_extra_string(struct otlp_encoder *e, const char *text);
uint32_t otlp_ref(struct otlp_encoder *e, uint32_t table, uint32_t model);
uint32_t otlp_string_ref(struct otlp_encoder *e, uint32_t s);
uint32_t otlp_attribute_ref(
        struct otlp_encoder *e, uint32_t key, enum attribute_kind kind, int64_t value, uint32_t unit);
uint32_t otlp_string_attribute(struct otlp_encoder *e, const char *key, uint32_t value);

int otlp_make_tables(struct otlp_encoder *e);
/* Empties the dictionary: each request has its own. */
int otlp_restart(struct otlp_encoder *e);
void otlp_emit_dictionary(struct otlp_encoder *e);
