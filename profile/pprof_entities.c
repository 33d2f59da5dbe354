#include "profile/pprof_reader.h"

#include <string.h>

/* ---- ids ---- */

static int id_map_new(struct reader *r, struct id_map *m, uint32_t n)
{
	int e = reader_alloc(r, (void **)&m->dense, 0, n * sizeof(*m->dense));

	if (e < 0)
		return e;
	memset(m->dense, 0xff, n * sizeof(*m->dense));
	m->n_dense = n;
	return 0;
}

static int id_map_put_rare(struct reader *r, struct id_map *m, uint64_t id, uint32_t index)
{
	int e;

	if (id == 0)
		return reader_fail(r, -EBADMSG, "its id is 0");
	if (id_map_get(r, m, id) != PROFILE_NONE)
		return reader_fail(r, -EBADMSG, "id %llu is taken", (unsigned long long)id);
	if (m->n_pairs == m->room_pairs) {
		uint32_t room = MAX(m->room_pairs * 2, 64u);

		e = reader_alloc(r, (void **)&m->pairs, m->room_pairs * sizeof(*m->pairs), room * sizeof(*m->pairs));
		if (e < 0)
			return e;
		m->room_pairs = room;
	}
	e = reader_grow_table(r, &m->table);
	if (e < 0)
		return e;
	m->pairs[m->n_pairs] = (struct id_pair){ .id = id, .index = index };
	table_insert(&m->table, id_hash(r, id), m->n_pairs++);
	return 0;
}

static inline int id_map_put(struct reader *r, struct id_map *m, uint64_t id, uint32_t index)
{
	if (id - 1 >= m->n_dense || m->dense[id - 1] != PROFILE_NONE)
		return id_map_put_rare(r, m, id, index);
	m->dense[id - 1] = index;
	return 0;
}

/* ---- mappings, functions, locations ---- */

/* Takes the fields that are numbers, up to number last, into v. Stops where something else comes, or something rare. */
static inline void take_numbers(const struct reader *r, struct cursor *c, uint64_t *v, uint32_t last)
{
	const uint8_t *at = c->at, *const end = c->end;

	if (r->all.end - end < VARINT_SLACK)
		return;
	while (at < end) {
		const uint8_t number = (uint8_t)(at[0] >> 3 | at[0] << 5); /* beyond last with any other wire type */
		uint64_t value;
		size_t n;

		if ((uint8_t)(number - 1) >= last)
			break;
		n = varint_get(at + 1, &value);
		if (n == 0 || n >= (size_t)(end - at))
			break;
		v[number] = value;
		at += 1 + n;
	}
	c->at = at;
}

/* A message of nothing but numbers: each field's value by its number, up to last. */
static inline int read_numbers(struct reader *r, struct cursor c, uint64_t *v, uint32_t last)
{
	struct field f;
	int e;

	take_numbers(r, &c, v, last);
	if (c.at == c.end)
		return 0;
	while ((e = cursor_field(&c, &f)) > 0) {
		if (f.number > last)
			continue;
		if (f.wire != WIRE_VARINT)
			return reader_malformed(r);
		v[f.number] = f.value;
	}
	return e < 0 ? reader_malformed(r) : 0;
}

/* What dst made of the last n entities that were read: indices[i] is that of ids[i]. */
static int id_map_put_all(struct reader *r, struct id_map *m, const uint64_t *ids, const uint32_t *indices, uint32_t n)
{
	const uint32_t last = r->ordinal;

	for (uint32_t i = 0; i < n; i++) {
		int e;

		r->ordinal = last - n + 1 + i;
		e = id_map_put(r, m, ids[i], indices[i]);
		if (e < 0)
			return e;
	}
	return 0;
}

static int read_mapping(struct reader *r, struct cursor c)
{
	uint64_t v[MAPPING_HAS_INLINE_FRAMES + 1] = { 0 };
	struct profile_mapping m = { 0 };
	uint32_t index;
	int e;

	e = read_numbers(r, c, v, MAPPING_HAS_INLINE_FRAMES);
	if (e < 0)
		return e;
	m = (struct profile_mapping){
		.start = v[MAPPING_START], .limit = v[MAPPING_LIMIT], .offset = v[MAPPING_OFFSET]
	};
	for (uint32_t i = 0; MAPPING_HAS_FUNCTIONS + i <= MAPPING_HAS_INLINE_FRAMES; i++)
		m.flags |= v[MAPPING_HAS_FUNCTIONS + i] ? 1u << i : 0;
	e = reader_string(r, v[MAPPING_FILENAME], &m.filename);
	if (e >= 0)
		e = reader_string(r, v[MAPPING_BUILD_ID], &m.build_id);
	if (e < 0)
		return e;
	e = profile_add_mapping(r->dst, &m, &index);
	return e < 0 ? reader_refuse(r, e) : id_map_put(r, &r->mappings, v[MAPPING_ID], index);
}

struct functions { /* on their way into dst */
	struct profile_function list[READER_BATCH];
	uint64_t ids[READER_BATCH];
	uint32_t n;
};

static int flush_functions(struct reader *r, struct functions *w)
{
	uint32_t indices[READER_BATCH];
	int e = profile_add_functions(r->dst, w->list, w->n, indices);

	if (e < 0)
		return reader_refuse(r, e);
	e = id_map_put_all(r, &r->functions, w->ids, indices, w->n);
	if (e < 0)
		return e;
	w->n = 0;
	return 0;
}

