#include "profile/otlp_encoder.h"

#include <string.h>

/* ---- bytes ---- */

uint8_t *otlp_scratch(struct otlp_encoder *e, size_t n)
{
	if (n > e->scratch_room) {
		size_t room = MAX(n, e->scratch_room * 2);
		uint8_t *bigger = realloc(e->scratch, room);

		if (!bigger) {
			e->error = e->error ? e->error : -ENOMEM;
			return NULL;
		}
		e->scratch = bigger;
		e->scratch_room = room;
	}
	return e->scratch;
}

void otlp_flush(struct otlp_encoder *e)
{
	if (e->n_out && e->error >= 0) {
		int r = e->sink(e->userdata, e->out, e->n_out);

		if (r < 0)
			e->error = r;
	}
	e->written += e->n_out;
	e->n_out = 0;
}

void otlp_emit(struct otlp_encoder *e, const void *data, size_t n)
{
	if (n > sizeof(e->out) - e->n_out)
		otlp_flush(e);
	if (n > sizeof(e->out)) {
		int r = e->error < 0 ? e->error : e->sink(e->userdata, data, n);

		e->error = r < 0 ? r : e->error;
		e->written += n;
		return;
	}
	if (n)
		memcpy(e->out + e->n_out, data, n);
	e->n_out += n;
}

void otlp_emit_head(struct otlp_encoder *e, uint32_t field, uint64_t n)
{
	uint8_t head[12], *end;

	head[0] = (uint8_t)(field << 3 | WIRE_BYTES);
	end = varint_put(head + 1, n);
	otlp_emit(e, head, (size_t)(end - head));
}

uint8_t *otlp_put_packed(uint8_t *to, uint32_t field, const uint32_t *values, size_t n)
{
	size_t bytes = 0;

	if (n == 0)
		return to;
	for (size_t i = 0; i < n; i++)
		bytes += varint_size(values[i]);
	*to++ = (uint8_t)(field << 3 | WIRE_BYTES);
	to = varint_put(to, bytes);
	for (size_t i = 0; i < n; i++)
		to = varint_put(to, values[i]);
	return to;
}

