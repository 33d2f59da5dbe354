/* One request at a time: samples are taken in order of resource until a limit is reached; whatever they refer to gets
 * its dictionary index when it is met first. Every entry is encoded twice by the same code: once to know its length,
 * once to be written, so nothing large is ever held. */
#include "profile/otlp.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <xxhash.h>
#include "profile/otlp_encoder.h"

/* What a resource with its Profiles costs beside samples and its own attributes, at most. */
#define PROFILE_OVERHEAD 160u

static uint8_t *put_fixed64(uint8_t *to, uint32_t field, uint64_t value)
{
	*to++ = (uint8_t)(field << 3 | WIRE_FIXED64);
	for (int i = 0; i < 8; i++)
		*to++ = (uint8_t)(value >> (8 * i));
	return to;
}

/* ---- samples ---- */

static bool is_wanted(const struct otlp_encoder *e, const char *label)
{
	if (e->o.flags & OTLP_ALL_LABELS)
		return true;
	for (size_t i = 0; e->o.attributes && e->o.attributes[i]; i++)
		if (strcmp(e->o.attributes[i], label) == 0)
			return true;
	return false;
}

static const struct label_key *label_key(struct otlp_encoder *e, const struct profile_label *l)
{
	struct label_key *k = &e->keys[l->key];
	const char *label, *name;
	int is_resource;

	if (k->role != ROLE_UNKNOWN)
		return k;
	label = profile_string(e->p, l->key, NULL);
	name = otlp_attribute_name(label, &is_resource);
	if (is_resource)
		k->role = ROLE_RESOURCE;
	else if ((e->o.flags & OTLP_PER_PROCESS) && strcmp(label, "pid") == 0)
		k->role = ROLE_RESOURCE;
	else if ((e->o.flags & OTLP_TIMESTAMPS) && strcmp(label, OTLP_TIMESTAMP_LABEL) == 0)
		k->role = ROLE_TIMESTAMP;
	else if (is_wanted(e, label))
		k->role = ROLE_ATTRIBUTE;
	else
		k->role = ROLE_NONE;
	if (k->role == ROLE_ATTRIBUTE)
		k->name = otlp_extra_string(e, name);
	return k;
}

static void collect_labels(struct otlp_encoder *e, uint32_t set, bool is_other)
{
	size_t n;
	const struct profile_label *labels = profile_label_set(e->p, set, &n);

	e->n_sample_attributes = 0;
	e->timestamp = 0;
	for (size_t i = 0; i < n; i++) {
		const struct profile_label *l = &labels[i];
		const struct label_key *k = label_key(e, l);
		bool is_number = l->unit != PROFILE_NONE;

		if (i > 0 && labels[i - 1].key == l->key)
			continue; /* no key twice */
		if (k->role == ROLE_TIMESTAMP && is_number)
			e->timestamp = (uint64_t)l->value;
		/* What was too much for a resource of its own keeps its labels where all are wanted. */
		if (k->role == ROLE_ATTRIBUTE ||
		        (k->role == ROLE_RESOURCE && is_other && (e->o.flags & OTLP_ALL_LABELS))) {
			int is_resource;
			uint32_t key =
			        k->name ? k->name
			                : otlp_extra_string(e, otlp_attribute_name(profile_string(e->p, l->key, NULL),
			                                               &is_resource));

			e->sample_attributes[e->n_sample_attributes++] = otlp_attribute_ref(e, key,
			        is_number ? ATTRIBUTE_INT : ATTRIBUTE_STRING, l->value, is_number ? l->unit : 0);
		}
	}
}

