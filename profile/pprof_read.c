/* The strings stand at the end of most files and everything refers forwards, so the message is walked several times:
 * once to count and to find the strings, then one kind of entity after the other, each straight into dst. Samples wait
 * in a list until the last one is known to be good; then they are added, which cannot fail. */
#include "profile/pprof.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "profile/compress.h"
#include "profile/ledger.h"
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

	int64_t *rows; /* n_sample_types + 1 numbers each: stack << 32 | labels, values */
	size_t n_rows, room_rows;
	uint32_t empty_stack;
};

_printf_(3, 4) static int fail(struct reader *r, int code, const char *format, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (r->error && r->kind)
		(void)snprintf(r->error->text, sizeof(r->error->text), "%s %u: %s", r->kind, r->ordinal, text);
	else if (r->error)
		(void)snprintf(r->error->text, sizeof(r->error->text), "%s", text);
	return code;
}

/* dst's own refusals, in words. */
static int refuse(struct reader *r, int code)
{
	if (code == -ENOSPC)
		return fail(r, code, "the limit of memory for one profile is reached");
	if (code == -E2BIG)
		return fail(r, code, "too many locations, labels, lines or comments");
	return code == -ENOMEM ? fail(r, code, "out of memory") : fail(r, code, "refused");
}

static int malformed(struct reader *r)
{
	return fail(r, -EBADMSG, "malformed field");
}

/* ---- working memory ---- */

static int work_alloc(struct reader *r, void **memory, size_t old_bytes, size_t bytes)
{
	void *bigger;

	if (r->work + (bytes - old_bytes) > profile_bytes_left(r->dst))
		return refuse(r, -ENOSPC);
	bigger = realloc(*memory, MAX(bytes, (size_t)1));
	if (!bigger)
		return refuse(r, -ENOMEM);
	*memory = bigger;
	r->work += bytes - old_bytes;
	return 0;
}

static int work_table(struct reader *r, struct table *t)
{
	uint64_t slots = table_slots_for((uint64_t)t->n + 1), more = (slots - t->n_slots) * sizeof(struct table_slot);

	if (slots <= t->n_slots)
		return 0;
	if (r->work + more > profile_bytes_left(r->dst))
		return refuse(r, -ENOSPC);
	r->work += more;
	return table_resize(t, slots) < 0 ? refuse(r, -ENOMEM) : 0;
}

static void id_map_done(struct id_map *m)
{
	free(m->dense);
	free(m->pairs);
	free(m->table.slots);
}

static void reader_done(struct reader *r)
{
	free(r->string_at);
	free(r->strings);
	id_map_done(&r->mappings);
	id_map_done(&r->functions);
	id_map_done(&r->locations);
	free(r->memo_table.slots);
	free(r->memos);
	free(r->rows);
}

/* ---- ids ---- */

static int id_map_new(struct reader *r, struct id_map *m, uint32_t n)
{
	int e = work_alloc(r, (void **)&m->dense, 0, n * sizeof(*m->dense));

	if (e < 0)
		return e;
	memset(m->dense, 0xff, n * sizeof(*m->dense));
	m->n_dense = n;
	return 0;
}

static bool pair_equal(const void *owner, uint32_t i, const void *key)
{
	return ((const struct id_map *)owner)->pairs[i].id == *(const uint64_t *)key;
}

static uint32_t id_hash(const struct reader *r, uint64_t id)
{
	return table_hash(XXH3_64bits_withSeed(&id, sizeof(id), r->seed));
}

static inline uint32_t id_map_get(const struct reader *r, const struct id_map *m, uint64_t id)
{
	uint32_t i;

	if (id - 1 < m->n_dense)
		return m->dense[id - 1];
	i = table_find(&m->table, id_hash(r, id), pair_equal, m, &id);
	return i == TABLE_NONE ? PROFILE_NONE : m->pairs[i].index;
}

