/* The dictionary is first listed (where each entry lies), then entries are put into the model when a sample refers to
 * them, once: what nobody refers to costs nothing, and every index is checked where it is used. */
#include "profile/otlp.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "profile/otlp_reader.h"
#include "profile/service_name.h"
#include "profile/sum.h"

/* ---- profiles ---- */

/* What a Profile says but its samples. */
struct head {
	uint64_t type, unit, period_type, period_unit;
	int64_t period;
	uint64_t time_ns, duration_ns;
};

static int read_value_type(struct cursor c, uint64_t *ret_type, uint64_t *ret_unit)
{
	struct field f;
	int k;

	while ((k = cursor_field(&c, &f)) == 1) {
		if (is_number(&f, OTLP_VALUE_TYPE_TYPE))
			*ret_type = f.value;
		else if (is_number(&f, OTLP_VALUE_TYPE_UNIT))
			*ret_unit = f.value;
	}
	return k;
}

static int read_head(struct reader *r, struct cursor c, struct head *ret)
{
	struct field f;
	int k, e = 0;

	*ret = (struct head){ 0 };
	while ((k = cursor_field(&c, &f)) == 1 && e >= 0) {
		if (is_message(&f, OTLP_PROFILE_SAMPLE_TYPE))
			e = read_value_type(f.bytes, &ret->type, &ret->unit);
		else if (is_message(&f, OTLP_PROFILE_PERIOD_TYPE))
			e = read_value_type(f.bytes, &ret->period_type, &ret->period_unit);
		else if (is_number(&f, OTLP_PROFILE_PERIOD))
			ret->period = (int64_t)f.value;
		else if (f.number == OTLP_PROFILE_TIME && f.wire == WIRE_FIXED64)
			memcpy(&ret->time_ns, c.at - sizeof(ret->time_ns), sizeof(ret->time_ns));
		else if (is_number(&f, OTLP_PROFILE_DURATION))
			ret->duration_ns = f.value;
	}
	return k < 0 || e < 0 ? otlp_fail(r, -EBADMSG, "a profile is malformed") : 0;
}

/* The column of a sample type; made where make is set. -ENOENT. */
static int find_type(struct reader *r, uint64_t type, uint64_t unit, bool make, uint32_t *ret)
{
	struct profile_header *h = profile_header(r->p);
	struct profile_value_type t;
	int k = otlp_take_string(r, type, &t.type);

	if (k >= 0)
		k = otlp_take_string(r, unit, &t.unit);
	if (k < 0)
		return k;
	for (uint32_t i = 0; i < h->n_sample_types; i++)
		if (h->sample_types[i].type == t.type && h->sample_types[i].unit == t.unit) {
			*ret = i;
			return 0;
		}
	if (!make)
		return -ENOENT;
	if (h->n_sample_types >= PROFILE_SAMPLE_TYPES_MAX)
		return otlp_fail(r, -E2BIG, "more than %d sample types", PROFILE_SAMPLE_TYPES_MAX);
	h->sample_types[h->n_sample_types] = t;
	*ret = h->n_sample_types++;
	return 0;
}

static bool counts_time(struct reader *r, const struct head *p)
{
	struct cursor unit, period_unit;

	return p->period > 0 && otlp_entry(r, DICTIONARY_STRING, p->unit, &unit) >= 0 && text_is(unit, "count") &&
	       otlp_entry(r, DICTIONARY_STRING, p->period_unit, &period_unit) >= 0 &&
	       text_is(period_unit, "nanoseconds");
}

static int take_comments(struct reader *r, struct cursor any)
{
	struct field f, text;
	int k;

	while ((k = cursor_field(&any, &f)) == 1) {
		if (!is_message(&f, ANY_ARRAY))
			continue;
		for (struct cursor array = f.bytes; (k = cursor_field(&array, &f)) == 1;) {
			_cleanup_free_ char *comment = NULL;
			bool is_known = false;

			if (!is_message(&f, ARRAY_VALUES) || cursor_field(&f.bytes, &text) != 1 ||
			        !is_message(&text, ANY_STRING))
				continue;
			comment = strndup((const char *)text.bytes.at, cursor_size(text.bytes));
			if (!comment)
				return -ENOMEM;
			for (uint32_t i = 0; i < profile_n_comments(r->p) && !is_known; i++)
				is_known = strcmp(profile_comment(r->p, i), comment) == 0;
			if (!is_known && profile_n_comments(r->p) < PROFILE_COMMENTS_MAX &&
			        (k = profile_add_comment(r->p, comment)) < 0)
				return k;
		}
		if (k < 0)
			return k;
	}
	return k;
}

