/* The strings stand at the end of most files and everything refers forwards, so the message is walked several times:
 * once to count and to find the strings, then one kind of entity after the other, each straight into dst. Samples wait
 * in a list until the last one is known to be good; then they are added, which cannot fail. */
#include "profile/pprof.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "profile/compress.h"
#include "profile/ledger.h"
#include "profile/merge.h"
#include "profile/pprof_reader.h"

int reader_fail(struct reader *r, int code, const char *format, ...)
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
int reader_refuse(struct reader *r, int code)
{
	if (code == -ENOSPC)
		return reader_fail(r, code, "the limit of memory for one profile is reached");
	if (code == -E2BIG)
		return reader_fail(r, code, "too many locations, labels, lines or comments");
	return code == -ENOMEM ? reader_fail(r, code, "out of memory") : reader_fail(r, code, "refused");
}

int reader_malformed(struct reader *r)
{
	return reader_fail(r, -EBADMSG, "malformed field");
}

/* ---- working memory ---- */

int reader_alloc(struct reader *r, void **memory, size_t old_bytes, size_t bytes)
{
	void *bigger;

	if (r->work + (bytes - old_bytes) > profile_bytes_left(r->dst))
		return reader_refuse(r, -ENOSPC);
	bigger = realloc(*memory, MAX(bytes, (size_t)1));
	if (!bigger)
		return reader_refuse(r, -ENOMEM);
	*memory = bigger;
	r->work += bytes - old_bytes;
	return 0;
}

int reader_grow_table(struct reader *r, struct table *t)
{
	uint64_t slots = table_slots_for((uint64_t)t->n + 1), more = (slots - t->n_slots) * sizeof(struct table_slot);

	if (slots <= t->n_slots)
		return 0;
	if (r->work + more > profile_bytes_left(r->dst))
		return reader_refuse(r, -ENOSPC);
	r->work += more;
	return table_resize(t, slots) < 0 ? reader_refuse(r, -ENOMEM) : 0;
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
	free(r->samples);
	free(r->values);
}

/* ---- walking ---- */

void reader_enter(struct reader *r, const char *kind)
{
	r->kind = kind;
	r->ordinal = 0;
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

/* Goes past what follows with the same tag and a length of up to two bytes, as most does. How many they were. */
static uint32_t skip_alike(struct cursor *c, uint8_t tag)
{
	const uint8_t *at = c->at, *const end = c->end;
	uint32_t n = 0;

	while (end - at >= 3 && at[0] == tag) {
		size_t size = 2 + at[1];

		if (__builtin_expect(at[1] >= 0x80, 0)) { /* as a jump: where the next one stands is foretold then */
			if (at[2] >= 0x80)
				break;
			size = 3 + ((at[1] & 0x7fu) | (size_t)at[2] << 7);
		}
		if (size > (size_t)(end - at))
			break;
		at += size;
		n++;
	}
	c->at = at;
	return n;
}

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
			return reader_fail(r, -EBADMSG, "field %u has wire type %u", f.number, f.wire);
		if (r->count[f.number]++ == 0)
			r->part[f.number].at = f.start;
		if (f.wire == WIRE_BYTES)
			r->count[f.number] += skip_alike(&c, f.start[0]);
		r->part[f.number].end = c.at;
	}
	if (e < 0)
		return reader_fail(r, -EBADMSG, "malformed or cut short at byte %zu", (size_t)(c.at - r->all.at));
	return 0;
}

/* ---- strings ---- */

static int flush_strings(struct reader *r, const struct profile_text *texts, uint32_t n, uint32_t end)
{
	int e = profile_add_strings(r->dst, texts, n, r->strings + end - n);

	return e < 0 ? reader_refuse(r, e) : 0;
}

/* Where each string stands. All are put into dst at once, for that is faster; only without stacks few are needed. */
static int find_strings(struct reader *r)
{
	struct cursor c = r->part[PPROF_STRING_TABLE];
	const uint32_t n = r->count[PPROF_STRING_TABLE];
	const bool all = !(r->options.flags & PPROF_READ_NO_STACKS);
	struct profile_text texts[READER_BATCH];
	struct field f;
	uint32_t i = 0, waiting = 0;
	int e;

	if (n == 0)
		return reader_fail(r, -EBADMSG, "no string table");
	e = reader_alloc(r, (void **)&r->string_at, 0, n * sizeof(*r->string_at));
	if (e >= 0)
		e = reader_alloc(r, (void **)&r->strings, 0, n * sizeof(*r->strings));
	if (e < 0)
		return e;
	memset(r->strings, 0xff, n * sizeof(*r->strings));
	while (e >= 0 && cursor_field(&c, &f) > 0) {
		if (f.number != PPROF_STRING_TABLE)
			continue;
		if (i == 0 && f.bytes.at != f.bytes.end)
			return reader_fail(r, -EBADMSG, "the first string is not empty");
		r->string_at[i++] = (uint32_t)(f.start - r->all.at);
		texts[waiting++] =
		        (struct profile_text){ (const char *)f.bytes.at, (size_t)(f.bytes.end - f.bytes.at) };
		if (waiting < READER_BATCH && i < n)
			continue;
		e = all ? flush_strings(r, texts, waiting, i) : 0;
		waiting = 0;
	}
	return e;
}