static int id_map_put(struct reader *r, struct id_map *m, uint64_t id, uint32_t index)
{
	int e;

	if (id == 0)
		return fail(r, -EBADMSG, "its id is 0");
	if (id_map_get(r, m, id) != PROFILE_NONE)
		return fail(r, -EBADMSG, "id %llu is taken", (unsigned long long)id);
	if (id - 1 < m->n_dense) {
		m->dense[id - 1] = index;
		return 0;
	}
	if (m->n_pairs == m->room_pairs) {
		uint32_t room = MAX(m->room_pairs * 2, 64u);

		e = work_alloc(r, (void **)&m->pairs, m->room_pairs * sizeof(*m->pairs), room * sizeof(*m->pairs));
		if (e < 0)
			return e;
		m->room_pairs = room;
	}
	e = work_table(r, &m->table);
	if (e < 0)
		return e;
	m->pairs[m->n_pairs] = (struct id_pair){ .id = id, .index = index };
	table_insert(&m->table, id_hash(r, id), m->n_pairs++);
	return 0;
}

/* ---- walking ---- */

static void enter(struct reader *r, const char *kind)
{
	r->kind = kind;
	r->ordinal = 0;
}

/* The next field number of that name, as bytes. 1, 0 at the end. The message was walked once: it is well-formed. */
static int next_of(struct reader *r, struct cursor *c, uint32_t number, struct cursor *ret)
{
	struct field f;
	int e;

	while ((e = cursor_field(c, &f)) > 0)
		if (f.number == number) {
			r->ordinal++;
			*ret = f.bytes;
			return 1;
		}
	return e < 0 ? malformed(r) : 0;
}

static const uint8_t wire_of[PPROF_DOC_URL + 1] = {
	[PPROF_SAMPLE_TYPE] = WIRE_BYTES,
	[PPROF_SAMPLE] = WIRE_BYTES,
	[PPROF_MAPPING] = WIRE_BYTES,
	[PPROF_LOCATION] = WIRE_BYTES,
	[PPROF_FUNCTION] = WIRE_BYTES,
	[PPROF_STRING_TABLE] = WIRE_BYTES,
	[PPROF_PERIOD_TYPE] = WIRE_BYTES,
};

static int survey(struct reader *r)
{
	struct cursor c = r->all;
	struct field f;
	int e;

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number > PPROF_DOC_URL)
			continue;
		/* Comments may be packed. */
		if (f.wire != wire_of[f.number] && !(f.number == PPROF_COMMENT && f.wire == WIRE_BYTES))
			return fail(r, -EBADMSG, "field %u has wire type %u", f.number, f.wire);
		if (r->count[f.number]++ == 0)
			r->part[f.number].at = f.start;
		r->part[f.number].end = c.at;
	}
	if (e < 0)
		return fail(r, -EBADMSG, "malformed or cut short at byte %zu", (size_t)(c.at - r->all.at));
	return 0;
}

/* ---- strings ---- */

static int find_strings(struct reader *r)
{
	struct cursor c = r->part[PPROF_STRING_TABLE];
	const uint32_t n = r->count[PPROF_STRING_TABLE];
	struct field f;
	uint32_t i = 0;
	int e;

	if (n == 0)
		return fail(r, -EBADMSG, "no string table");
	e = work_alloc(r, (void **)&r->string_at, 0, n * sizeof(*r->string_at));
	if (e >= 0)
		e = work_alloc(r, (void **)&r->strings, 0, n * sizeof(*r->strings));
	if (e < 0)
		return e;
	memset(r->strings, 0xff, n * sizeof(*r->strings));
	while (cursor_field(&c, &f) > 0) {
		if (f.number != PPROF_STRING_TABLE)
			continue;
		if (i == 0 && f.bytes.at != f.bytes.end)
			return fail(r, -EBADMSG, "the first string is not empty");
		r->string_at[i++] = (uint32_t)(f.start - r->all.at);
	}
	return 0;
}

/* The string itself. */
static int string_bytes(struct reader *r, uint64_t i, struct cursor *ret)
{
	struct cursor c = r->all;
	struct field f;

	if (i >= r->count[PPROF_STRING_TABLE])
		return fail(r, -EBADMSG, "string %lld does not exist", (long long)i);
	c.at += r->string_at[i];
	(void)cursor_field(&c, &f);
	*ret = f.bytes;
	return 0;
}

/* dst's index of it. */
static int string(struct reader *r, uint64_t i, uint32_t *ret)
{
	struct cursor bytes;
	int e;

	if (i < r->count[PPROF_STRING_TABLE] && r->strings[i] != PROFILE_NONE) {
		*ret = r->strings[i];
		return 0;
	}
	e = string_bytes(r, i, &bytes);
	if (e < 0)
		return e;
	e = profile_add_string(r->dst, (const char *)bytes.at, (size_t)(bytes.end - bytes.at), ret);
	if (e < 0)
		return refuse(r, e);
	r->strings[i] = *ret;
	return 0;
}