static size_t encode_sample(struct otlp_encoder *e, uint32_t sample, uint32_t type, bool is_other)
{
	const struct profile_sample *s = profile_sample(e->p, sample);
	int64_t value = profile_values_const(e->p, sample)[type];
	uint32_t stack = 0;
	uint8_t *start, *to;
	size_t n;

	(void)profile_stack(e->p, s->stack, &n);
	if (n)
		stack = otlp_ref(e, DICTIONARY_STACK, s->stack);
	collect_labels(e, s->labels, is_other);
	start = otlp_scratch(e, 64 + (size_t)e->n_sample_attributes * 5);
	if (!start)
		return 0;
	to = put_number(start, OTLP_SAMPLE_STACK, stack);
	to = otlp_put_packed(to, OTLP_SAMPLE_ATTRIBUTES, e->sample_attributes, e->n_sample_attributes);
	*to++ = OTLP_SAMPLE_VALUES << 3 | WIRE_BYTES;
	*to++ = (uint8_t)varint_size((uint64_t)value);
	to = varint_put(to, (uint64_t)value);
	if (e->timestamp) {
		*to++ = OTLP_SAMPLE_TIMESTAMPS << 3 | WIRE_BYTES;
		*to++ = 8;
		for (int i = 0; i < 8; i++)
			*to++ = (uint8_t)(e->timestamp >> (8 * i));
	}
	return (size_t)(to - start);
}

/* ---- resources ---- */

struct text_list {
	struct buffer *to;
	const char *keys[64];
	size_t n;
};

static void add_key_value(struct otlp_encoder *e, struct text_list *l, const char *key, const void *any, size_t n)
{
	size_t n_key = strlen(key);
	uint8_t head[64], *to;

	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->keys[i], key) == 0)
			return; /* the first stands: a resource has no key twice */
	if (l->n >= ARRAY_SIZE(l->keys))
		return;
	l->keys[l->n++] = key;
	*head = RESOURCE_ATTRIBUTES << 3 | WIRE_BYTES;
	to = varint_put(head + 1, field_size(n_key) + field_size(n));
	*to++ = KEY_VALUE_KEY << 3 | WIRE_BYTES;
	to = varint_put(to, n_key);
	(void)buffer_append(l->to, head, (size_t)(to - head));
	(void)buffer_append(l->to, key, n_key);
	*head = KEY_VALUE_VALUE << 3 | WIRE_BYTES;
	to = varint_put(head + 1, n);
	(void)buffer_append(l->to, head, (size_t)(to - head));
	(void)buffer_append(l->to, any, n);
	if (l->to->error)
		e->error = e->error ? e->error : l->to->error;
}

static void add_text(struct otlp_encoder *e, struct text_list *l, const char *key, const char *value)
{
	size_t n = strlen(value);
	uint8_t *start = otlp_scratch(e, otlp_text_room(n));

	if (start && n)
		add_key_value(e, l, key, start, (size_t)(otlp_put_text(start, ANY_STRING, value, n) - start));
}

static void add_number(struct otlp_encoder *e, struct text_list *l, const char *key, int64_t value)
{
	uint8_t any[16];

	any[0] = ANY_INT << 3 | WIRE_VARINT;
	add_key_value(e, l, key, any, (size_t)(varint_put(any + 1, (uint64_t)value) - any));
}

static void add_label(struct otlp_encoder *e, struct text_list *list, const struct profile_label *l)
{
	const char *label = profile_string(e->p, l->key, NULL), *value, *slash;
	int is_resource;
	const char *name = otlp_attribute_name(label, &is_resource);

	if (l->unit != PROFILE_NONE) {
		if ((e->o.flags & OTLP_PER_PROCESS) && strcmp(label, "pid") == 0)
			add_number(e, list, OTLP_PROCESS_ID, l->value);
		return;
	}
	if (!is_resource)
		return;
	value = profile_string(e->p, (uint32_t)l->value, NULL);
	if (strcmp(label, "unit") == 0 && !(e->o.flags & OTLP_ALL_LABELS) && !otlp_unit_is_lasting(value))
		return;
	add_text(e, list, name, value);
	if (strcmp(label, "exe") == 0) {
		slash = strrchr(value, '/');
		add_text(e, list, OTLP_EXECUTABLE_NAME, slash && slash[1] ? slash + 1 : value);
	}
}