static int read_function(struct reader *r, struct cursor c, struct functions *w)
{
	uint64_t v[FUNCTION_START_LINE + 1] = { 0 };
	struct profile_function *fn = &w->list[w->n];
	int e;

	e = read_numbers(r, c, v, FUNCTION_START_LINE);
	if (e < 0)
		return e;
	*fn = (struct profile_function){ .start_line = (int64_t)v[FUNCTION_START_LINE] };
	e = reader_string(r, v[FUNCTION_NAME], &fn->name);
	if (e >= 0)
		e = reader_string(r, v[FUNCTION_SYSTEM_NAME], &fn->system_name);
	if (e >= 0)
		e = reader_string(r, v[FUNCTION_FILENAME], &fn->filename);
	if (e < 0)
		return e;
	w->ids[w->n++] = v[FUNCTION_ID];
	return w->n == READER_BATCH ? flush_functions(r, w) : 0;
}

static int read_functions(struct reader *r)
{
	struct cursor c = r->part[PPROF_FUNCTION], bytes;
	struct functions w = { .n = 0 };
	int e = id_map_new(r, &r->functions, r->count[PPROF_FUNCTION]);

	reader_enter(r, "function");
	while (e >= 0 && (e = reader_next(r, &c, PPROF_FUNCTION, &bytes)) > 0)
		e = read_function(r, bytes, &w);
	return e < 0 ? e : flush_functions(r, &w);
}

static int read_line(struct reader *r, struct cursor c, struct profile_line *ret)
{
	uint64_t v[LINE_COLUMN + 1] = { 0 };
	uint32_t function;
	int e;

	e = read_numbers(r, c, v, LINE_COLUMN);
	if (e < 0)
		return e;
	function = id_map_get(r, &r->functions, v[LINE_FUNCTION_ID]);
	if (function == PROFILE_NONE)
		return reader_fail(
		        r, -EBADMSG, "function %llu does not exist", (unsigned long long)v[LINE_FUNCTION_ID]);
	*ret = (struct profile_line){
		.function = function,
		.column = v[LINE_COLUMN] > UINT32_MAX ? 0 : (uint32_t)v[LINE_COLUMN], /* 0: not known */
		.line = (int64_t)v[LINE_LINE],
	};
	return 0;
}

struct locations { /* on their way into dst */
	struct profile_location list[READER_BATCH];
	uint64_t ids[READER_BATCH];
	uint32_t n, n_lines;
	struct profile_line lines[4 * PROFILE_LINES_MAX]; /* of all */
};

static int flush_locations(struct reader *r, struct locations *w)
{
	uint32_t indices[READER_BATCH];
	int e = profile_add_locations(r->dst, w->list, w->n, indices);

	if (e < 0)
		return reader_refuse(r, e);
	e = id_map_put_all(r, &r->locations, w->ids, indices, w->n);
	if (e < 0)
		return e;
	w->n = w->n_lines = 0;
	return 0;
}

static int read_location(struct reader *r, struct cursor c, struct locations *w)
{
	uint64_t v[LOCATION_IS_FOLDED + 1] = { 0 };
	struct profile_location *l = &w->list[w->n];
	struct field f;
	int e;

	*l = (struct profile_location){ .mapping = PROFILE_NONE, .lines = &w->lines[w->n_lines] };
	while (take_numbers(r, &c, v, LOCATION_ADDRESS), (e = cursor_field(&c, &f)) > 0) {
		if (f.number > LOCATION_IS_FOLDED)
			continue;
		if (f.wire != (f.number == LOCATION_LINE ? WIRE_BYTES : WIRE_VARINT))
			return reader_malformed(r);
		if (f.number != LOCATION_LINE) {
			v[f.number] = f.value;
			continue;
		}
		if (l->n_lines == PROFILE_LINES_MAX)
			return reader_fail(r, -E2BIG, "more than %u lines", PROFILE_LINES_MAX);
		e = read_line(r, f.bytes, &w->lines[w->n_lines + l->n_lines++]);
		if (e < 0)
			return e;
	}
	if (e < 0)
		return reader_malformed(r);
	l->address = v[LOCATION_ADDRESS];
	l->is_folded = v[LOCATION_IS_FOLDED] != 0;
	if (v[LOCATION_MAPPING_ID]) {
		l->mapping = id_map_get(r, &r->mappings, v[LOCATION_MAPPING_ID]);
		if (l->mapping == PROFILE_NONE)
			return reader_fail(
			        r, -EBADMSG, "mapping %llu does not exist", (unsigned long long)v[LOCATION_MAPPING_ID]);
	}
	w->ids[w->n++] = v[LOCATION_ID];
	w->n_lines += l->n_lines;
	if (w->n < READER_BATCH && w->n_lines + PROFILE_LINES_MAX <= ARRAY_SIZE(w->lines))
		return 0;
	return flush_locations(r, w);
}

static int read_locations(struct reader *r)
{
	struct cursor c = r->part[PPROF_LOCATION], bytes;
	struct locations w;
	int e = id_map_new(r, &r->locations, r->count[PPROF_LOCATION]);

	w.n = w.n_lines = 0;
	reader_enter(r, "location");
	while (e >= 0 && (e = reader_next(r, &c, PPROF_LOCATION, &bytes)) > 0)
		e = read_location(r, bytes, &w);
	return e < 0 ? e : flush_locations(r, &w);
}

static int read_mappings(struct reader *r)
{
	struct cursor c = r->part[PPROF_MAPPING], bytes;
	int e = id_map_new(r, &r->mappings, r->count[PPROF_MAPPING]);

	reader_enter(r, "mapping");
	while (e >= 0 && (e = reader_next(r, &c, PPROF_MAPPING, &bytes)) > 0)
		e = read_mapping(r, bytes);
	return e;
}

int reader_entities(struct reader *r)
{
	int e = read_mappings(r);

	if (e >= 0)
		e = read_functions(r);
	return e < 0 ? e : read_locations(r);
}