/* ---- header ---- */

static int read_value_type(struct reader *r, struct cursor c, struct profile_value_type *ret)
{
	uint64_t text[2] = { 0 };
	struct field f;
	int e;

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number != VALUE_TYPE_TYPE && f.number != VALUE_TYPE_UNIT)
			continue;
		if (f.wire != WIRE_VARINT)
			return malformed(r);
		text[f.number - 1] = f.value;
	}
	if (e < 0)
		return malformed(r);
	e = string(r, text[0], &ret->type);
	return e < 0 ? e : string(r, text[1], &ret->unit);
}

static int read_sample_types(struct reader *r)
{
	struct cursor c = r->part[PPROF_SAMPLE_TYPE], bytes;
	int e;

	enter(r, "sample type");
	while ((e = next_of(r, &c, PPROF_SAMPLE_TYPE, &bytes)) > 0) {
		if (r->header.n_sample_types == PROFILE_SAMPLE_TYPES_MAX)
			return fail(r, -E2BIG, "more than %u", PROFILE_SAMPLE_TYPES_MAX);
		e = read_value_type(r, bytes, &r->header.sample_types[r->header.n_sample_types]);
		if (e < 0)
			return e;
		r->header.n_sample_types++;
	}
	return e;
}

/* The last one of a field that should be there once, as protobuf has it. */
static uint64_t last_varint(const struct reader *r, uint32_t number)
{
	struct cursor c = r->part[number];
	uint64_t value = 0;
	struct field f;

	while (cursor_field(&c, &f) > 0)
		if (f.number == number)
			value = f.value;
	return value;
}

static int read_header(struct reader *r)
{
	struct profile_header *h = &r->header;
	struct cursor c = r->part[PPROF_PERIOD_TYPE], bytes;
	int e = read_sample_types(r);

	enter(r, "period type");
	while (e >= 0 && (e = next_of(r, &c, PPROF_PERIOD_TYPE, &bytes)) > 0)
		e = read_value_type(r, bytes, &h->period_type);
	if (e < 0)
		return e;
	r->kind = NULL;
	h->period = (int64_t)last_varint(r, PPROF_PERIOD);
	h->time_ns = (int64_t)last_varint(r, PPROF_TIME_NANOS);
	h->duration_ns = (int64_t)last_varint(r, PPROF_DURATION_NANOS);
	e = string(r, last_varint(r, PPROF_DEFAULT_SAMPLE_TYPE), &h->default_sample_type);
	if (e >= 0)
		e = string(r, last_varint(r, PPROF_DROP_FRAMES), &h->drop_frames);
	if (e >= 0)
		e = string(r, last_varint(r, PPROF_KEEP_FRAMES), &h->keep_frames);
	return e < 0 ? e : string(r, last_varint(r, PPROF_DOC_URL), &h->doc_url);
}

/* Where each value of the file goes. */
static int match_sample_types(struct reader *r)
{
	const struct profile_header *to = profile_header_const(r->dst), *from = &r->header;
	uint32_t taken = 0;

	if (to->n_sample_types == 0)
		to = from;
	if (to->n_sample_types != from->n_sample_types)
		return fail(
		        r, -EINVAL, "%u sample types where %u are expected", from->n_sample_types, to->n_sample_types);
	for (uint32_t i = 0; i < from->n_sample_types; i++) {
		uint32_t k = 0;

		while (k < to->n_sample_types &&
		        ((taken & 1u << k) || to->sample_types[k].type != from->sample_types[i].type ||
		                to->sample_types[k].unit != from->sample_types[i].unit))
			k++;
		if (k == to->n_sample_types)
			return fail(r, -EINVAL, "sample type %s/%s does not belong here",
			        profile_string(r->dst, from->sample_types[i].type, NULL),
			        profile_string(r->dst, from->sample_types[i].unit, NULL));
		taken |= 1u << k;
		r->value_to[i] = k;
	}
	return 0;
}

/* ---- mappings, functions, locations ---- */

