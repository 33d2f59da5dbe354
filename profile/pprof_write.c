/* The order of fields is the usual one: types, samples, mappings, locations, functions, strings, the rest. Locations
 * that samples reach get their ids (1, 2, ...) in order of their addresses; all else when something that is written
 * first refers to it. So nothing is written that no sample reaches, equal profiles give equal bytes, and what two
 * windows of one host share stands in the same order in both, which is what makes merging them quick
 * (profile_add_strings()). */
#include "profile/pprof.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "profile/pprof_wire.h"
#include "profile/utf8.h"

/* The largest message that is made in one piece: a location of PROFILE_LINES_MAX lines, or a sample's locations. */
#define SCRATCH_BYTES (16u << 10)
#define LINE_BYTES_MAX (3 * (1 + VARINT_BYTES_MAX))
_Static_assert(PROFILE_LINES_MAX *(2 + LINE_BYTES_MAX) + 5 * (1 + VARINT_BYTES_MAX) <= SCRATCH_BYTES, "a location");
_Static_assert(
        PROFILE_STACK_DEPTH_MAX * 5 + PROFILE_LABELS_MAX * 64 + PROFILE_SAMPLE_TYPES_MAX * VARINT_BYTES_MAX + 64 <=
                SCRATCH_BYTES,
        "a sample");

/* The model's indices to the file's numbers, and back in order of the file. */
struct renumber {
	uint32_t *number; /* [index]: number, or PROFILE_NONE */
	uint32_t *index;  /* [number] */
	uint32_t n;
};

struct writer {
	const struct profile *p;
	struct buffer *out;
	struct renumber strings, mappings, functions, locations;
	uint8_t scratch[SCRATCH_BYTES];
};

static void renumber_done(struct renumber *m)
{
	free(m->number);
}

static void writer_done(struct writer *w)
{
	renumber_done(&w->strings);
	renumber_done(&w->mappings);
	renumber_done(&w->functions);
	renumber_done(&w->locations);
}

static int renumber_new(struct renumber *m, uint32_t n)
{
	m->number = malloc((n + 1) * 2 * sizeof(*m->number));
	if (!m->number)
		return -ENOMEM;
	memset(m->number, 0xff, n * sizeof(*m->number));
	m->index = m->number + n;
	return 0;
}

static inline uint32_t number_of(struct renumber *m, uint32_t index)
{
	if (m->number[index] == PROFILE_NONE) {
		m->index[m->n] = index;
		m->number[index] = m->n++;
	}
	return m->number[index];
}

/* Ids of entities count from 1; strings are numbered from 0. */
static inline uint64_t id_of(struct renumber *m, uint32_t index)
{
	return (uint64_t)number_of(m, index) + 1;
}

/* ---- fields ---- */

static inline uint8_t *put_number(uint8_t *to, uint32_t field, uint64_t value)
{
	if (value == 0)
		return to;
	*to++ = (uint8_t)(field << 3 | WIRE_VARINT);
	return varint_put(to, value);
}

static inline uint8_t *put_string(struct writer *w, uint8_t *to, uint32_t field, uint32_t index)
{
	return index ? put_number(to, field, number_of(&w->strings, index)) : to;
}

/* A message that stands at from..to gets its tag and length put before it. Short messages only: one byte of length. */
static inline uint8_t *put_short_message(uint8_t *to, uint32_t field, const uint8_t *from, const uint8_t *end)
{
	*to++ = (uint8_t)(field << 3 | WIRE_BYTES);
	*to++ = (uint8_t)(end - from);
	memcpy(to, from, (size_t)(end - from));
	return to + (end - from);
}

static void append_bytes(struct writer *w, uint32_t field, const void *data, size_t n)
{
	uint8_t head[1 + VARINT_BYTES_MAX], *end;

	head[0] = (uint8_t)(field << 3 | WIRE_BYTES);
	end = varint_put(head + 1, n);
	(void)buffer_append(w->out, head, (size_t)(end - head));
	(void)buffer_append(w->out, data, n);
}

static void append_number(struct writer *w, uint32_t field, uint64_t value)
{
	uint8_t bytes[1 + VARINT_BYTES_MAX];

	(void)buffer_append(w->out, bytes, (size_t)(put_number(bytes, field, value) - bytes));
}