/* The Resource message of a group. Keys and values inline: servers lose references here. */
static void encode_resource(struct otlp_encoder *e, const struct otlp_group *g, struct buffer *to)
{
	struct text_list list = { .to = to };
	const struct profile_label *labels;
	size_t n;

	add_text(e, &list, OTLP_SERVICE_NAME, g->service);
	if (g->labels != PROFILE_NONE) {
		labels = profile_label_set(e->p, g->labels, &n);
		for (size_t i = 0; i < n; i++)
			add_label(e, &list, &labels[i]);
	}
	for (size_t i = 0; i < e->o.n_resource; i++)
		add_text(e, &list, e->o.resource[i].key, e->o.resource[i].value);
}

static const char scope_name[] = "emberd", scope_version[] = EMBER_VERSION;
#define SCOPE_BYTES (2 + sizeof(scope_name) - 1 + 2 + sizeof(scope_version) - 1)

static void emit_scope(struct otlp_encoder *e)
{
	otlp_emit_head(e, SCOPE_PROFILES_SCOPE, SCOPE_BYTES);
	otlp_emit_head(e, SCOPE_NAME, sizeof(scope_name) - 1);
	otlp_emit(e, scope_name, sizeof(scope_name) - 1);
	otlp_emit_head(e, SCOPE_VERSION, sizeof(scope_version) - 1);
	otlp_emit(e, scope_version, sizeof(scope_version) - 1);
}

/* ---- profiles ---- */

static uint8_t *put_value_type(struct otlp_encoder *e, uint8_t *to, uint32_t field, const struct profile_value_type *t)
{
	uint8_t *end = put_number(to + 2, OTLP_VALUE_TYPE_TYPE, otlp_string_ref(e, t->type));

	end = put_number(end, OTLP_VALUE_TYPE_UNIT, otlp_string_ref(e, t->unit));
	to[0] = (uint8_t)(field << 3 | WIRE_BYTES);
	to[1] = (uint8_t)(end - to - 2);
	return end;
}

/* Said once a Profile, from the header: also in the tables, so this is called before they are written. */
static size_t profile_attributes(struct otlp_encoder *e, uint32_t attributes[4])
{
	size_t n = 0;

	if (profile_n_comments(e->p))
		attributes[n++] = otlp_attribute_ref(e, otlp_extra_string(e, OTLP_COMMENT), ATTRIBUTE_COMMENTS, 0, 0);
	if (e->h->drop_frames)
		attributes[n++] = otlp_string_attribute(e, OTLP_DROP_FRAMES, e->h->drop_frames);
	if (e->h->keep_frames)
		attributes[n++] = otlp_string_attribute(e, OTLP_KEEP_FRAMES, e->h->keep_frames);
	if (e->h->doc_url)
		attributes[n++] = otlp_string_attribute(e, OTLP_DOC_URL, e->h->doc_url);
	return n;
}

static uint8_t *put_profile_id(struct otlp_encoder *e, uint8_t *to, uint32_t group, uint32_t type, uint32_t first)
{
	struct {
		uint8_t id[OTLP_ID_BYTES];
		uint64_t key;
		uint32_t type, first;
	} seed = { .key = e->groups.groups[group].key, .type = type, .first = first };
	XXH128_canonical_t id;

	memcpy(seed.id, e->o.id, sizeof(seed.id));
	XXH128_canonicalFromHash(&id, XXH3_128bits(&seed, sizeof(seed)));
	*to++ = OTLP_PROFILE_ID << 3 | WIRE_BYTES;
	*to++ = OTLP_ID_BYTES;
	memcpy(to, id.digest, OTLP_ID_BYTES);
	return to + OTLP_ID_BYTES;
}

/* Always there, if empty: a server falls over its absence. A server that names a profile after its period refuses an
 * empty name, so one without a period goes to it as what counts each event. */