static int read_mapping(struct reader *r, struct cursor c)
{
	uint64_t v[MAPPING_HAS_INLINE_FRAMES + 1] = { 0 };
	struct profile_mapping m = { 0 };
	struct field f;
	uint32_t index;
	int e;

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number > MAPPING_HAS_INLINE_FRAMES)
			continue;
		if (f.wire != WIRE_VARINT)
			return malformed(r);
		v[f.number] = f.value;
	}
	if (e < 0)
		return malformed(r);
	m = (struct profile_mapping){
		.start = v[MAPPING_START], .limit = v[MAPPING_LIMIT], .offset = v[MAPPING_OFFSET]
	};
	for (uint32_t i = 0; MAPPING_HAS_FUNCTIONS + i <= MAPPING_HAS_INLINE_FRAMES; i++)
		m.flags |= v[MAPPING_HAS_FUNCTIONS + i] ? 1u << i : 0;
	e = string(r, v[MAPPING_FILENAME], &m.filename);
	if (e >= 0)
		e = string(r, v[MAPPING_BUILD_ID], &m.build_id);
	if (e < 0)
		return e;
	e = profile_add_mapping(r->dst, &m, &index);
	return e < 0 ? refuse(r, e) : id_map_put(r, &r->mappings, v[MAPPING_ID], index);
}

static int read_function(struct reader *r, struct cursor c)
{
	uint64_t v[FUNCTION_START_LINE + 1] = { 0 };
	struct profile_function fn = { 0 };
	struct field f;
	uint32_t index;
	int e;

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number > FUNCTION_START_LINE)
			continue;
		if (f.wire != WIRE_VARINT)
			return malformed(r);
		v[f.number] = f.value;
	}
	if (e < 0)
		return malformed(r);
	fn.start_line = (int64_t)v[FUNCTION_START_LINE];
	e = string(r, v[FUNCTION_NAME], &fn.name);
	if (e >= 0)
		e = string(r, v[FUNCTION_SYSTEM_NAME], &fn.system_name);
	if (e >= 0)
		e = string(r, v[FUNCTION_FILENAME], &fn.filename);
	if (e < 0)
		return e;
	e = profile_add_function(r->dst, &fn, &index);
	return e < 0 ? refuse(r, e) : id_map_put(r, &r->functions, v[FUNCTION_ID], index);
}

static int read_line(struct reader *r, struct cursor c, struct profile_line *ret)
{
	uint64_t v[LINE_COLUMN + 1] = { 0 };
	struct field f;
	uint32_t function;
	int e;

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number > LINE_COLUMN)
			continue;
		if (f.wire != WIRE_VARINT)
			return malformed(r);
		v[f.number] = f.value;
	}
	if (e < 0)
		return malformed(r);
	function = id_map_get(r, &r->functions, v[LINE_FUNCTION_ID]);
	if (function == PROFILE_NONE)
		return fail(r, -EBADMSG, "function %llu does not exist", (unsigned long long)v[LINE_FUNCTION_ID]);
	*ret = (struct profile_line){
		.function = function,
		.column = v[LINE_COLUMN] > UINT32_MAX ? 0 : (uint32_t)v[LINE_COLUMN], /* 0: not known */
		.line = (int64_t)v[LINE_LINE],
	};
	return 0;
}

static int read_location(struct reader *r, struct cursor c)
{
	struct profile_line lines[PROFILE_LINES_MAX];
	uint64_t v[LOCATION_IS_FOLDED + 1] = { 0 };
	struct profile_location l = { .mapping = PROFILE_NONE, .lines = lines };
	struct field f;
	uint32_t index;
	int e;

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number > LOCATION_IS_FOLDED)
			continue;
		if (f.wire != (f.number == LOCATION_LINE ? WIRE_BYTES : WIRE_VARINT))
			return malformed(r);
		if (f.number != LOCATION_LINE) {
			v[f.number] = f.value;
			continue;
		}
		if (l.n_lines == PROFILE_LINES_MAX)
			return fail(r, -E2BIG, "more than %u lines", PROFILE_LINES_MAX);
		e = read_line(r, f.bytes, &lines[l.n_lines++]);
		if (e < 0)
			return e;
	}
	if (e < 0)
		return malformed(r);
	l.address = v[LOCATION_ADDRESS];
	l.is_folded = v[LOCATION_IS_FOLDED] != 0;
	if (v[LOCATION_MAPPING_ID]) {
		l.mapping = id_map_get(r, &r->mappings, v[LOCATION_MAPPING_ID]);
		if (l.mapping == PROFILE_NONE)
			return fail(
			        r, -EBADMSG, "mapping %llu does not exist", (unsigned long long)v[LOCATION_MAPPING_ID]);
	}
	e = profile_add_location(r->dst, &l, &index);
	return e < 0 ? refuse(r, e) : id_map_put(r, &r->locations, v[LOCATION_ID], index);
}