static int take_profile_attribute(struct reader *r, uint64_t i)
{
	struct profile_header *h = profile_header(r->p);
	const struct {
		const char *key;
		uint32_t *to;
	} texts[] = { { OTLP_DROP_FRAMES, &h->drop_frames }, { OTLP_KEEP_FRAMES, &h->keep_frames },
		{ OTLP_DOC_URL, &h->doc_url } };
	struct any any = { 0 };
	struct attribute a;
	int k = otlp_read_attribute(r, i, &a);

	if (k < 0)
		return k;
	if (text_is(a.key, OTLP_COMMENT))
		return take_comments(r, a.value);
	for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
		if (text_is(a.key, texts[t].key)) {
			k = otlp_read_any(r, a.value, &any);
			return k < 0 || any.kind != ANY_TEXT ? k : otlp_add_text(r, any.text, texts[t].to);
		}
	return 0;
}

/* First round: sample types, times, the ledger. */
static int take_profile_head(struct reader *r, struct cursor c)
{
	struct profile_header *h = profile_header(r->p);
	struct head p;
	struct field f;
	uint32_t type;
	uint64_t i;
	int k = read_head(r, c, &p);

	if (k >= 0)
		k = find_type(r, p.type, p.unit, true, &type);
	if (k >= 0)
		r->said |= 1u << type;
	if (k >= 0 && counts_time(r, &p))
		k = find_type(r, p.period_type, p.period_unit, true, &type);
	if (k >= 0 && !h->period_type.type && !h->period_type.unit) {
		k = otlp_take_string(r, p.period_type, &h->period_type.type);
		if (k >= 0)
			k = otlp_take_string(r, p.period_unit, &h->period_type.unit);
	}
	if (k < 0)
		return k;
	h->period = h->period ? h->period : p.period;
	if (p.time_ns && p.time_ns < INT64_MAX) {
		int64_t end;

		if (__builtin_add_overflow((int64_t)p.time_ns, (int64_t)MIN(p.duration_ns, (uint64_t)INT64_MAX), &end))
			end = INT64_MAX;
		r->end_ns = MAX(r->end_ns, end);
		h->time_ns = h->time_ns ? MIN(h->time_ns, (int64_t)p.time_ns) : (int64_t)p.time_ns;
		h->duration_ns = r->end_ns - h->time_ns;
	}
	while ((k = cursor_field(&c, &f)) == 1)
		if (f.number == OTLP_PROFILE_ATTRIBUTES)
			while ((k = otlp_next_number(&f, &i)) == 1) {
				k = take_profile_attribute(r, i);
				if (k < 0)
					return k;
			}
	return k;
}

/* A column says the count, another the time that follows from it; none: PROFILE_NONE. */
struct columns {
	uint32_t value, time;
	int64_t period;
};

/* The service is said again only where the labels alone do not say it. */
static void drop_plain_service(struct reader *r, struct profile_label *labels, size_t *n)
{
	char name[SERVICE_NAME_MAX];

	for (size_t i = 0; i < *n; i++) {
		struct profile_label l = labels[i];

		if (l.unit != PROFILE_NONE || strcmp(profile_string(r->p, l.key, NULL), "service_name") != 0)
			continue;
		labels[i] = labels[--*n];
		service_name(NULL, r->p, labels, *n, name);
		if (strcmp(profile_string(r->p, (uint32_t)l.value, NULL), name) != 0)
			labels[(*n)++] = l;
		return;
	}
}

