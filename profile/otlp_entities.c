#include "profile/otlp_reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int otlp_fail(struct reader *r, int code, const char *format, ...)
{
	va_list ap;

	if (r->error) {
		va_start(ap, format);
		(void)vsnprintf(r->error->text, sizeof(r->error->text), format, ap);
		va_end(ap);
	}
	return code;
}

/* The values of a repeated number, packed or one by one. 1: *ret is the next; 0: none left; -EBADMSG. f->bytes moves
 * on. */
int otlp_next_number(struct field *f, uint64_t *ret)
{
	if (f->wire == WIRE_VARINT) {
		*ret = f->value;
		f->wire = WIRE_BYTES;
		f->bytes = (struct cursor){ NULL, NULL };
		return 1;
	}
	if (f->wire != WIRE_BYTES)
		return -EBADMSG;
	if (f->bytes.at == f->bytes.end)
		return 0;
	return cursor_varint(&f->bytes, ret) ? 1 : -EBADMSG;
}

/* ---- dictionary ---- */

static int list_dictionary(struct reader *r, struct cursor dictionary, bool is_counting)
{
	struct field f;
	int k;

	while ((k = cursor_field(&dictionary, &f)) == 1) {
		struct entries *t;

		if (f.number == 0 || f.number >= TABLES || f.wire != WIRE_BYTES)
			continue;
		t = &r->tables[f.number];
		if (!is_counting)
			t->at[t->n] = f.bytes;
		t->n++;
	}
	return k < 0 ? otlp_fail(r, k, "the dictionary is malformed") : 0;
}

static int list_all(struct reader *r, bool is_counting)
{
	struct cursor c = r->request;
	struct field f;
	int k;

	for (uint32_t i = 0; i < TABLES; i++)
		r->tables[i].n = 0;
	while ((k = cursor_field(&c, &f)) == 1) {
		int e = is_message(&f, REQUEST_DICTIONARY) ? list_dictionary(r, f.bytes, is_counting) : 0;

		if (e < 0)
			return e;
	}
	return k < 0 ? otlp_fail(r, k, "the request is malformed") : 0;
}

int otlp_open_dictionary(struct reader *r)
{
	uint64_t bytes = 0;
	int k = list_all(r, true);

	if (k < 0)
		return k;
	for (uint32_t i = 0; i < TABLES; i++)
		bytes += (uint64_t)r->tables[i].n * (sizeof(struct cursor) + sizeof(uint32_t));
	if (bytes > profile_bytes_left(r->p))
		return otlp_fail(r, -ENOSPC, "the dictionary has more entries than memory is allowed");
	for (uint32_t i = 0; i < TABLES; i++) {
		struct entries *t = &r->tables[i];

		t->at = calloc((size_t)t->n + 1, sizeof(*t->at));
		t->index = calloc((size_t)t->n + 1, sizeof(*t->index));
		if (!t->at || !t->index)
			return -ENOMEM;
	}
	return list_all(r, false);
}

/* An entry's bytes. Index 0 of a table that is missing altogether is its zero element. */
int otlp_entry(struct reader *r, uint32_t table, uint64_t i, struct cursor *ret)
{
	const struct entries *t = &r->tables[table];

	if (i == 0 && t->n == 0) {
		*ret = (struct cursor){ NULL, NULL };
		return 0;
	}
	if (i >= t->n)
		return otlp_fail(r, -EBADMSG, "entry %" PRIu64 " of table %u does not exist", i, table);
	*ret = t->at[i];
	return 0;
}

int otlp_add_text(struct reader *r, struct cursor text, uint32_t *ret)
{
	return profile_add_string(r->p, text.at ? (const char *)text.at : "", cursor_size(text), ret);
}

static int read_string(struct reader *r, struct cursor c, uint32_t *ret)
{
	return otlp_add_text(r, c, ret);
}

/* The model's index of an entry, read where it is met first. */
int otlp_take(struct reader *r, uint32_t table, uint64_t i, otlp_entry_reader read, uint32_t *ret)
{
	struct entries *t = &r->tables[table];
	struct cursor c;
	int k;

	if (i < t->n && t->index[i]) {
		*ret = t->index[i] - 1;
		return 0;
	}
	k = otlp_entry(r, table, i, &c);
	if (k >= 0)
		k = read(r, c, ret);
	if (k >= 0 && i < t->n)
		t->index[i] = *ret + 1;
	return k;
}

int otlp_take_string(struct reader *r, uint64_t i, uint32_t *ret)
{
	return otlp_take(r, DICTIONARY_STRING, i, read_string, ret);
}

/* ---- attributes ---- */