static int read_entities(struct reader *r)
{
	const struct {
		const char *kind;
		uint32_t number;
		struct id_map *map;
		int (*read)(struct reader *r, struct cursor c);
	} kinds[] = {
		{ "mapping", PPROF_MAPPING, &r->mappings, read_mapping },
		{ "function", PPROF_FUNCTION, &r->functions, read_function },
		{ "location", PPROF_LOCATION, &r->locations, read_location },
	};
	int e;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct cursor c = r->part[kinds[i].number], bytes;

		e = id_map_new(r, kinds[i].map, r->count[kinds[i].number]);
		if (e < 0)
			return e;
		enter(r, kinds[i].kind);
		while ((e = next_of(r, &c, kinds[i].number, &bytes)) > 0) {
			e = kinds[i].read(r, bytes);
			if (e < 0)
				return e;
		}
		if (e < 0)
			return e;
	}
	return 0;
}

/* ---- labels ---- */

static bool is_dropped(struct reader *r, uint64_t key)
{
	struct cursor bytes;

	if (!r->options.drop_labels || string_bytes(r, key, &bytes) < 0)
		return false;
	for (const char *const *drop = r->options.drop_labels; *drop; drop++) {
		size_t n = strlen(*drop);

		if (n == (size_t)(bytes.end - bytes.at) && memcmp(*drop, bytes.at, n) == 0)
			return true;
	}
	return false;
}

/* Text where there is a string; a number where one is on the wire, 0 or not, or where a unit is; else the text "". */
static int read_label(struct reader *r, struct cursor c, struct profile_label *ret, bool *ret_drop)
{
	uint64_t v[LABEL_NUM_UNIT + 1] = { 0 };
	bool has_number = false;
	struct field f;
	uint32_t text;
	int e;

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number > LABEL_NUM_UNIT)
			continue;
		if (f.wire != WIRE_VARINT)
			return malformed(r);
		v[f.number] = f.value;
		has_number |= f.number == LABEL_NUM || f.number == LABEL_NUM_UNIT;
	}
	if (e < 0)
		return malformed(r);
	*ret_drop = is_dropped(r, v[LABEL_KEY]);
	if (*ret_drop && !r->options.want)
		return 0; /* nobody asks for it: its text need not enter dst */
	ret->unit = PROFILE_NONE;
	ret->value = (int64_t)v[LABEL_NUM];
	e = string(r, v[LABEL_KEY], &ret->key);
	if (e < 0)
		return e;
	if (has_number && v[LABEL_STR] == 0)
		return string(r, v[LABEL_NUM_UNIT], &ret->unit);
	e = string(r, v[LABEL_STR], &text);
	ret->value = text;
	return e;
}

struct sample_fields {
	struct cursor labels; /* from the first to past the last */
	uint32_t n_labels;
	bool labels_apart; /* other fields stand between them */
	uint32_t n_locations, n_values;
	int64_t values[PROFILE_SAMPLE_TYPES_MAX];
	uint32_t locations[PROFILE_STACK_DEPTH_MAX];
};

static int read_labels(struct reader *r, struct cursor c, uint32_t *ret_set)
{
	struct profile_label labels[PROFILE_LABELS_MAX];
	uint64_t dropped = 0;
	uint32_t n = 0, kept = 0;
	struct field f;
	int e;

	while (cursor_field(&c, &f) > 0) {
		bool drop;

		if (f.number != SAMPLE_LABEL)
			continue;
		if (n == PROFILE_LABELS_MAX)
			return fail(r, -E2BIG, "more than %u labels", PROFILE_LABELS_MAX);
		e = read_label(r, f.bytes, &labels[n], &drop);
		if (e < 0)
			return e;
		if (drop && !r->options.want)
			continue;
		dropped |= drop ? 1ull << n : 0;
		n++;
	}
	_Static_assert(PROFILE_LABELS_MAX <= 64, "one bit a label");
	*ret_set = PROFILE_NONE;
	if (r->options.want && !r->options.want(r->options.userdata, r->dst, labels, n))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (!(dropped & 1ull << i))
			labels[kept++] = labels[i];
	e = profile_add_label_set(r->dst, labels, kept, ret_set);
	return e < 0 ? refuse(r, e) : 0;
}