static void append_value_type(struct writer *w, uint32_t field, const struct profile_value_type *t)
{
	uint8_t *to = put_string(w, w->scratch, VALUE_TYPE_TYPE, t->type);

	to = put_string(w, to, VALUE_TYPE_UNIT, t->unit);
	append_bytes(w, field, w->scratch, (size_t)(to - w->scratch));
}

/* ---- the order of locations ---- */

struct place {
	uint64_t address;
	uint32_t mapping; /* its rank among all by build ID and file name, which are the same in other profiles */
	uint32_t index;
};

static int compare_mappings(const void *a, const void *b, void *profile)
{
	const struct profile *p = profile;
	const struct profile_mapping *x = profile_mapping(p, *(const uint32_t *)a);
	const struct profile_mapping *y = profile_mapping(p, *(const uint32_t *)b);
	int order = strcmp(profile_string(p, x->build_id, NULL), profile_string(p, y->build_id, NULL));

	if (order == 0)
		order = strcmp(profile_string(p, x->filename, NULL), profile_string(p, y->filename, NULL));
	return order ? order : (x->start > y->start) - (x->start < y->start);
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->mapping != y->mapping)
		return x->mapping < y->mapping ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* ranks[i] is that of mapping i. */
static int rank_mappings(const struct profile *p, uint32_t **ret)
{
	const uint32_t n = profile_n_mappings(p);
	_cleanup_free_ uint32_t *order = calloc(n + 1, sizeof(*order)), *ranks = calloc(n + 1, sizeof(*ranks));

	if (!order || !ranks)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), compare_mappings, (void *)p);
	for (uint32_t i = 0; i < n; i++)
		ranks[order[i]] = i;
	*ret = TAKE_PTR(ranks);
	return 0;
}

static int number_locations(struct writer *w)
{
	_cleanup_free_ struct place *places = calloc(profile_n_locations(w->p) + 1, sizeof(*places));
	_cleanup_free_ uint32_t *ranks = NULL;
	uint32_t n = 0;

	if (!places || rank_mappings(w->p, &ranks) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile_n_samples(w->p); i++) {
		size_t depth;
		const uint32_t *stack = profile_stack(w->p, profile_sample(w->p, i)->stack, &depth);

		for (size_t k = 0; k < depth; k++)
			(void)number_of(&w->locations, stack[k]);
	}
	for (; n < w->locations.n; n++) {
		const uint32_t index = w->locations.index[n];
		const struct profile_location l = profile_location(w->p, index);

		places[n] = (struct place){ .address = l.address,
			.mapping = l.mapping == PROFILE_NONE ? PROFILE_NONE : ranks[l.mapping],
			.index = n };
	}
	qsort(places, n, sizeof(*places), compare_places);
	for (uint32_t i = 0; i < n; i++)
		places[i].index = w->locations.index[places[i].index];
	for (uint32_t i = 0; i < n; i++) {
		w->locations.index[i] = places[i].index;
		w->locations.number[places[i].index] = i;
	}
	return 0;
}

/* ---- samples ---- */

static uint8_t *put_label(struct writer *w, uint8_t *to, const struct profile_label *l)
{
	uint8_t message[64], *m;

	m = put_string(w, message, LABEL_KEY, l->key);
	if (l->unit == PROFILE_NONE) {
		m = put_string(w, m, LABEL_STR, (uint32_t)l->value);
	} else {
		/* Also where it is 0: its being there tells a number from an empty text. */
		*m++ = LABEL_NUM << 3 | WIRE_VARINT;
		m = varint_put(m, (uint64_t)l->value);
		m = put_string(w, m, LABEL_NUM_UNIT, l->unit);
	}
	return put_short_message(to, SAMPLE_LABEL, message, m);
}

static uint8_t *put_locations(struct writer *w, uint8_t *to, uint32_t stack)
{
	size_t n, bytes = 0;
	const uint32_t *locations = profile_stack(w->p, stack, &n);

	for (size_t i = 0; i < n; i++)
		bytes += varint_size(id_of(&w->locations, locations[i]));
	if (n == 0)
		return to;
	*to++ = SAMPLE_LOCATION_ID << 3 | WIRE_BYTES;
	to = varint_put(to, bytes);
	for (size_t i = 0; i < n; i++)
		to = varint_put(to, id_of(&w->locations, locations[i]));
	return to;
}