/* Likewise an executable's name where its path is there. */
static void drop_plain_executable(struct reader *r, struct profile_label *labels, size_t *n)
{
	bool has_path = false;

	for (size_t i = 0; i < *n; i++)
		has_path = has_path || strcmp(profile_string(r->p, labels[i].key, NULL), "exe") == 0;
	for (size_t i = 0; i < *n && has_path; i++)
		if (strcmp(profile_string(r->p, labels[i].key, NULL), OTLP_EXECUTABLE_NAME) == 0) {
			labels[i] = labels[--*n];
			return;
		}
}

static int add_sample(struct reader *r, uint32_t stack, struct profile_label *labels, size_t n, int64_t value,
        const struct columns *columns)
{
	int64_t values[PROFILE_SAMPLE_TYPES_MAX] = { 0 };
	uint32_t set;
	int k;

	drop_plain_executable(r, labels, &n);
	drop_plain_service(r, labels, &n);
	values[columns->value] = value;
	if (columns->time != PROFILE_NONE && __builtin_mul_overflow(value, columns->period, &values[columns->time]))
		values[columns->time] = value < 0 ? INT64_MIN : INT64_MAX;
	k = profile_add_label_set(r->p, labels, n, &set);
	return k < 0 ? k : profile_add_sample(r->p, stack, set, values, NULL);
}

static int read_sample(struct reader *r, struct cursor c, const struct columns *columns)
{
	struct profile_label labels[PROFILE_LABELS_MAX];
	uint64_t stack = 0, i, n_values = 0, n_times = 0;
	size_t n = 0;
	struct attribute a;
	int64_t value = 0;
	uint32_t at;
	struct field f;
	int k, e;

	while ((k = cursor_field(&c, &f)) == 1) {
		e = 0;
		if (is_number(&f, OTLP_SAMPLE_STACK))
			stack = f.value;
		else if (f.number == OTLP_SAMPLE_VALUES)
			while ((e = otlp_next_number(&f, &i)) == 1) {
				value = sum_saturating(value, (int64_t)i);
				n_values++;
			}
		else if (f.number == OTLP_SAMPLE_TIMESTAMPS)
			n_times += f.wire == WIRE_FIXED64 ? 1 : f.wire == WIRE_BYTES ? cursor_size(f.bytes) / 8 : 0;
		else if (f.number == OTLP_SAMPLE_ATTRIBUTES)
			while ((e = otlp_next_number(&f, &i)) == 1) {
				e = otlp_read_attribute(r, i, &a);
				if (e >= 0)
					e = otlp_put_label(r, labels, &n, a.key, a.value, a.unit);
				if (e < 0)
					return e;
			}
		if (e < 0)
			return otlp_fail(r, e, "a sample is malformed");
	}
	if (k < 0)
		return otlp_fail(r, k, "a sample is malformed");
	if (n_values > 1 && n_times && n_values != n_times)
		return otlp_fail(
		        r, -EBADMSG, "a sample has %" PRIu64 " values and %" PRIu64 " timestamps", n_values, n_times);
	for (size_t l = 0; l < r->n_resource; l++) {
		bool is_there = false;

		for (size_t s = 0; s < n; s++)
			is_there = is_there || labels[s].key == r->resource[l].key;
		if (!is_there && n < PROFILE_LABELS_MAX)
			labels[n++] = r->resource[l];
	}
	e = otlp_take(r, DICTIONARY_STACK, stack, otlp_read_stack, &at);
	return e < 0 ? e : add_sample(r, at, labels, n, n_values ? value : (int64_t)n_times, columns);
}

/* Second round. */
static int take_profile_samples(struct reader *r, struct cursor c)
{
	struct columns columns = { .time = PROFILE_NONE };
	struct head p;
	struct field f;
	int k = read_head(r, c, &p), e;

	if (k >= 0)
		k = find_type(r, p.type, p.unit, false, &columns.value);
	if (k >= 0 && counts_time(r, &p)) {
		columns.period = p.period;
		k = find_type(r, p.period_type, p.period_unit, false, &columns.time);
		if (k >= 0 && (r->said & 1u << columns.time))
			columns.time = PROFILE_NONE; /* no need to work it out */
	}
	if (k < 0)
		return k;
	while ((k = cursor_field(&c, &f)) == 1)
		if (is_message(&f, OTLP_PROFILE_SAMPLES)) {
			e = read_sample(r, f.bytes, &columns);
			if (e < 0)
				return e;
		}
	return k;
}

