#include "profile/speedscope.h"

#include <inttypes.h>
#include <string.h>

#include "base/intern.h"
#include "profile/frame.h"
#include "profile/utf8.h"

#define FRAMES_MAX (16u << 20)

/* What makes a frame of the file: its name, file and line as JSON text. */
struct shared {
	const struct profile *p;
	struct buffer *out;
	struct intern *frames;     /* JSON text to index */
	uint32_t *first, *indices; /* [stack]: where its frames begin; indices of frames, root first */
	size_t n_indices, room_indices;
	struct buffer text;
};

static void shared_done(struct shared *s)
{
	(void)intern_free(s->frames);
	free(s->first);
	free(s->indices);
	buffer_done(&s->text);
}

static void append_escaped(struct buffer *b, const char *s, size_t n)
{
	(void)buffer_append(b, "\"", 1);
	for (size_t at = 0; at < n;) {
		size_t run = 0;

		while (at + run < n && (unsigned char)s[at + run] >= 0x20 && s[at + run] != '"' && s[at + run] != '\\')
			run++;
		for (size_t end = at + run; at < end;) {
			size_t good = utf8_span(s + at, end - at);

			(void)buffer_append(b, s + at, good);
			at += good;
			if (at < end) {
				(void)buffer_append_string(b, UTF8_REPLACEMENT);
				at++;
			}
		}
		if (at < n)
			(void)buffer_printf(b, "\\u%04x", (unsigned char)s[at++]);
	}
	(void)buffer_append(b, "\"", 1);
}

static int frame_index(struct shared *s, const struct frame *f, uint32_t *ret)
{
	struct buffer *b = &s->text;
	int r;

	b->size = 0;
	(void)buffer_append_string(b, "{\"name\":");
	append_escaped(b, f->name, f->name_size);
	if (*f->file) {
		(void)buffer_append_string(b, ",\"file\":");
		append_escaped(b, f->file, strlen(f->file));
	}
	if (f->line > 0)
		(void)buffer_printf(b, ",\"line\":%" PRId64, f->line);
	(void)buffer_append(b, "}", 1);
	if (b->error)
		return b->error;
	r = intern_put(s->frames, b->data, b->size, ret);
	return r < 0 ? r : 0;
}