static void append_sample(struct writer *w, uint32_t i)
{
	const uint32_t n_values = profile_header_const(w->p)->n_sample_types;
	const struct profile_sample *s = profile_sample(w->p, i);
	const int64_t *values = profile_values_const(w->p, i);
	const struct profile_label *labels;
	uint8_t *to = put_locations(w, w->scratch, s->stack);
	size_t n, bytes = 0;

	for (uint32_t k = 0; k < n_values; k++)
		bytes += varint_size((uint64_t)values[k]);
	*to++ = SAMPLE_VALUE << 3 | WIRE_BYTES;
	*to++ = (uint8_t)bytes;
	for (uint32_t k = 0; k < n_values; k++)
		to = varint_put(to, (uint64_t)values[k]);
	labels = profile_label_set(w->p, s->labels, &n);
	for (size_t k = 0; k < n; k++)
		to = put_label(w, to, &labels[k]);
	append_bytes(w, PPROF_SAMPLE, w->scratch, (size_t)(to - w->scratch));
}

/* ---- locations, functions, mappings: in order of their ids; writing locations numbers the other two ---- */

static uint8_t *put_line(struct writer *w, uint8_t *to, const struct profile_line *l)
{
	uint8_t message[LINE_BYTES_MAX], *m;

	m = put_number(message, LINE_FUNCTION_ID, id_of(&w->functions, l->function));
	m = put_number(m, LINE_LINE, (uint64_t)l->line);
	m = put_number(m, LINE_COLUMN, l->column);
	return put_short_message(to, LOCATION_LINE, message, m);
}

static void append_location(struct writer *w, uint32_t id, uint32_t index)
{
	const struct profile_location l = profile_location(w->p, index);
	uint8_t *to = put_number(w->scratch, LOCATION_ID, id);

	if (l.mapping != PROFILE_NONE)
		to = put_number(to, LOCATION_MAPPING_ID, id_of(&w->mappings, l.mapping));
	to = put_number(to, LOCATION_ADDRESS, l.address);
	for (uint32_t i = 0; i < l.n_lines; i++)
		to = put_line(w, to, &l.lines[i]);
	to = put_number(to, LOCATION_IS_FOLDED, l.is_folded);
	append_bytes(w, PPROF_LOCATION, w->scratch, (size_t)(to - w->scratch));
}

static void append_function(struct writer *w, uint32_t id, uint32_t index)
{
	const struct profile_function *f = profile_function(w->p, index);
	uint8_t *to = put_number(w->scratch, FUNCTION_ID, id);

	to = put_string(w, to, FUNCTION_NAME, f->name);
	to = put_string(w, to, FUNCTION_SYSTEM_NAME, f->system_name);
	to = put_string(w, to, FUNCTION_FILENAME, f->filename);
	to = put_number(to, FUNCTION_START_LINE, (uint64_t)f->start_line);
	append_bytes(w, PPROF_FUNCTION, w->scratch, (size_t)(to - w->scratch));
}

static void append_mapping(struct writer *w, uint32_t id, uint32_t index)
{
	const struct profile_mapping *m = profile_mapping(w->p, index);
	uint8_t *to = put_number(w->scratch, MAPPING_ID, id);

	to = put_number(to, MAPPING_START, m->start);
	to = put_number(to, MAPPING_LIMIT, m->limit);
	to = put_number(to, MAPPING_OFFSET, m->offset);
	to = put_string(w, to, MAPPING_FILENAME, m->filename);
	to = put_string(w, to, MAPPING_BUILD_ID, m->build_id);
	for (uint32_t i = 0; MAPPING_HAS_FUNCTIONS + i <= MAPPING_HAS_INLINE_FRAMES; i++)
		to = put_number(to, MAPPING_HAS_FUNCTIONS + i, m->flags >> i & 1);
	append_bytes(w, PPROF_MAPPING, w->scratch, (size_t)(to - w->scratch));
}

/* ---- strings ---- */