int otlp_read_any(struct reader *r, struct cursor c, struct any *ret)
{
	struct field f;
	double d;
	int k;

	ret->kind = ANY_NONE;
	while ((k = cursor_field(&c, &f)) == 1) {
		if (is_message(&f, ANY_STRING)) {
			ret->kind = ANY_TEXT;
			ret->text = f.bytes;
		} else if (is_number(&f, ANY_STRING_STRINDEX)) {
			ret->kind = ANY_TEXT;
			if (otlp_entry(r, DICTIONARY_STRING, f.value, &ret->text) < 0)
				return -EBADMSG;
		} else if (is_number(&f, ANY_INT)) {
			ret->kind = ANY_NUMBER;
			ret->number = (int64_t)f.value;
		} else if (is_number(&f, ANY_BOOL)) {
			ret->kind = ANY_TEXT;
			(void)snprintf(ret->buffer, sizeof(ret->buffer), f.value ? "true" : "false");
			ret->text =
			        (struct cursor){ (uint8_t *)ret->buffer, (uint8_t *)ret->buffer + strlen(ret->buffer) };
		} else if (f.number == ANY_DOUBLE && f.wire == WIRE_FIXED64) {
			memcpy(&d, c.at - sizeof(d), sizeof(d));
			ret->kind = ANY_TEXT;
			(void)snprintf(ret->buffer, sizeof(ret->buffer), "%.17g", d);
			ret->text =
			        (struct cursor){ (uint8_t *)ret->buffer, (uint8_t *)ret->buffer + strlen(ret->buffer) };
		}
	}
	return k;
}

int otlp_read_attribute(struct reader *r, uint64_t i, struct attribute *ret)
{
	uint64_t key = 0;
	struct cursor c;
	struct field f;
	int k = otlp_entry(r, DICTIONARY_ATTRIBUTE, i, &c);

	if (k < 0)
		return k;
	*ret = (struct attribute){ 0 };
	while ((k = cursor_field(&c, &f)) == 1) {
		if (is_number(&f, ATTRIBUTE_KEY))
			key = f.value;
		else if (is_message(&f, ATTRIBUTE_VALUE))
			ret->value = f.bytes;
		else if (is_number(&f, ATTRIBUTE_UNIT))
			ret->unit = f.value;
	}
	return k < 0 ? otlp_fail(r, k, "attribute %" PRIu64 " is malformed", i)
	             : otlp_entry(r, DICTIONARY_STRING, key, &ret->key);
}

/* Our label for an attribute's name; the name itself where we have none. NULL: not a label. */
static int add_label_key(struct reader *r, struct cursor key, uint32_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(otlp_label_names); i++)
		if (text_is(key, otlp_label_names[i].attribute))
			return profile_add_cstring(r->p, otlp_label_names[i].label, ret);
	if (text_is(key, OTLP_SERVICE_NAME))
		return profile_add_cstring(r->p, "service_name", ret);
	return otlp_add_text(r, key, ret);
}

/* Puts a label into a set of *n; a key that is there already keeps its value. */
int otlp_put_label(struct reader *r, struct profile_label *labels, size_t *n, struct cursor key, struct cursor value,
        uint64_t unit)
{
	struct profile_label l = { .unit = PROFILE_NONE };
	struct any any = { 0 };
	uint32_t s;
	int k = otlp_read_any(r, value, &any);

	if (k < 0)
		return otlp_fail(r, k, "an attribute's value is malformed");
	if (any.kind == ANY_NONE || cursor_size(key) == 0)
		return 0;
	k = add_label_key(r, key, &l.key);
	if (k >= 0 && any.kind == ANY_TEXT) {
		k = otlp_add_text(r, any.text, &s);
		l.value = s;
	} else if (k >= 0) {
		l.value = any.number;
		k = otlp_take_string(r, unit, &l.unit);
	}
	if (k < 0)
		return k;
	for (size_t i = 0; i < *n; i++)
		if (labels[i].key == l.key)
			return 0;
	if (*n >= PROFILE_LABELS_MAX)
		return otlp_fail(r, -E2BIG, "a sample has more than %d attributes", PROFILE_LABELS_MAX);
	labels[(*n)++] = l;
	return 0;
}

/* ---- entities ---- */

static int read_build_id(struct reader *r, uint64_t attribute, struct profile_mapping *m)
{
	static const char prefix[] = "process.executable.build_id.";
	struct any any = { 0 };
	struct attribute a;
	int k = otlp_read_attribute(r, attribute, &a);

	if (k < 0)
		return k;
	for (size_t i = 0; i < ARRAY_SIZE(otlp_mapping_flags); i++)
		if (text_is(a.key, otlp_mapping_flags[i]))
			m->flags |= 1u << i;
	if (cursor_size(a.key) < sizeof(prefix) - 1 || memcmp(a.key.at, prefix, sizeof(prefix) - 1) != 0 || m->build_id)
		return 0;
	k = otlp_read_any(r, a.value, &any);
	return k < 0 || any.kind != ANY_TEXT ? k : otlp_add_text(r, any.text, &m->build_id);
}