/* Length of the UTF-8 sequence at s, 0 where it is none. */
static size_t utf8_length(const uint8_t *s, size_t n)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t min;
	} forms[] = { { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

	if (s[0] < 0x80)
		return 1;
	for (size_t f = 0; f < ARRAY_SIZE(forms); f++) {
		uint32_t c;

		if ((s[0] & forms[f].mask) != forms[f].lead)
			continue;
		if (n < f + 2)
			return 0;
		c = s[0] & (uint8_t)~forms[f].mask;
		for (size_t i = 1; i < f + 2; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		return c < forms[f].min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : f + 2;
	}
	return 0;
}

/* to has room for 3 * n: every byte that is no UTF-8 becomes U+FFFD. */
static size_t put_utf8(uint8_t *to, const char *from, size_t n)
{
	uint8_t *start = to;

	for (size_t i = 0; i < n;) {
		size_t k = utf8_length((const uint8_t *)from + i, n - i);

		if (k == 0) {
			memcpy(to, "\xef\xbf\xbd", 3);
			to += 3;
			i++;
			continue;
		}
		memcpy(to, from + i, k);
		to += k;
		i += k;
	}
	return (size_t)(to - start);
}

/* A string field whose text starts at to + 11 at the end of the work: mend first, then put the length before it. */
uint8_t *otlp_put_text(uint8_t *to, uint32_t field, const char *text, size_t n)
{
	size_t size = put_utf8(to + 11, text, n);
	uint8_t *end;

	*to = (uint8_t)(field << 3 | WIRE_BYTES);
	end = varint_put(to + 1, size);
	memmove(end, to + 11, size);
	return end + size;
}

size_t otlp_text_room(size_t n)
{
	return 3 * n + 16;
}

/* ---- strings ---- */

static const char *string_text(const struct otlp_encoder *e, uint32_t s, size_t *ret_n)
{
	if (s < e->n_strings)
		return profile_string(e->p, s, ret_n);
	*ret_n = strlen(e->extra[s - e->n_strings]);
	return e->extra[s - e->n_strings];
}

/* The number of a text that lives as long as the encoder. */
uint32_t otlp_extra_string(struct otlp_encoder *e, const char *text)
{
	uint32_t s;

	if (!*text)
		return 0;
	if (profile_find_string(e->p, text, &s) == 0)
		return s;
	for (s = 0; s < e->n_extra; s++)
		if (strcmp(e->extra[s], text) == 0)
			return e->n_strings + s;
	if (e->n_extra >= EXTRA_STRINGS_MAX) {
		e->error = e->error ? e->error : -E2BIG;
		return 0;
	}
	e->extra[e->n_extra] = text;
	return e->n_strings + e->n_extra++;
}

/* ---- dictionary ---- */

static size_t encode(struct otlp_encoder *e, uint32_t table, uint32_t model);

/* The request's index of a model entity, put into its table where it is new. */
uint32_t otlp_ref(struct otlp_encoder *e, uint32_t table, uint32_t model)
{
	struct table *t = &e->tables[table];

	if (t->index[model])
		return t->index[model];
	if (t->n >= t->room) {
		uint32_t room = MAX(t->room * 2, 256u);
		uint32_t *bigger = reallocarray(t->model, room, sizeof(*bigger));

		if (!bigger) {
			e->error = e->error ? e->error : -ENOMEM;
			return 0;
		}
		t->model = bigger;
		t->room = room;
	}
	t->index[model] = t->n;
	t->model[t->n++] = model;
	e->dictionary_bytes += field_size(encode(e, table, model));
	return t->index[model];
}

uint32_t otlp_string_ref(struct otlp_encoder *e, uint32_t s)
{
	return s ? otlp_ref(e, DICTIONARY_STRING, s) : 0;
}

static size_t encode_comments(struct otlp_encoder *e)
{
	size_t room = 32, n;
	uint8_t *start, *to;

	for (uint32_t i = 0; i < profile_n_comments(e->p); i++)
		room += otlp_text_room(strlen(profile_comment(e->p, i))) + 32;
	start = otlp_scratch(e, room);
	if (!start)
		return 0;
	to = start;
	for (uint32_t i = 0; i < profile_n_comments(e->p); i++) {
		const char *text = profile_comment(e->p, i);
		uint8_t *at = to + 11;
		uint8_t *end = otlp_put_text(at, ANY_STRING, text, strlen(text));

		n = (size_t)(end - at);
		*to = ARRAY_VALUES << 3 | WIRE_BYTES;
		end = varint_put(to + 1, n);
		memmove(end, at, n);
		to = end + n;
	}
	return (size_t)(to - start);
}

/* The AnyValue of an attribute, at the start of scratch. */
static size_t encode_value(struct otlp_encoder *e, const struct attribute *a)
{
	uint8_t *start, *to;
	const char *text;
	size_t n;

	switch ((enum attribute_kind)a->kind) {
	case ATTRIBUTE_STRING:
		text = string_text(e, (uint32_t)a->value, &n);
		start = otlp_scratch(e, otlp_text_room(n));
		return start ? (size_t)(otlp_put_text(start, ANY_STRING, text, n) - start) : 0;
	case ATTRIBUTE_COMMENTS:
		n = encode_comments(e);
		start = otlp_scratch(e, n + 16);
		if (!start)
			return 0;
		memmove(start + 1 + varint_size(n), start, n);
		*start = ANY_ARRAY << 3 | WIRE_BYTES;
		(void)varint_put(start + 1, n);
		return field_size(n);
	case ATTRIBUTE_INT:
	case ATTRIBUTE_BOOL:
		start = otlp_scratch(e, 16);
		if (!start)
			return 0;
		/* Written also where it is 0: a oneof has presence. */
		*start = (uint8_t)((a->kind == ATTRIBUTE_INT ? ANY_INT : ANY_BOOL) << 3 | WIRE_VARINT);
		to = varint_put(start + 1, (uint64_t)a->value);
		return (size_t)(to - start);
	}
	return 0;
}

static size_t encode_attribute(struct otlp_encoder *e, const struct attribute *a)
{
	uint32_t key = otlp_string_ref(e, a->key), unit = otlp_string_ref(e, a->unit);
	uint8_t head[32], *to;
	size_t n = encode_value(e, a), n_head;

	if (!otlp_scratch(e, n + 64))
		return 0;
	to = put_number(head, ATTRIBUTE_KEY, key);
	*to++ = ATTRIBUTE_VALUE << 3 | WIRE_BYTES;
	to = varint_put(to, n);
	n_head = (size_t)(to - head);
	memmove(e->scratch + n_head, e->scratch, n);
	memcpy(e->scratch, head, n_head);
	to = put_number(e->scratch + n_head + n, ATTRIBUTE_UNIT, unit);
	return (size_t)(to - e->scratch);
}

uint32_t otlp_attribute_ref(
        struct otlp_encoder *e, uint32_t key, enum attribute_kind kind, int64_t value, uint32_t unit)
{
	struct attribute a = { .key = key, .kind = kind, .value = value, .unit = unit };
	uint32_t id;
	int r;

	r = intern_put(e->attributes, &a, sizeof(a), &id);
	if (r < 0) {
		e->error = e->error ? e->error : r;
		return 0;
	}
	if (r > 0)
		e->dictionary_bytes += field_size(encode_attribute(e, &a));
	return id + 1; /* 0 is the zero element */
}

uint32_t otlp_string_attribute(struct otlp_encoder *e, const char *key, uint32_t value)
{
	return otlp_attribute_ref(e, otlp_extra_string(e, key), ATTRIBUTE_STRING, value, 0);
}

static uint32_t bool_attribute(struct otlp_encoder *e, const char *key)
{
	return otlp_attribute_ref(e, otlp_extra_string(e, key), ATTRIBUTE_BOOL, 1, 0);
}

/* Our build IDs are hex; Go's own are not. */
static const char *build_id_key(const char *id, size_t n)
{
	if (strspn(id, "0123456789abcdef") != n)
		return OTLP_BUILD_ID_GO;
	return n == OTLP_HTLHASH_DIGITS ? OTLP_BUILD_ID_HTLHASH : OTLP_BUILD_ID_GNU;
}

static size_t encode_mapping(struct otlp_encoder *e, uint32_t model)
{
	struct profile_mapping m = *profile_mapping(e->p, model);
	uint32_t attributes[1 + ARRAY_SIZE(otlp_mapping_flags)], filename;
	size_t n = 0, size;
	uint8_t *start, *to;

	filename = otlp_string_ref(e, m.filename);
	if (m.build_id) {
		const char *id = profile_string(e->p, m.build_id, &size);

		attributes[n++] = otlp_string_attribute(e, build_id_key(id, size), m.build_id);
	}
	for (size_t i = 0; i < ARRAY_SIZE(otlp_mapping_flags); i++)
		if (m.flags & 1u << i)
			attributes[n++] = bool_attribute(e, otlp_mapping_flags[i]);
	start = otlp_scratch(e, 128);
	if (!start)
		return 0;
	to = put_number(start, OTLP_MAPPING_START, m.start);
	to = put_number(to, OTLP_MAPPING_LIMIT, m.limit);
	to = put_number(to, OTLP_MAPPING_OFFSET, m.offset);
	to = put_number(to, OTLP_MAPPING_FILENAME, filename);
	to = otlp_put_packed(to, OTLP_MAPPING_ATTRIBUTES, attributes, n);
	return (size_t)(to - start);
}

static size_t encode_function(struct otlp_encoder *e, uint32_t model)
{
	struct profile_function f = *profile_function(e->p, model);
	uint32_t name = otlp_string_ref(e, f.name), system_name = otlp_string_ref(e, f.system_name),
	         filename = otlp_string_ref(e, f.filename);
	uint8_t *start = otlp_scratch(e, 64), *to;

	if (!start)
		return 0;
	to = put_number(start, OTLP_FUNCTION_NAME, name);
	to = put_number(to, OTLP_FUNCTION_SYSTEM_NAME, system_name);
	to = put_number(to, OTLP_FUNCTION_FILENAME, filename);
	to = put_number(to, OTLP_FUNCTION_START_LINE, (uint64_t)f.start_line);
	return (size_t)(to - start);
}

static bool has_suffix(const char *s, size_t n, const char *suffix)
{
	size_t k = strlen(suffix);

	return n > k && memcmp(s + n - k, suffix, k) == 0;
}

/* By the mapping for the kernel, by the source file's ending for languages: what the profile itself can tell. */
static const char *frame_type(const struct profile *p, const struct profile_location *l)
{
	static const struct {
		const char *suffix, *type;
	} languages[] = { { ".go", "go" }, { ".rs", "rust" }, { ".py", "cpython" }, { ".java", "jvm" },
		{ ".js", "v8js" }, { ".rb", "ruby" }, { ".php", "php" }, { ".pl", "perl" }, { ".cs", "dotnet" } };
	size_t n;

	if (l->mapping != PROFILE_NONE) {
		const char *name = profile_string(p, profile_mapping(p, l->mapping)->filename, &n);

		if (strncmp(name, "[kernel", 7) == 0 || has_suffix(name, n, ".ko"))
			return "kernel";
		/* A module is named in brackets, as kallsyms does; so are [vdso] and the like, which are no kernel
		 * code. */
		if (name[0] == '[' && l->address >> 63)
			return "kernel";
	}
	if (l->n_lines) {
		const char *file =
		        profile_string(p, profile_function(p, l->lines[l->n_lines - 1].function)->filename, &n);

		for (size_t i = 0; i < ARRAY_SIZE(languages); i++)
			if (has_suffix(file, n, languages[i].suffix))
				return languages[i].type;
	}
	return "native";
}

static size_t encode_location(struct otlp_encoder *e, uint32_t model)
{
	struct profile_location l = profile_location(e->p, model);
	uint32_t attributes[2], mapping = 0;
	size_t n = 0;
	uint8_t *start, *to;

	if (l.mapping != PROFILE_NONE)
		mapping = otlp_ref(e, DICTIONARY_MAPPING, l.mapping);
	for (uint32_t i = 0; i < l.n_lines; i++)
		(void)otlp_ref(e, DICTIONARY_FUNCTION, l.lines[i].function);
	attributes[n++] = otlp_string_attribute(e, OTLP_FRAME_TYPE, otlp_extra_string(e, frame_type(e->p, &l)));
	if (l.is_folded)
		attributes[n++] = bool_attribute(e, OTLP_IS_FOLDED);
	start = otlp_scratch(e, 64 + (size_t)l.n_lines * 48);
	if (!start)
		return 0;
	to = put_number(start, OTLP_LOCATION_MAPPING, mapping);
	to = put_number(to, OTLP_LOCATION_ADDRESS, l.address);
	for (uint32_t i = 0; i < l.n_lines; i++) {
		uint8_t *end = put_number(
		        to + 2, OTLP_LINE_FUNCTION, e->tables[DICTIONARY_FUNCTION].index[l.lines[i].function]);

		end = put_number(end, OTLP_LINE_LINE, (uint64_t)l.lines[i].line);
		end = put_number(end, OTLP_LINE_COLUMN, l.lines[i].column);
		to[0] = OTLP_LOCATION_LINES << 3 | WIRE_BYTES;
		to[1] = (uint8_t)(end - to - 2); /* at most 28 bytes */
		to = end;
	}
	to = otlp_put_packed(to, OTLP_LOCATION_ATTRIBUTES, attributes, n);
	return (size_t)(to - start);
}

static size_t encode_stack(struct otlp_encoder *e, uint32_t model)
{
	const struct table *t = &e->tables[DICTIONARY_LOCATION];
	size_t n, bytes = 0;
	const uint32_t *locations = profile_stack(e->p, model, &n);
	uint8_t *start, *to;

	for (size_t i = 0; i < n; i++)
		bytes += varint_size(otlp_ref(e, DICTIONARY_LOCATION, locations[i]));
	start = otlp_scratch(e, bytes + 16);
	if (!start || n == 0 || e->error < 0)
		return 0;
	*start = OTLP_STACK_LOCATIONS << 3 | WIRE_BYTES;
	to = varint_put(start + 1, bytes);
	for (size_t i = 0; i < n; i++)
		to = varint_put(to, t->index[locations[i]]);
	return (size_t)(to - start);
}

static size_t encode_string(struct otlp_encoder *e, uint32_t s)
{
	size_t n;
	const char *text = string_text(e, s, &n);
	uint8_t *start = otlp_scratch(e, 3 * n + 1);

	return start ? put_utf8(start, text, n) : 0;
}

/* The entry's bytes at the start of scratch. */
static size_t encode(struct otlp_encoder *e, uint32_t table, uint32_t model)
{
	switch (table) {
	case DICTIONARY_MAPPING:
		return encode_mapping(e, model);
	case DICTIONARY_LOCATION:
		return encode_location(e, model);
	case DICTIONARY_FUNCTION:
		return encode_function(e, model);
	case DICTIONARY_STRING:
		return encode_string(e, model);
	case DICTIONARY_STACK:
		return encode_stack(e, model);
	default:
		return 0;
	}
}

/* ---- all of it ---- */

static void emit_table(struct otlp_encoder *e, uint32_t table)
{
	struct table *t = &e->tables[table];

	otlp_emit_head(e, table, 0);
	for (uint32_t i = 1; i < t->n; i++) {
		size_t n = encode(e, table, t->model[i]);

		otlp_emit_head(e, table, n);
		otlp_emit(e, e->scratch, n);
	}
}

static void emit_attributes(struct otlp_encoder *e)
{
	otlp_emit_head(e, DICTIONARY_ATTRIBUTE, 0);
	for (uint32_t i = 0; i < intern_count(e->attributes); i++) {
		size_t n, size;
		struct attribute a;

		memcpy(&a, intern_get(e->attributes, i, &size), sizeof(a));
		n = encode_attribute(e, &a);
		otlp_emit_head(e, DICTIONARY_ATTRIBUTE, n);
		otlp_emit(e, e->scratch, n);
	}
}

void otlp_emit_dictionary(struct otlp_encoder *e)
{
	otlp_emit_head(e, REQUEST_DICTIONARY, e->dictionary_bytes);
	for (uint32_t table = DICTIONARY_MAPPING; table <= DICTIONARY_STACK; table++) {
		if (table == DICTIONARY_ATTRIBUTE)
			emit_attributes(e);
		else
			emit_table(e, table);
	}
}

int otlp_restart(struct otlp_encoder *e)
{
	for (uint32_t table = DICTIONARY_MAPPING; table <= DICTIONARY_STACK; table++) {
		struct table *t = &e->tables[table];

		for (uint32_t i = 1; i < t->n; i++)
			t->index[t->model[i]] = 0;
		t->n = 1;
	}
	e->attributes = intern_free(e->attributes);
	e->dictionary_bytes = 2 * DICTIONARY_STACK; /* the zero elements */
	e->error = 0;
	return intern_new(1u << 22, 1u << 28, &e->attributes);
}

int otlp_make_tables(struct otlp_encoder *e)
{
	const struct profile *p = e->p;
	const uint32_t counts[DICTIONARY_STACK + 1] = {
		[DICTIONARY_MAPPING] = profile_n_mappings(p),
		[DICTIONARY_LOCATION] = profile_n_locations(p),
		[DICTIONARY_FUNCTION] = profile_n_functions(p),
		[DICTIONARY_STRING] = profile_n_strings(p) + EXTRA_STRINGS_MAX,
		[DICTIONARY_STACK] = profile_n_stacks(p),
	};

	for (uint32_t table = DICTIONARY_MAPPING; table <= DICTIONARY_STACK; table++) {
		e->tables[table].index = calloc((size_t)counts[table] + 1, sizeof(uint32_t));
		if (!e->tables[table].index)
			return -ENOMEM;
		e->tables[table].n = 1;
	}
	e->keys = calloc((size_t)e->n_strings + 1, sizeof(*e->keys));
	e->sample_attributes = calloc(ATTRIBUTES_MAX, sizeof(*e->sample_attributes));
	return e->keys && e->sample_attributes ? 0 : -ENOMEM;
}