static uint8_t *put_period(struct otlp_encoder *e, uint8_t *to)
{
	bool is_named = *profile_string(e->p, e->h->period_type.type, NULL) || (e->o.flags & OTLP_ALL_TYPES);

	to = put_value_type(e, to, OTLP_PROFILE_PERIOD_TYPE, is_named ? &e->h->period_type : &e->h->sample_types[0]);
	return put_number(to, OTLP_PROFILE_PERIOD, is_named ? (uint64_t)e->h->period : 1);
}

/* All of a Profile but samples and payload. */
static size_t put_profile(struct otlp_encoder *e, uint8_t *to, uint32_t group, uint32_t type, uint32_t first)
{
	uint32_t attributes[4];
	size_t n = profile_attributes(e, attributes);
	uint8_t *start = to;

	to = put_value_type(e, to, OTLP_PROFILE_SAMPLE_TYPE, &e->h->sample_types[type]);
	to = put_fixed64(to, OTLP_PROFILE_TIME, (uint64_t)e->h->time_ns);
	to = put_number(to, OTLP_PROFILE_DURATION, (uint64_t)e->h->duration_ns);
	to = put_period(e, to);
	to = put_profile_id(e, to, group, type, first);
	return (size_t)(otlp_put_packed(to, OTLP_PROFILE_ATTRIBUTES, attributes, n) - start);
}

/* The samples of one group in one request, and what its messages measure. */
struct segment {
	uint32_t group, from, to; /* positions in order */
	uint64_t sample_bytes[PROFILE_SAMPLE_TYPES_MAX];
	uint64_t profile_bytes[PROFILE_SAMPLE_TYPES_MAX];
	uint64_t scope_bytes, payload_bytes;
	struct buffer resource;
};

static bool has_value(const struct otlp_encoder *e, uint32_t sample)
{
	for (uint32_t i = 0; i < e->n_types; i++)
		if (profile_values_const(e->p, sample)[e->types[i]])
			return true;
	return false;
}

static bool group_is_other(const struct otlp_encoder *e, uint32_t group)
{
	return e->groups.groups[group].labels == PROFILE_NONE;
}

/* Adds up what the samples from..to of one group take; entries get their indices on the way. */
static void measure(struct otlp_encoder *e, struct segment *s)
{
	static const char format[] = "pprof";
	bool is_other = group_is_other(e, s->group);
	uint8_t header[256];

	for (uint32_t at = s->from; at < s->to; at++) {
		uint32_t sample = e->groups.order[at];
		const int64_t *values = profile_values_const(e->p, sample);

		for (uint32_t i = 0; i < e->n_types; i++)
			if (values[e->types[i]])
				s->sample_bytes[i] += field_size(encode_sample(e, sample, e->types[i], is_other));
	}
	s->resource = BUFFER(1u << 20);
	encode_resource(e, &e->groups.groups[s->group], &s->resource);
	s->scope_bytes = field_size(SCOPE_BYTES);
	for (uint32_t i = 0; i < e->n_types; i++) {
		if (s->sample_bytes[i] == 0)
			continue;
		s->profile_bytes[i] = s->sample_bytes[i] + put_profile(e, header, s->group, e->types[i], s->from);
		if (e->o.payload && s->payload_bytes == 0 && s->from == 0 && e->at == 0) {
			s->payload_bytes = field_size(sizeof(format) - 1) + field_size(e->o.payload_size);
			s->profile_bytes[i] += s->payload_bytes;
		}
		s->scope_bytes += field_size(s->profile_bytes[i]);
	}
}

static void emit_samples(struct otlp_encoder *e, const struct segment *s, uint32_t type)
{
	bool is_other = group_is_other(e, s->group);

	for (uint32_t at = s->from; at < s->to; at++) {
		uint32_t sample = e->groups.order[at];
		size_t n;

		if (!profile_values_const(e->p, sample)[type])
			continue;
		n = encode_sample(e, sample, type, is_other);
		otlp_emit_head(e, OTLP_PROFILE_SAMPLES, n);
		otlp_emit(e, e->scratch, n);
	}
}