static int read_mapping(struct reader *r, struct cursor c, uint32_t *ret)
{
	struct profile_mapping m = { 0 };
	struct field f;
	uint64_t i;
	int k, e = 0;

	while ((k = cursor_field(&c, &f)) == 1 && e >= 0) {
		if (is_number(&f, OTLP_MAPPING_START))
			m.start = f.value;
		else if (is_number(&f, OTLP_MAPPING_LIMIT))
			m.limit = f.value;
		else if (is_number(&f, OTLP_MAPPING_OFFSET))
			m.offset = f.value;
		else if (is_number(&f, OTLP_MAPPING_FILENAME))
			e = otlp_take_string(r, f.value, &m.filename);
		else if (f.number == OTLP_MAPPING_ATTRIBUTES)
			while (e >= 0 && (e = otlp_next_number(&f, &i)) == 1)
				e = read_build_id(r, i, &m);
	}
	if (k < 0 || e < 0)
		return e < 0 ? e : otlp_fail(r, k, "a mapping is malformed");
	return profile_add_mapping(r->p, &m, ret);
}

static int read_function(struct reader *r, struct cursor c, uint32_t *ret)
{
	struct profile_function fn = { 0 };
	struct field f;
	int k, e = 0;

	while ((k = cursor_field(&c, &f)) == 1 && e >= 0) {
		if (is_number(&f, OTLP_FUNCTION_NAME))
			e = otlp_take_string(r, f.value, &fn.name);
		else if (is_number(&f, OTLP_FUNCTION_SYSTEM_NAME))
			e = otlp_take_string(r, f.value, &fn.system_name);
		else if (is_number(&f, OTLP_FUNCTION_FILENAME))
			e = otlp_take_string(r, f.value, &fn.filename);
		else if (is_number(&f, OTLP_FUNCTION_START_LINE))
			fn.start_line = (int64_t)f.value;
	}
	if (k < 0 || e < 0)
		return e < 0 ? e : otlp_fail(r, k, "a function is malformed");
	return profile_add_function(r->p, &fn, ret);
}

static int read_line(struct reader *r, struct cursor c, struct profile_line *ret)
{
	uint64_t function = 0;
	struct field f;
	int k;

	while ((k = cursor_field(&c, &f)) == 1) {
		if (is_number(&f, OTLP_LINE_FUNCTION))
			function = f.value;
		else if (is_number(&f, OTLP_LINE_LINE))
			ret->line = (int64_t)f.value;
		else if (is_number(&f, OTLP_LINE_COLUMN))
			ret->column = (uint32_t)f.value;
	}
	if (k < 0)
		return otlp_fail(r, k, "a line is malformed");
	return otlp_take(r, DICTIONARY_FUNCTION, function, read_function, &ret->function);
}

static int read_location_attribute(struct reader *r, uint64_t i, struct profile_location *l)
{
	struct attribute a;
	int k = otlp_read_attribute(r, i, &a);

	if (k >= 0 && text_is(a.key, OTLP_IS_FOLDED))
		l->is_folded = 1;
	return k;
}

static int read_location(struct reader *r, struct cursor c, uint32_t *ret)
{
	struct profile_location l = { .mapping = PROFILE_NONE };
	struct profile_line lines[PROFILE_LINES_MAX];
	struct field f;
	uint64_t i;
	int k, e = 0;

	while ((k = cursor_field(&c, &f)) == 1 && e >= 0) {
		if (is_number(&f, OTLP_LOCATION_MAPPING) && f.value) {
			e = otlp_take(r, DICTIONARY_MAPPING, f.value, read_mapping, &l.mapping);
		} else if (is_number(&f, OTLP_LOCATION_ADDRESS)) {
			l.address = f.value;
		} else if (is_message(&f, OTLP_LOCATION_LINES)) {
			if (l.n_lines >= PROFILE_LINES_MAX)
				return otlp_fail(r, -E2BIG, "a location has more than %d lines", PROFILE_LINES_MAX);
			lines[l.n_lines] = (struct profile_line){ 0 };
			e = read_line(r, f.bytes, &lines[l.n_lines++]);
		} else if (f.number == OTLP_LOCATION_ATTRIBUTES) {
			while (e >= 0 && (e = otlp_next_number(&f, &i)) == 1)
				e = read_location_attribute(r, i, &l);
		}
	}
	if (k < 0 || e < 0)
		return e < 0 ? e : otlp_fail(r, k, "a location is malformed");
	l.lines = lines;
	return profile_add_location(r->p, &l, ret);
}

int otlp_read_stack(struct reader *r, struct cursor c, uint32_t *ret)
{
	uint32_t locations[PROFILE_STACK_DEPTH_MAX];
	struct field f;
	size_t n = 0;
	uint64_t i;
	int k, e = 0;

	while ((k = cursor_field(&c, &f)) == 1) {
		if (f.number != OTLP_STACK_LOCATIONS)
			continue;
		while ((e = otlp_next_number(&f, &i)) == 1) {
			if (n >= PROFILE_STACK_DEPTH_MAX)
				return otlp_fail(r, -E2BIG, "a stack is deeper than %d", PROFILE_STACK_DEPTH_MAX);
			e = otlp_take(r, DICTIONARY_LOCATION, i, read_location, &locations[n++]);
			if (e < 0)
				return e;
		}
		if (e < 0)
			return otlp_fail(r, e, "a stack is malformed");
	}
	if (k < 0)
		return otlp_fail(r, k, "a stack is malformed");
	return profile_add_stack(r->p, locations, n, ret);
}