struct memo_key {
	const uint8_t *at;
	size_t size;
};

static bool memo_equal(const void *owner, uint32_t i, const void *key)
{
	const struct reader *r = owner;
	const struct memo_key *k = key;
	const struct label_memo *m = &r->memos[i];

	return m->size == k->size && (k->size == 0 || memcmp(r->all.at + m->start, k->at, k->size) == 0);
}

/* The label set of a sample, by its bytes: a file has few distinct ones. */
static int label_set(struct reader *r, const struct sample_fields *s, uint32_t *ret)
{
	const struct memo_key key = { s->n_labels ? s->labels.at : r->all.at,
		s->n_labels ? (size_t)(s->labels.end - s->labels.at) : 0 };
	uint32_t hash, i;
	int e;

	if (s->labels_apart)
		return read_labels(r, s->labels, ret);
	hash = table_hash(XXH3_64bits_withSeed(key.at, key.size, r->seed));
	i = table_find(&r->memo_table, hash, memo_equal, r, &key);
	if (i != TABLE_NONE) {
		*ret = r->memos[i].set;
		return 0;
	}
	e = read_labels(r, (struct cursor){ key.at, key.at + key.size }, ret);
	if (e < 0)
		return e;
	if (r->n_memos == r->room_memos) {
		uint32_t room = MAX(r->room_memos * 2, 64u);

		e = work_alloc(r, (void **)&r->memos, r->room_memos * sizeof(*r->memos), room * sizeof(*r->memos));
		if (e < 0)
			return e;
		r->room_memos = room;
	}
	e = work_table(r, &r->memo_table);
	if (e < 0)
		return e;
	r->memos[r->n_memos] = (struct label_memo){ (uint32_t)(key.at - r->all.at), (uint32_t)key.size, *ret };
	table_insert(&r->memo_table, hash, r->n_memos++);
	return 0;
}

/* ---- samples ---- */

static int take_location(struct reader *r, struct sample_fields *s, uint64_t id)
{
	uint32_t index = id_map_get(r, &r->locations, id);

	if (index == PROFILE_NONE)
		return fail(r, -EBADMSG, "location %llu does not exist", (unsigned long long)id);
	if (s->n_locations == PROFILE_STACK_DEPTH_MAX)
		return fail(r, -E2BIG, "deeper than %u locations", PROFILE_STACK_DEPTH_MAX);
	s->locations[s->n_locations++] = index;
	return 0;
}

static int take_value(struct reader *r, struct sample_fields *s, uint64_t value)
{
	if (s->n_values == r->header.n_sample_types)
		return fail(r, -EBADMSG, "more than %u values", r->header.n_sample_types);
	s->values[s->n_values++] = (int64_t)value;
	return 0;
}

/* Repeated numbers, packed or not. */
static int take_numbers(struct reader *r, struct sample_fields *s, const struct field *f,
        int (*take)(struct reader *r, struct sample_fields *s, uint64_t n))
{
	struct cursor c = f->bytes;
	uint64_t number;
	int e = 0;

	if (f->wire == WIRE_VARINT)
		return take(r, s, f->value);
	if (f->wire != WIRE_BYTES)
		return malformed(r);
	while (c.at < c.end && e >= 0) {
		if (!cursor_varint(&c, &number))
			return malformed(r);
		e = take(r, s, number);
	}
	return e;
}

static int take_label(struct reader *r, struct sample_fields *s, const struct field *f)
{
	if (f->wire != WIRE_BYTES)
		return malformed(r);
	if (s->n_labels++ == 0)
		s->labels.at = f->start;
	else
		s->labels_apart |= s->labels.end != f->start;
	s->labels.end = f->bytes.end;
	return 0;
}

