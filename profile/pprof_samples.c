#include "profile/pprof_reader.h"

#include <string.h>

/* ---- labels ---- */

static bool is_dropped(struct reader *r, uint64_t key)
{
	struct cursor bytes;

	if (!r->options.drop_labels || reader_string_bytes(r, key, &bytes) < 0)
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
			return reader_malformed(r);
		v[f.number] = f.value;
		has_number |= f.number == LABEL_NUM || f.number == LABEL_NUM_UNIT;
	}
	if (e < 0)
		return reader_malformed(r);
	*ret_drop = is_dropped(r, v[LABEL_KEY]);
	if (*ret_drop && !r->options.want)
		return 0; /* nobody asks for it: its text need not enter dst */
	ret->unit = PROFILE_NONE;
	ret->value = (int64_t)v[LABEL_NUM];
	e = reader_string(r, v[LABEL_KEY], &ret->key);
	if (e < 0)
		return e;
	if (has_number && v[LABEL_STR] == 0)
		return reader_string(r, v[LABEL_NUM_UNIT], &ret->unit);
	e = reader_string(r, v[LABEL_STR], &text);
	ret->value = text;
	return e;
}

struct sample_fields {
	const uint8_t *end;   /* of the sample */
	struct cursor labels; /* from the first to past the last */
	uint32_t n_labels;
	bool labels_apart; /* other fields stand between them */
	bool has_set;      /* the labels are known by their bytes and were not looked at */
	uint32_t set;
	uint32_t n_locations, n_values;
	int64_t values[PROFILE_SAMPLE_TYPES_MAX];
	uint32_t *locations; /* room for PROFILE_STACK_DEPTH_MAX */
};

/* Stacks on their way into dst: those of the last n rows. */
struct stacks {
	uint32_t n, n_locations;
	uint32_t depths[READER_BATCH];
	uint32_t locations[4 * PROFILE_STACK_DEPTH_MAX];
};