static void emit_segment(struct otlp_encoder *e, const struct segment *s, struct otlp_part *part)
{
	bool has_payload = s->payload_bytes > 0;
	uint8_t header[256];

	otlp_emit_head(e, REQUEST_RESOURCE_PROFILES, field_size(s->resource.size) + field_size(s->scope_bytes));
	otlp_emit_head(e, RESOURCE_PROFILES_RESOURCE, s->resource.size);
	otlp_emit(e, s->resource.data, s->resource.size);
	otlp_emit_head(e, RESOURCE_PROFILES_SCOPE_PROFILES, s->scope_bytes);
	emit_scope(e);
	for (uint32_t i = 0; i < e->n_types; i++) {
		if (s->sample_bytes[i] == 0)
			continue;
		otlp_emit_head(e, SCOPE_PROFILES_PROFILES, s->profile_bytes[i]);
		otlp_emit(e, header, put_profile(e, header, s->group, e->types[i], s->from));
		emit_samples(e, s, e->types[i]);
		if (has_payload) {
			otlp_emit_head(e, OTLP_PROFILE_PAYLOAD_FORMAT, 5);
			otlp_emit(e, "pprof", 5);
			otlp_emit_head(e, OTLP_PROFILE_PAYLOAD, e->o.payload_size);
			otlp_emit(e, e->o.payload, e->o.payload_size);
			has_payload = false;
		}
		part->profiles++;
	}
	part->samples += s->to - s->from;
}

/* ---- requests ---- */

static uint32_t group_at(const struct otlp_encoder *e, uint32_t position)
{
	return e->groups.of_label_set[profile_sample(e->p, e->groups.order[position])->labels];
}

/* How far one request goes from e->at. Costs are upper bounds of what measure() will find. */
static uint32_t find_end(struct otlp_encoder *e)
{
	uint32_t group = PROFILE_NONE, in_group = 0, at;
	uint64_t cost = 0;

	for (at = e->at; at < e->n_samples; at++) {
		uint32_t sample = e->groups.order[at];

		if (group_at(e, at) != group) {
			_cleanup_buffer_ struct buffer resource = BUFFER(1u << 20);
			uint32_t attributes[4];

			group = group_at(e, at);
			in_group = 0;
			encode_resource(e, &e->groups.groups[group], &resource);
			(void)profile_attributes(e, attributes);
			cost += resource.size + SCOPE_BYTES + 32 + (uint64_t)e->n_types * PROFILE_OVERHEAD;
		}
		if (e->error == -E2BIG) /* a text that no resource has room for: its samples are skipped one by one */
			return at;
		if (e->o.samples_max && in_group >= e->o.samples_max)
			return at;
		in_group++;
		for (uint32_t i = 0; i < e->n_types; i++)
			cost += 4 + encode_sample(e, sample, e->types[i], group_is_other(e, group));
		if (e->o.bytes_max && cost + e->dictionary_bytes + 16 > e->o.bytes_max)
			return at;
	}
	return at;
}

static void write_request(struct otlp_encoder *e, uint32_t end, struct otlp_part *part)
{
	_cleanup_free_ struct segment *segments = NULL;
	uint32_t n = 0;

	segments = calloc((size_t)e->groups.n + 1, sizeof(*segments));
	if (!segments) {
		e->error = -ENOMEM;
		return;
	}
	for (uint32_t at = e->at; at < end; at++) {
		if (n == 0 || segments[n - 1].group != group_at(e, at))
			segments[n++] = (struct segment){ .group = group_at(e, at), .from = at };
		segments[n - 1].to = at + 1;
	}
	for (uint32_t i = 0; i < n; i++)
		measure(e, &segments[i]);
	for (uint32_t i = 0; i < n; i++) {
		if (segments[i].scope_bytes > field_size(SCOPE_BYTES))
			emit_segment(e, &segments[i], part);
		buffer_done(&segments[i].resource);
	}
	otlp_emit_dictionary(e);
	otlp_flush(e);
}