/* The string itself. */
int reader_string_bytes(struct reader *r, uint64_t i, struct cursor *ret)
{
	struct cursor c = r->all;
	struct field f;

	if (i >= r->count[PPROF_STRING_TABLE])
		return reader_fail(r, -EBADMSG, "string %lld does not exist", (long long)i);
	c.at += r->string_at[i];
	(void)cursor_field(&c, &f);
	*ret = f.bytes;
	return 0;
}

int reader_string_new(struct reader *r, uint64_t i, uint32_t *ret)
{
	struct cursor bytes;
	int e = reader_string_bytes(r, i, &bytes);

	if (e < 0)
		return e;
	e = profile_add_string(r->dst, (const char *)bytes.at, (size_t)(bytes.end - bytes.at), ret);
	if (e < 0)
		return reader_refuse(r, e);
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
			return reader_malformed(r);
		text[f.number - 1] = f.value;
	}
	if (e < 0)
		return reader_malformed(r);
	e = reader_string(r, text[0], &ret->type);
	return e < 0 ? e : reader_string(r, text[1], &ret->unit);
}

static int read_sample_types(struct reader *r)
{
	struct cursor c = r->part[PPROF_SAMPLE_TYPE], bytes;
	int e;

	reader_enter(r, "sample type");
	while ((e = reader_next(r, &c, PPROF_SAMPLE_TYPE, &bytes)) > 0) {
		if (r->header.n_sample_types == PROFILE_SAMPLE_TYPES_MAX)
			return reader_fail(r, -E2BIG, "more than %u", PROFILE_SAMPLE_TYPES_MAX);
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

	reader_enter(r, "period type");
	while (e >= 0 && (e = reader_next(r, &c, PPROF_PERIOD_TYPE, &bytes)) > 0)
		e = read_value_type(r, bytes, &h->period_type);
	if (e < 0)
		return e;
	r->kind = NULL;
	h->period = (int64_t)last_varint(r, PPROF_PERIOD);
	h->time_ns = (int64_t)last_varint(r, PPROF_TIME_NANOS);
	h->duration_ns = (int64_t)last_varint(r, PPROF_DURATION_NANOS);
	e = reader_string(r, last_varint(r, PPROF_DEFAULT_SAMPLE_TYPE), &h->default_sample_type);
	if (e >= 0)
		e = reader_string(r, last_varint(r, PPROF_DROP_FRAMES), &h->drop_frames);
	if (e >= 0)
		e = reader_string(r, last_varint(r, PPROF_KEEP_FRAMES), &h->keep_frames);
	return e < 0 ? e : reader_string(r, last_varint(r, PPROF_DOC_URL), &h->doc_url);
}

/* ---- the end: everything is known to be good ---- */

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
			e = cursor_varint(&f.bytes, &index) ? take(r, index, userdata) : reader_malformed(r);
	}
	return e;
}

static int measure_comment(struct reader *r, uint64_t index, void *userdata)
{
	struct comment_sizes *sizes = userdata;
	struct cursor c;
	int e = reader_string_bytes(r, index, &c);

	if (e < 0)
		return e;
	if (++sizes->n > PROFILE_COMMENTS_MAX)
		return reader_fail(r, -E2BIG, "more than %u comments", PROFILE_COMMENTS_MAX);
	sizes->bytes += LEDGER_MERGE_BYTES + (uint64_t)(c.end - c.at);
	return sizes->bytes > profile_bytes_left(r->dst) ? reader_refuse(r, -ENOSPC) : 0;
}

static int merge_comment(struct reader *r, uint64_t index, void *userdata)
{
	struct cursor c;

	(void)userdata;
	(void)reader_string_bytes(r, index, &c);
	return ledger_merge_comment(r->dst, (const char *)c.at, (size_t)(c.end - c.at));
}

static int commit(struct reader *r)
{
	const struct profile_header before = *profile_header(r->dst);
	struct comment_sizes sizes = { .bytes = PROFILE_COMMENTS_MAX * sizeof(char *) };
	int e;

	if (r->n_samples > UINT32_MAX / 4)
		return reader_refuse(r, -ENOSPC);
	merge_header(profile_header(r->dst), &r->header);
	e = profile_reserve_samples(r->dst, (uint32_t)r->n_samples);
	if (e < 0)
		e = reader_refuse(r, e);
	else
		e = each_comment(r, measure_comment, &sizes);
	if (e >= 0)
		e = each_comment(r, merge_comment, NULL);
	if (e < 0) {
		*profile_header(r->dst) = before;
		return e;
	}
	e = profile_add_samples(r->dst, r->samples, r->values, r->n_samples);
	assert(e >= 0);
	return e;
}

static int read_message(struct reader *r)
{
	int e = survey(r);

	if (e >= 0)
		e = find_strings(r);
	if (e >= 0)
		e = read_header(r);
	if (e >= 0)
		e = merge_match_types(r->dst, &r->header, r->value_to, r->error);
	if (e >= 0 && !(r->options.flags & PPROF_READ_NO_STACKS))
		e = reader_entities(r);
	if (e >= 0)
		e = reader_samples(r);
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
			return reader_fail(&r, e,
			        e == -E2BIG ? "larger than %zu bytes when decompressed"
			                    : "malformed compression (limit %zu bytes)",
			        max);
		data = plain;
		n = size;
		r.work = size;
	}
	if (n == 0)
		return reader_fail(&r, -EBADMSG, "empty");
	if (n > PPROF_BYTES_MAX)
		return reader_fail(&r, -E2BIG, "larger than %u bytes", PPROF_BYTES_MAX);
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