static int read_labels(struct reader *r, struct cursor c, uint32_t *ret_set)
{
	struct profile_label labels[PROFILE_LABELS_MAX];
	uint64_t dropped = 0;
	uint32_t n = 0, kept = 0;
	struct field f;
	int e;

	while (cursor_field(&c, &f) > 0) {
		bool drop = false;

		if (f.number != SAMPLE_LABEL)
			continue;
		if (n == PROFILE_LABELS_MAX)
			return reader_fail(r, -E2BIG, "more than %u labels", PROFILE_LABELS_MAX);
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
	return e < 0 ? reader_refuse(r, e) : 0;
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

static uint32_t memo_hash(const struct reader *r, const struct memo_key *k)
{
	return table_hash(XXH3_64bits_withSeed(k->at, k->size, r->seed));
}

static bool recall_labels(const struct reader *r, struct cursor c, uint32_t *ret_set)
{
	const struct memo_key key = { c.at, (size_t)(c.end - c.at) };
	uint32_t i = table_find(&r->memo_table, memo_hash(r, &key), memo_equal, r, &key);

	if (i == TABLE_NONE)
		return false;
	*ret_set = r->memos[i].set;
	return true;
}

static int remember_labels(struct reader *r, struct cursor c, uint32_t set)
{
	const struct memo_key key = { c.at, (size_t)(c.end - c.at) };
	int e;

	if (r->n_memos == r->room_memos) {
		uint32_t room = MAX(r->room_memos * 2, 64u);

		e = reader_alloc(r, (void **)&r->memos, r->room_memos * sizeof(*r->memos), room * sizeof(*r->memos));
		if (e < 0)
			return e;
		r->room_memos = room;
	}
	e = reader_grow_table(r, &r->memo_table);
	if (e < 0)
		return e;
	r->memos[r->n_memos] = (struct label_memo){ (uint32_t)(key.at - r->all.at), (uint32_t)key.size, set };
	table_insert(&r->memo_table, memo_hash(r, &key), r->n_memos++);
	return 0;
}

/* Labels are a sample's last fields and a file has few distinct sets: what was all labels from the first one to the end
 * is known by its bytes from then on. */
static int label_set(struct reader *r, const struct sample_fields *s, uint32_t *ret)
{
	const struct cursor labels = s->n_labels ? s->labels : (struct cursor){ r->all.at, r->all.at };
	int e;

	if (s->has_set) {
		*ret = s->set;
		return 0;
	}
	if (!s->n_labels && recall_labels(r, labels, ret))
		return 0;
	e = read_labels(r, labels, ret);
	if (e < 0 || s->labels_apart || (s->n_labels && labels.end != s->end))
		return e;
	return remember_labels(r, labels, *ret);
}

/* ---- samples ---- */

/* Most of a file's bytes are these ids. */
static inline int take_location(struct reader *r, struct sample_fields *s, uint64_t id)
{
	uint32_t index = id_map_get(r, &r->locations, id);

	if (__builtin_expect(index == PROFILE_NONE, 0))
		return reader_fail(r, -EBADMSG, "location %llu does not exist", (unsigned long long)id);
	if (__builtin_expect(s->n_locations == PROFILE_STACK_DEPTH_MAX, 0))
		return reader_fail(r, -E2BIG, "deeper than %u locations", PROFILE_STACK_DEPTH_MAX);
	s->locations[s->n_locations++] = index;
	return 0;
}

static inline int take_value(struct reader *r, struct sample_fields *s, uint64_t value)
{
	if (s->n_values == r->header.n_sample_types)
		return reader_fail(r, -EBADMSG, "more than %u values", r->header.n_sample_types);
	s->values[s->n_values++] = (int64_t)value;
	return 0;
}

/* Repeated numbers, packed or not. Inline: take is compiled into it. */
__attribute__((always_inline)) static inline int take_numbers(struct reader *r, struct sample_fields *s,
        const struct field *f, int (*take)(struct reader *r, struct sample_fields *s, uint64_t n))
{
	struct cursor c = f->bytes;
	uint64_t number;
	int e = 0;

	if (f->wire == WIRE_VARINT)
		return take(r, s, f->value);
	if (f->wire != WIRE_BYTES)
		return reader_malformed(r);
	while (c.at < c.end && e >= 0) {
		const size_t n = r->all.end - c.at >= VARINT_SLACK ? varint_get(c.at, &number) : 0;

		if (n > 0 && n <= (size_t)(c.end - c.at))
			c.at += n;
		else if (!cursor_varint(&c, &number))
			return reader_malformed(r);
		e = take(r, s, number);
	}
	return e;
}

/* Packed ids of one or two bytes that all exist, as nearly all are: takes them all, or none. */
static bool take_short_ids(const struct reader *r, struct sample_fields *s, struct cursor c)
{
	const uint32_t *const dense = r->locations.dense, n = r->locations.n_dense;
	const uint8_t *at = c.at, *const end = c.end;
	uint32_t *to = s->locations + s->n_locations, highest = 0;

	if (end == r->all.end || end - at > PROFILE_STACK_DEPTH_MAX - s->n_locations)
		return false;
	while (at < end) {
		uint32_t id = *at++;

		if (id >= 0x80) {
			id += ((uint32_t)*at << 7) - 0x80;
			if (*at++ >= 0x80)
				return false;
		}
		if (id - 1 >= n)
			return false;
		highest = MAX(highest, dense[id - 1]);
		*to++ = dense[id - 1];
	}
	if (at > end || highest == PROFILE_NONE)
		return false;
	s->n_locations = (uint32_t)(to - s->locations);
	return true;
}

static int take_label(struct reader *r, struct sample_fields *s, const struct field *f)
{
	if (f->wire != WIRE_BYTES)
		return reader_malformed(r);
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

	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number == SAMPLE_LABEL && s->n_labels == 0) {
			s->has_set = recall_labels(r, (struct cursor){ f.start, s->end }, &s->set);
			if (s->has_set)
				break;
		}
		if (f.number == SAMPLE_LOCATION_ID && !(r->options.flags & PPROF_READ_NO_STACKS))
			e = f.wire == WIRE_BYTES && take_short_ids(r, s, f.bytes)
			            ? 0
			            : take_numbers(r, s, &f, take_location);
		else if (f.number == SAMPLE_VALUE)
			e = take_numbers(r, s, &f, take_value);
		else if (f.number == SAMPLE_LABEL)
			e = take_label(r, s, &f);
		if (e < 0)
			return e;
	}
	if (e < 0)
		return reader_malformed(r);
	if (s->n_values != r->header.n_sample_types)
		return reader_fail(r, -EBADMSG, "%u values for %u sample types", s->n_values, r->header.n_sample_types);
	return 0;
}