static int add_frame(struct shared *s, uint32_t location, uint32_t line)
{
	struct frame f;
	int r;

	if (s->n_indices == s->room_indices) {
		size_t room = MAX(s->room_indices * 2, (size_t)1024);
		uint32_t *bigger = realloc(s->indices, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->indices = bigger;
		s->room_indices = room;
	}
	if (s->n_indices == UINT32_MAX)
		return -E2BIG;
	frame_get(s->p, location, line, &f);
	r = frame_index(s, &f, &s->indices[s->n_indices]);
	s->n_indices += r >= 0;
	return r;
}

static int add_stack(struct shared *s, uint32_t stack)
{
	size_t depth;
	const uint32_t *locations = profile_stack(s->p, stack, &depth);

	for (size_t i = depth; i-- > 0;)
		for (uint32_t k = frame_count(s->p, locations[i]); k-- > 0;) {
			int r = add_frame(s, locations[i], k);

			if (r < 0)
				return r;
		}
	s->first[stack + 1] = (uint32_t)s->n_indices;
	return 0;
}

static int collect(struct shared *s)
{
	int r = intern_new(FRAMES_MAX, s->out->max, &s->frames);

	if (r < 0)
		return r;
	s->first = calloc((size_t)profile_n_stacks(s->p) + 1, sizeof(*s->first));
	if (!s->first)
		return -ENOMEM;
	for (uint32_t i = 0; r >= 0 && i < profile_n_stacks(s->p); i++)
		r = add_stack(s, i);
	return r;
}

static void append_frames(struct shared *s)
{
	(void)buffer_append_string(s->out, "\"shared\":{\"frames\":[");
	for (uint32_t i = 0; i < intern_count(s->frames); i++) {
		size_t n;
		const char *text = intern_get(s->frames, i, &n);

		(void)buffer_append_string(s->out, i ? ",\n" : "\n");
		(void)buffer_append(s->out, text, n);
	}
	(void)buffer_append_string(s->out, "]}");
}

static void append_stack(struct shared *s, uint32_t stack)
{
	(void)buffer_append(s->out, "[", 1);
	for (uint32_t i = s->first[stack]; i < s->first[stack + 1]; i++)
		(void)buffer_printf(s->out, i > s->first[stack] ? ",%" PRIu32 : "%" PRIu32, s->indices[i]);
	(void)buffer_append(s->out, "]", 1);
}

/* The units that speedscope knows. */
static const char *unit_of(const char *unit)
{
	static const char *const known[] = { "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(unit, known[i]) == 0)
			return known[i];
	return "none";
}

/* Weights are drawn as widths: what is not positive has none. */
static int append_profile(struct shared *s, uint32_t value)
{
	const struct profile_value_type *t = &profile_header_const(s->p)->sample_types[value];
	_cleanup_free_ int64_t *weights = calloc(MAX(profile_n_stacks(s->p), 1u), sizeof(*weights));
	const char *comma = "";
	int64_t total = 0;

	if (!weights)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile_n_samples(s->p); i++) {
		int64_t *w = &weights[profile_sample(s->p, i)->stack];

		if (__builtin_add_overflow(*w, profile_values_const(s->p, i)[value], w))
			*w = INT64_MAX;
	}
	for (uint32_t i = 0; i < profile_n_stacks(s->p); i++)
		if (weights[i] > 0 && __builtin_add_overflow(total, weights[i], &total))
			total = INT64_MAX;
	(void)buffer_append_string(s->out, "{\"type\":\"sampled\",\"name\":");
	append_escaped(s->out, profile_string(s->p, t->type, NULL), strlen(profile_string(s->p, t->type, NULL)));
	(void)buffer_printf(s->out, ",\"unit\":\"%s\",\"startValue\":0,\"endValue\":%" PRId64 ",\n\"samples\":[",
	        unit_of(profile_string(s->p, t->unit, NULL)), total);
	for (uint32_t i = 0; i < profile_n_stacks(s->p); i++)
		if (weights[i] > 0) {
			(void)buffer_append_string(s->out, comma);
			append_stack(s, i);
			comma = ",";
		}
	(void)buffer_append_string(s->out, "],\n\"weights\":[");
	comma = "";
	for (uint32_t i = 0; i < profile_n_stacks(s->p); i++)
		if (weights[i] > 0) {
			(void)buffer_printf(s->out, "%s%" PRId64, comma, weights[i]);
			comma = ",";
		}
	(void)buffer_append_string(s->out, "]}");
	return 0;
}

int speedscope_write(const struct profile *p, const char *name, uint32_t active_value, struct buffer *out)
{
	_cleanup_(shared_done) struct shared s = { .p = p, .out = out, .text = BUFFER(64u << 20) };
	const size_t before = out->size;
	int r = collect(&s);

	(void)buffer_append_string(
	        out, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n\"name\":");
	append_escaped(out, name, strlen(name));
	(void)buffer_printf(
	        out, ",\"exporter\":\"emberd %s\",\"activeProfileIndex\":%" PRIu32 ",\n", EMBER_VERSION, active_value);
	if (r >= 0)
		append_frames(&s);
	(void)buffer_append_string(out, ",\n\"profiles\":[");
	for (uint32_t i = 0; r >= 0 && i < profile_header_const(p)->n_sample_types; i++) {
		(void)buffer_append_string(out, i ? ",\n" : "");
		r = append_profile(&s, i);
	}
	(void)buffer_append_string(out, "]}\n");
	if (r >= 0)
		r = out->error;
	if (r < 0)
		out->size = before;
	return r;
}