static int split_sample(struct reader *r, struct cursor c, struct sample_fields *s)
{
	struct field f;
	int e;

	s->n_labels = s->n_locations = s->n_values = 0;
	s->labels_apart = false;
	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number == SAMPLE_LOCATION_ID && !(r->options.flags & PPROF_READ_NO_STACKS))
			e = take_numbers(r, s, &f, take_location);
		else if (f.number == SAMPLE_VALUE)
			e = take_numbers(r, s, &f, take_value);
		else if (f.number == SAMPLE_LABEL)
			e = take_label(r, s, &f);
		if (e < 0)
			return e;
	}
	if (e < 0)
		return malformed(r);
	if (s->n_values != r->header.n_sample_types)
		return fail(r, -EBADMSG, "%u values for %u sample types", s->n_values, r->header.n_sample_types);
	return 0;
}

static int push_row(struct reader *r, uint32_t stack, uint32_t labels, const int64_t *values)
{
	const size_t width = r->header.n_sample_types + 1;
	int64_t *row;
	int e;

	if (r->n_rows == r->room_rows) {
		size_t room = MAX(r->room_rows * 2, (size_t)256);

		e = work_alloc(
		        r, (void **)&r->rows, r->room_rows * width * sizeof(*r->rows), room * width * sizeof(*r->rows));
		if (e < 0)
			return e;
		r->room_rows = room;
	}
	row = r->rows + r->n_rows++ * width;
	row[0] = (int64_t)((uint64_t)stack << 32 | labels);
	for (size_t i = 0; i + 1 < width; i++)
		row[1 + r->value_to[i]] = values[i];
	return 0;
}

static int read_sample(struct reader *r, struct cursor c, struct sample_fields *s)
{
	uint32_t stack = r->empty_stack, labels;
	int e;

	e = split_sample(r, c, s);
	if (e >= 0)
		e = label_set(r, s, &labels);
	if (e < 0 || labels == PROFILE_NONE)
		return e;
	if (!(r->options.flags & PPROF_READ_NO_STACKS))
		e = profile_add_stack(r->dst, s->locations, s->n_locations, &stack);
	return e < 0 ? refuse(r, e) : push_row(r, stack, labels, s->values);
}

static int read_samples(struct reader *r)
{
	struct cursor c = r->part[PPROF_SAMPLE], bytes;
	struct sample_fields s;
	int e = 0;

	if (r->options.flags & PPROF_READ_NO_STACKS)
		e = profile_add_stack(r->dst, NULL, 0, &r->empty_stack);
	if (e < 0)
		return refuse(r, e);
	enter(r, "sample");
	if (r->count[PPROF_SAMPLE] && r->header.n_sample_types == 0)
		return fail(r, -EBADMSG, "there is no sample type");
	while ((e = next_of(r, &c, PPROF_SAMPLE, &bytes)) > 0) {
		e = read_sample(r, bytes, &s);
		if (e < 0)
			return e;
	}
	r->kind = NULL;
	return e;
}

/* ---- the end: everything is known to be good ---- */

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT64_MIN : INT64_MAX) : sum;
}

static void merge_header(struct profile_header *to, const struct profile_header *from)
{
	if (to->n_sample_types == 0) {
		to->n_sample_types = from->n_sample_types;
		memcpy(to->sample_types, from->sample_types, sizeof(to->sample_types));
	}
	if (!to->period_type.type && !to->period_type.unit)
		to->period_type = from->period_type;
	to->period = MAX(to->period, from->period);
	if (from->time_ns && (!to->time_ns || from->time_ns < to->time_ns))
		to->time_ns = from->time_ns;
	to->duration_ns = add_saturating(to->duration_ns, from->duration_ns);
	to->default_sample_type = to->default_sample_type ? to->default_sample_type : from->default_sample_type;
	to->drop_frames = to->drop_frames ? to->drop_frames : from->drop_frames;
	to->keep_frames = to->keep_frames ? to->keep_frames : from->keep_frames;
	to->doc_url = to->doc_url ? to->doc_url : from->doc_url;
}

struct comment_sizes {
	uint64_t bytes;
	uint32_t n;
};

/* Calls take for each comment's string index. */
static int each_comment(struct reader *r, int (*take)(struct reader *r, uint64_t index, void *userdata), void *userdata)
{
	struct cursor c = r->part[PPROF_COMMENT];
	struct field f;
	int e = 0;

	while (e >= 0 && cursor_field(&c, &f) > 0) {
		uint64_t index;

		if (f.number != PPROF_COMMENT)
			continue;
		if (f.wire == WIRE_VARINT) {
			e = take(r, f.value, userdata);
			continue;
		}
		while (e >= 0 && f.bytes.at < f.bytes.end)
			e = cursor_varint(&f.bytes, &index) ? take(r, index, userdata) : malformed(r);
	}
	return e;
}