static void append_text(struct writer *w, const char *text, size_t n)
{
	size_t good = utf8_span(text, n), mended = 0;
	uint8_t head[1 + VARINT_BYTES_MAX], *end;

	if (good == n) {
		append_bytes(w, PPROF_STRING_TABLE, text, n);
		return;
	}
	for (size_t at = 0; at < n; at += good + 1) {
		good = utf8_span(text + at, n - at);
		mended += good + (at + good < n ? 3 : 0);
	}
	head[0] = PPROF_STRING_TABLE << 3 | WIRE_BYTES;
	end = varint_put(head + 1, mended);
	(void)buffer_append(w->out, head, (size_t)(end - head));
	for (size_t at = 0; at < n; at += good + 1) {
		good = utf8_span(text + at, n - at);
		(void)buffer_append(w->out, text + at, good);
		if (at + good < n)
			(void)buffer_append(w->out, UTF8_REPLACEMENT, sizeof(UTF8_REPLACEMENT) - 1);
	}
}

static void append_strings(struct writer *w)
{
	for (uint32_t i = 0; i < w->strings.n; i++) {
		size_t n;
		const char *text = profile_string(w->p, w->strings.index[i], &n);

		append_text(w, text, n);
	}
	/* Comments are no part of the model's strings: they follow. */
	for (uint32_t i = 0; i < profile_n_comments(w->p); i++)
		append_text(w, profile_comment(w->p, i), strlen(profile_comment(w->p, i)));
}

/* ---- all ---- */

static void append_entities(struct writer *w)
{
	const struct profile_header *h = profile_header_const(w->p);

	for (uint32_t i = 0; i < h->n_sample_types; i++)
		append_value_type(w, PPROF_SAMPLE_TYPE, &h->sample_types[i]);
	for (uint32_t i = 0; i < profile_n_samples(w->p); i++)
		append_sample(w, i);
	for (uint32_t i = 0; i < w->locations.n; i++)
		append_location(w, i + 1, w->locations.index[i]);
	for (uint32_t i = 0; i < w->mappings.n; i++)
		append_mapping(w, i + 1, w->mappings.index[i]);
	for (uint32_t i = 0; i < w->functions.n; i++)
		append_function(w, i + 1, w->functions.index[i]);
}

static void append_facts(struct writer *w)
{
	const struct profile_header *h = profile_header_const(w->p);
	uint32_t first_comment;

	append_number(w, PPROF_TIME_NANOS, (uint64_t)h->time_ns);
	append_number(w, PPROF_DURATION_NANOS, (uint64_t)h->duration_ns);
	if (h->period_type.type || h->period_type.unit)
		append_value_type(w, PPROF_PERIOD_TYPE, &h->period_type);
	append_number(w, PPROF_PERIOD, (uint64_t)h->period);
	append_number(w, PPROF_DROP_FRAMES, number_of(&w->strings, h->drop_frames));
	append_number(w, PPROF_KEEP_FRAMES, number_of(&w->strings, h->keep_frames));
	append_number(w, PPROF_DEFAULT_SAMPLE_TYPE, number_of(&w->strings, h->default_sample_type));
	append_number(w, PPROF_DOC_URL, number_of(&w->strings, h->doc_url));
	first_comment = w->strings.n;
	for (uint32_t i = 0; i < profile_n_comments(w->p); i++)
		append_number(w, PPROF_COMMENT, first_comment + i);
	append_strings(w);
}

int pprof_write(const struct profile *p, struct buffer *out)
{
	_cleanup_(writer_done) struct writer w;
	const size_t before = out->size;
	int r;

	assert(p);

	memset(&w, 0, offsetof(struct writer, scratch));
	w.p = p;
	w.out = out;
	r = renumber_new(&w.strings, profile_n_strings(p));
	if (r >= 0)
		r = renumber_new(&w.mappings, profile_n_mappings(p));
	if (r >= 0)
		r = renumber_new(&w.functions, profile_n_functions(p));
	if (r >= 0)
		r = renumber_new(&w.locations, profile_n_locations(p));
	if (r >= 0)
		r = number_locations(&w);
	if (r < 0)
		return r;
	(void)number_of(&w.strings, 0); /* string 0 is "" */
	append_entities(&w);
	append_facts(&w);
	if (out->error) {
		out->size = before;
		return out->error;
	}
	return 0;
}