/* ---- resources ---- */

static int take_resource(struct reader *r, struct cursor c)
{
	struct field f, kv;
	int k, e;

	r->n_resource = 0;
	while ((k = cursor_field(&c, &f)) == 1) {
		struct cursor key = { NULL, NULL }, value = { NULL, NULL };

		if (!is_message(&f, RESOURCE_ATTRIBUTES))
			continue;
		while ((e = cursor_field(&f.bytes, &kv)) == 1) {
			if (is_message(&kv, KEY_VALUE_KEY) && cursor_size(kv.bytes))
				key = kv.bytes;
			else if (is_message(&kv, KEY_VALUE_VALUE))
				value = kv.bytes;
			else if (is_number(&kv, KEY_VALUE_KEY_STRINDEX) && kv.value &&
			         otlp_entry(r, DICTIONARY_STRING, kv.value, &key) < 0)
				return -EBADMSG;
		}
		if (e < 0 || (e = otlp_put_label(r, r->resource, &r->n_resource, key, value, 0)) < 0)
			return e;
	}
	return k;
}

typedef int (*profile_reader)(struct reader *r, struct cursor c);

static int each_scope(struct reader *r, struct cursor c, profile_reader read)
{
	struct field f;
	int k, e;

	while ((k = cursor_field(&c, &f)) == 1) {
		e = is_message(&f, SCOPE_PROFILES_PROFILES) ? read(r, f.bytes) : 0;
		if (e < 0)
			return e;
	}
	return k;
}

static int each_resource(struct reader *r, struct cursor c, profile_reader read)
{
	struct cursor again = c;
	struct field f;
	int k, e;

	r->n_resource = 0;
	while ((k = cursor_field(&c, &f)) == 1) {
		e = is_message(&f, RESOURCE_PROFILES_RESOURCE) ? take_resource(r, f.bytes) : 0;
		if (e < 0)
			return e;
	}
	while (k >= 0 && (k = cursor_field(&again, &f)) == 1) {
		e = is_message(&f, RESOURCE_PROFILES_SCOPE_PROFILES) ? each_scope(r, f.bytes, read) : 0;
		if (e < 0)
			return e;
	}
	return k;
}

static int each_profile(struct reader *r, profile_reader read)
{
	struct cursor c = r->request;
	struct field f;
	int k, e;

	while ((k = cursor_field(&c, &f)) == 1) {
		e = is_message(&f, REQUEST_RESOURCE_PROFILES) ? each_resource(r, f.bytes, read) : 0;
		if (e < 0)
			return e;
	}
	return k;
}

/* ---- outside ---- */

bool otlp_sniff(const void *data, size_t n)
{
	struct cursor c = { .at = data, .end = (const uint8_t *)data + n };
	bool has_dictionary = false;
	struct field f;
	int k;

	while ((k = cursor_field(&c, &f)) == 1) {
		if (!is_message(&f, REQUEST_RESOURCE_PROFILES) && !is_message(&f, REQUEST_DICTIONARY))
			return false;
		has_dictionary = has_dictionary || f.number == REQUEST_DICTIONARY;
	}
	return k == 0 && has_dictionary;
}

int otlp_read(struct profile *dst, const void *data, size_t n, struct profile_error *error)
{
	struct reader *r;
	int k;

	assert(dst);

	if (n > OTLP_BYTES_MAX)
		return -E2BIG;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->p = dst;
	r->error = error;
	r->request = (struct cursor){ .at = data, .end = (const uint8_t *)data + n };
	if (error)
		(void)snprintf(error->text, sizeof(error->text), "the request is malformed");
	k = otlp_open_dictionary(r);
	if (k >= 0)
		k = each_profile(r, take_profile_head);
	if (k >= 0 && profile_header(dst)->n_sample_types == 0)
		k = otlp_fail(r, -EBADMSG, "the request holds no profile");
	if (k >= 0)
		k = each_profile(r, take_profile_samples);
	for (uint32_t i = 0; i < TABLES; i++) {
		free(r->tables[i].at);
		free(r->tables[i].index);
	}
	free(r);
	return k;
}