static int measure_comment(struct reader *r, uint64_t index, void *userdata)
{
	struct comment_sizes *sizes = userdata;
	struct cursor c;
	int e = string_bytes(r, index, &c);

	if (e < 0)
		return e;
	if (++sizes->n > PROFILE_COMMENTS_MAX)
		return fail(r, -E2BIG, "more than %u comments", PROFILE_COMMENTS_MAX);
	sizes->bytes += LEDGER_MERGE_BYTES + (uint64_t)(c.end - c.at);
	return sizes->bytes > profile_bytes_left(r->dst) ? refuse(r, -ENOSPC) : 0;
}

static int merge_comment(struct reader *r, uint64_t index, void *userdata)
{
	struct cursor c;

	(void)userdata;
	(void)string_bytes(r, index, &c);
	return ledger_merge_comment(r->dst, (const char *)c.at, (size_t)(c.end - c.at));
}

static int commit(struct reader *r)
{
	const size_t width = r->header.n_sample_types + 1;
	const struct profile_header before = *profile_header(r->dst);
	struct comment_sizes sizes = { .bytes = PROFILE_COMMENTS_MAX * sizeof(char *) };
	int e;

	if (r->n_rows > UINT32_MAX / 4)
		return refuse(r, -ENOSPC);
	merge_header(profile_header(r->dst), &r->header);
	e = profile_reserve_samples(r->dst, (uint32_t)r->n_rows);
	if (e < 0)
		e = refuse(r, e);
	else
		e = each_comment(r, measure_comment, &sizes);
	if (e >= 0)
		e = each_comment(r, merge_comment, NULL);
	if (e < 0) {
		*profile_header(r->dst) = before;
		return e;
	}
	for (const int64_t *row = r->rows; row < r->rows + r->n_rows * width; row += width) {
		e = profile_add_sample(r->dst, (uint32_t)((uint64_t)row[0] >> 32), (uint32_t)row[0], row + 1, NULL);
		assert(e >= 0);
	}
	return 0;
}

static int read_message(struct reader *r)
{
	int e = survey(r);

	if (e >= 0)
		e = find_strings(r);
	if (e >= 0)
		e = read_header(r);
	if (e >= 0)
		e = match_sample_types(r);
	if (e >= 0 && !(r->options.flags & PPROF_READ_NO_STACKS))
		e = read_entities(r);
	if (e >= 0)
		e = read_samples(r);
	return e < 0 ? e : commit(r);
}

int pprof_read_into(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        struct profile_error *error)
{
	_cleanup_(reader_done) struct reader r = { .dst = dst, .error = error, .seed = (uintptr_t)&r ^ (uintptr_t)dst };
	enum compression compression = compression_sniff(data, n);
	_cleanup_free_ char *plain = NULL;
	struct profile_mark mark;
	int e;

	assert(dst);

	if (options)
		r.options = *options;
	if (compression != COMPRESSION_NONE) {
		size_t size, max = (size_t)MIN((uint64_t)PPROF_BYTES_MAX, profile_bytes_left(dst));

		e = decompress_bytes(compression, data, n, max, &plain, &size);
		if (e < 0)
			return fail(&r, e,
			        e == -E2BIG ? "larger than %zu bytes when decompressed"
			                    : "malformed compression (limit %zu bytes)",
			        max);
		data = plain;
		n = size;
		r.work = size;
	}
	if (n == 0)
		return fail(&r, -EBADMSG, "empty");
	if (n > PPROF_BYTES_MAX)
		return fail(&r, -E2BIG, "larger than %u bytes", PPROF_BYTES_MAX);
	r.all = (struct cursor){ data, (const uint8_t *)data + n };
	mark = profile_mark(dst);
	e = read_message(&r);
	if (e < 0)
		profile_rollback(dst, &mark);
	return e;
}

int pprof_read(const struct profile_limits *limits, const void *data, size_t n, struct profile **ret,
        struct profile_error *error)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	int r;

	assert(ret);

	r = profile_new(limits, &p);
	if (r >= 0)
		r = pprof_read_into(p, NULL, data, n, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}