int otlp_encoder_next(struct otlp_encoder *e, otlp_sink sink, void *userdata, struct otlp_part *ret)
{
	struct otlp_part part = { 0 };
	uint32_t end = e->n_samples;
	int r;

	/* A sample without a value says nothing. */
	while (e->at < e->n_samples && !has_value(e, e->groups.order[e->at]))
		e->at++;
	if (e->at >= e->n_samples)
		return 0;
	e->sink = sink;
	e->userdata = userdata;
	e->written = 0;
	e->n_out = 0;
	r = otlp_restart(e);
	if (r < 0)
		return r;
	if (e->o.bytes_max || e->o.samples_max) {
		end = find_end(e);
		r = e->error < 0 && e->error != -E2BIG ? e->error : otlp_restart(e);
		if (r < 0)
			return r;
		if (end == e->at) {
			e->at++;
			return -E2BIG;
		}
	}
	if (e->at != 0 || end != e->n_samples)
		e->o.payload = NULL;
	write_request(e, end, &part);
	if (e->error < 0)
		return e->error;
	e->at = end;
	part.bytes = e->written;
	if (ret)
		*ret = part;
	return 1;
}

/* Whether the time of a cpu profile is its count times the period, sample by sample. */
static bool is_said_by_count(const struct profile *p, uint32_t count, uint32_t time)
{
	int64_t period = profile_header_const(p)->period;

	for (uint32_t i = 0; i < profile_n_samples(p); i++) {
		const int64_t *values = profile_values_const(p, i);
		int64_t product;

		if (__builtin_mul_overflow(values[count], period, &product) || product != values[time])
			return false;
	}
	return true;
}

static void choose_types(struct otlp_encoder *e)
{
	const struct profile_header *h = e->h;
	uint32_t skip = PROFILE_NONE;

	for (uint32_t i = 0; i < h->n_sample_types && h->period > 0 && !(e->o.flags & OTLP_ALL_TYPES); i++) {
		const struct profile_value_type *t = &h->sample_types[i];

		if (i > 0 && t->type == h->period_type.type && t->unit == h->period_type.unit &&
		        strcmp(profile_string(e->p, h->sample_types[0].unit, NULL), "count") == 0 &&
		        is_said_by_count(e->p, 0, i))
			skip = i;
	}
	for (uint32_t i = 0; i < h->n_sample_types; i++)
		if (i != skip)
			e->types[e->n_types++] = i;
}

int otlp_encoder_new(const struct profile *p, const struct otlp_options *options, struct otlp_encoder **ret)
{
	_cleanup_(otlp_encoder_freep) struct otlp_encoder *e = NULL;
	int r;

	assert(p);
	assert(options);
	assert(ret);

	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->p = p;
	e->h = profile_header_const(p);
	e->o = *options;
	e->n_samples = profile_n_samples(p);
	e->n_strings = profile_n_strings(p);
	choose_types(e);
	r = otlp_make_tables(e);
	if (r < 0)
		return r;
	r = otlp_groups_make(p, options, &e->groups);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(e);
	return 0;
}

struct otlp_encoder *otlp_encoder_free(struct otlp_encoder *e)
{
	if (!e)
		return NULL;
	for (uint32_t table = 0; table <= DICTIONARY_STACK; table++) {
		free(e->tables[table].index);
		free(e->tables[table].model);
	}
	(void)intern_free(e->attributes);
	otlp_groups_done(&e->groups);
	free(e->keys);
	free(e->sample_attributes);
	free(e->scratch);
	free(e);
	return NULL;
}

static int append_to_buffer(void *userdata, const void *data, size_t n)
{
	return buffer_append(userdata, data, n);
}

int otlp_write(const struct profile *p, struct buffer *out)
{
	_cleanup_(otlp_encoder_freep) struct otlp_encoder *e = NULL;
	const struct otlp_options options = { .flags = OTLP_ALL_LABELS };
	int r;

	r = otlp_encoder_new(p, &options, &e);
	if (r < 0)
		return r;
	r = otlp_encoder_next(e, append_to_buffer, out, NULL);
	return r < 0 ? r : 0;
}