static int push_sample(struct reader *r, uint32_t stack, uint32_t labels, const int64_t *values)
{
	const size_t stride = r->header.n_sample_types, old = r->room_samples, room = MAX(old * 2, (size_t)256);
	int e = 0;

	if (r->n_samples == old) {
		e = reader_alloc(r, (void **)&r->samples, old * sizeof(*r->samples), room * sizeof(*r->samples));
		if (e >= 0)
			e = reader_alloc(r, (void **)&r->values, old * stride * sizeof(*r->values),
			        room * stride * sizeof(*r->values));
		if (e < 0)
			return e;
		r->room_samples = room;
	}
	for (size_t i = 0; i < stride; i++)
		r->values[r->n_samples * stride + r->value_to[i]] = values[i];
	r->samples[r->n_samples++] = (struct profile_sample){ .stack = stack, .labels = labels };
	return 0;
}

static int flush_stacks(struct reader *r, struct stacks *w)
{
	uint32_t indices[READER_BATCH];
	int e = profile_add_stacks(r->dst, w->locations, w->depths, w->n, indices);

	if (e < 0)
		return reader_refuse(r, e);
	for (uint32_t i = 0; i < w->n; i++)
		r->samples[r->n_samples - w->n + i].stack = indices[i];
	w->n = w->n_locations = 0;
	return 0;
}

static int read_sample(struct reader *r, struct cursor c, struct stacks *w)
{
	struct sample_fields s;
	uint32_t labels;
	int e;

	s.end = c.end;
	s.locations = w->locations + w->n_locations;
	s.n_labels = s.n_locations = s.n_values = 0;
	s.labels_apart = s.has_set = false;
	e = split_sample(r, c, &s);
	if (e >= 0)
		e = label_set(r, &s, &labels);
	if (e < 0 || labels == PROFILE_NONE)
		return e;
	e = push_sample(r, r->empty_stack, labels, s.values);
	if (e < 0 || (r->options.flags & PPROF_READ_NO_STACKS))
		return e;
	w->depths[w->n++] = s.n_locations;
	w->n_locations += s.n_locations;
	if (w->n < READER_BATCH && w->n_locations + PROFILE_STACK_DEPTH_MAX <= ARRAY_SIZE(w->locations))
		return 0;
	return flush_stacks(r, w);
}

int reader_samples(struct reader *r)
{
	struct cursor c = r->part[PPROF_SAMPLE], bytes;
	struct stacks w;
	int e = 0;

	if (r->options.flags & PPROF_READ_NO_STACKS)
		e = profile_add_stack(r->dst, NULL, 0, &r->empty_stack);
	if (e < 0)
		return reader_refuse(r, e);
	reader_enter(r, "sample");
	if (r->count[PPROF_SAMPLE] && r->header.n_sample_types == 0)
		return reader_fail(r, -EBADMSG, "there is no sample type");
	w.n = w.n_locations = 0;
	while ((e = reader_next(r, &c, PPROF_SAMPLE, &bytes)) > 0) {
		e = read_sample(r, bytes, &w);
		if (e < 0)
			return e;
	}
	if (e >= 0)
		e = flush_stacks(r, &w);
	r->kind = NULL;
	return e;
}
