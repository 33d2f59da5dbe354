#include "profile/folded.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/intern.h"
#include "profile/frame.h"

/* ---- writing ---- */

struct line {
	const char *text;
	size_t size;
	int64_t value;
};

/* Distinct stacks as text, each with the sum of its samples. */
struct lines {
	struct intern *texts;
	int64_t *values;
	size_t room;
	struct buffer text;
};

static void lines_done(struct lines *l)
{
	(void)intern_free(l->texts);
	free(l->values);
	buffer_done(&l->text);
}

static void append_name(struct buffer *b, const char *name)
{
	size_t from = b->size;

	(void)buffer_append_string(b, name);
	for (size_t i = from; i < b->size; i++)
		if (b->data[i] == ';')
			b->data[i] = ':';
		else if (iscntrl((unsigned char)b->data[i]))
			b->data[i] = ' ';
	(void)buffer_append(b, ";", 1);
}

static const char *comm_of(const struct profile *p, uint32_t set)
{
	size_t n;
	const struct profile_label *labels = profile_label_set(p, set, &n);

	for (size_t i = 0; i < n; i++)
		if (labels[i].unit == PROFILE_NONE && strcmp(profile_string(p, labels[i].key, NULL), "comm") == 0)
			return profile_string(p, (uint32_t)labels[i].value, NULL);
	return NULL;
}

static int stack_text(struct lines *l, const struct profile *p, const struct profile_sample *s)
{
	const char *comm = comm_of(p, s->labels);
	const uint32_t *stack;
	size_t depth;

	stack = profile_stack(p, s->stack, &depth);
	l->text.size = 0;
	if (comm)
		append_name(&l->text, comm);
	for (size_t i = depth; i-- > 0;)
		for (uint32_t k = frame_count(p, stack[i]); k-- > 0;) {
			struct frame f;

			frame_get(p, stack[i], k, &f);
			append_name(&l->text, f.name);
		}
	if (l->text.size == 0)
		append_name(&l->text, "[no stack]");
	return l->text.error;
}

static int add_line(struct lines *l, int64_t value)
{
	uint32_t id;
	int r = intern_put(l->texts, l->text.data, l->text.size - 1, &id); /* without the last ';' */

	if (r < 0)
		return r;
	if (id >= l->room) {
		size_t room = MAX(l->room * 2, (size_t)1024);
		int64_t *bigger = realloc(l->values, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		memset(bigger + l->room, 0, (room - l->room) * sizeof(*bigger));
		l->values = bigger;
		l->room = room;
	}
	if (__builtin_add_overflow(l->values[id], value, &l->values[id]))
		l->values[id] = value < 0 ? INT64_MIN : INT64_MAX;
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int r = memcmp(x->text, y->text, MIN(x->size, y->size));

	return r ? r : (x->size > y->size) - (x->size < y->size);
}

static int print_lines(const struct lines *l, struct buffer *out)
{
	const uint32_t n = intern_count(l->texts);
	_cleanup_free_ struct line *sorted = calloc(MAX(n, 1u), sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		sorted[i].text = intern_get(l->texts, i, &sorted[i].size);
		sorted[i].value = l->values[i];
	}
	qsort(sorted, n, sizeof(*sorted), compare_lines);
	for (uint32_t i = 0; i < n; i++) {
		char number[24];

		if (sorted[i].value == 0)
			continue;
		(void)snprintf(number, sizeof(number), " %" PRId64 "\n", sorted[i].value);
		(void)buffer_append(out, sorted[i].text, sorted[i].size);
		(void)buffer_append_string(out, number);
	}
	return out->error;
}

int folded_write(const struct profile *p, uint32_t value_index, struct buffer *out)
{
	_cleanup_(lines_done) struct lines l = { .text = BUFFER(64u << 20) };
	const size_t before = out->size;
	int r;

	if (value_index >= profile_header_const(p)->n_sample_types && profile_n_samples(p))
		return -EINVAL;
	r = intern_new(FOLDED_DISTINCT_MAX, out->max, &l.texts);
	for (uint32_t i = 0; r >= 0 && i < profile_n_samples(p); i++) {
		r = stack_text(&l, p, profile_sample(p, i));
		if (r >= 0)
			r = add_line(&l, profile_values_const(p, i)[value_index]);
	}
	if (r >= 0)
		r = print_lines(&l, out);
	if (r < 0)
		out->size = before;
	return r;
}

/* ---- reading ---- */

struct folded_reader {
	struct profile *dst;
	uint32_t kernel, jit, no_labels;
	uint32_t n_locations;
	uint32_t locations[PROFILE_STACK_DEPTH_MAX]; /* root first while a line is read */
};

struct name_mark {
	bool is_kernel, is_jit, is_inlined;
};

static size_t take_mark(const char *name, size_t n, struct name_mark *ret)
{
	*ret = (struct name_mark){ 0 };
	if (n < 5 || memcmp(name + n - 4, "_[", 2) != 0 || name[n - 1] != ']')
		return n;
	ret->is_kernel = name[n - 2] == 'k';
	ret->is_inlined = name[n - 2] == 'i';
	ret->is_jit = name[n - 2] == 'j';
	return ret->is_kernel || ret->is_inlined || ret->is_jit ? n - 4 : n;
}

static int take_frame(struct folded_reader *f, const char *name, size_t n)
{
	struct profile_function function = { 0 };
	struct profile_line lines[PROFILE_LINES_MAX] = { { 0 } };
	struct profile_location l = { .mapping = PROFILE_NONE, .n_lines = 1, .lines = lines };
	struct name_mark mark;
	int r;

	n = take_mark(name, n, &mark);
	r = profile_add_string(f->dst, name, n, &function.name);
	function.system_name = function.name;
	if (r >= 0)
		r = profile_add_function(f->dst, &function, &lines[0].function);
	if (r < 0)
		return r;
	if (mark.is_inlined && f->n_locations > 0) { /* joins the location of its caller, which is further out */
		const struct profile_location caller = profile_location(f->dst, f->locations[f->n_locations - 1]);

		if (caller.n_lines < PROFILE_LINES_MAX) {
			memcpy(lines + 1, caller.lines, caller.n_lines * sizeof(*lines));
			l.n_lines = caller.n_lines + 1;
			l.mapping = caller.mapping;
			return profile_add_location(f->dst, &l, &f->locations[f->n_locations - 1]);
		}
	}
	if (f->n_locations == PROFILE_STACK_DEPTH_MAX)
		return -E2BIG;
	l.mapping = mark.is_kernel ? f->kernel : mark.is_jit ? f->jit : PROFILE_NONE;
	return profile_add_location(f->dst, &l, &f->locations[f->n_locations++]);
}

/* The line's stack and number: "a;b;c 12". */
static bool split_line(const char *line, size_t n, size_t *ret_stack, int64_t *ret_value)
{
	char digits[24], *end;
	size_t at = n;

	while (at > 0 && line[at - 1] != ' ' && line[at - 1] != '\t')
		at--;
	if (at <= 1 || n - at == 0 || n - at >= sizeof(digits))
		return false;
	memcpy(digits, line + at, n - at);
	digits[n - at] = 0;
	if (!isdigit((unsigned char)digits[0]) && digits[0] != '-')
		return false;
	errno = 0;
	*ret_value = strtoll(digits, &end, 10);
	/* stackcollapse scripts may write "12.0" after scaling: what follows the point is dropped. */
	if (errno || end == digits || (*end && (*end != '.' || strspn(end + 1, "0123456789") != strlen(end + 1))))
		return false;
	while (at > 0 && (line[at - 1] == ' ' || line[at - 1] == '\t'))
		at--;
	*ret_stack = at;
	return at > 0;
}

static int take_line(struct folded_reader *f, const char *line, size_t n)
{
	uint32_t stack, reversed[PROFILE_STACK_DEPTH_MAX];
	int64_t value;
	size_t size;
	int r = 0;

	if (!split_line(line, n, &size, &value))
		return -EBADMSG;
	f->n_locations = 0;
	for (size_t at = 0; r >= 0 && at <= size;) {
		const char *end = memchr(line + at, ';', size - at);
		size_t length = end ? (size_t)(end - line) - at : size - at;

		if (length)
			r = take_frame(f, line + at, length);
		at += length + 1;
	}
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < f->n_locations; i++)
		reversed[i] = f->locations[f->n_locations - 1 - i];
	r = profile_add_stack(f->dst, reversed, f->n_locations, &stack);
	return r < 0 ? r : profile_add_sample(f->dst, stack, f->no_labels, &value, NULL);
}

static int add_mapping(struct profile *p, const char *name, uint32_t *ret)
{
	struct profile_mapping m = { 0 };
	int r = profile_add_cstring(p, name, &m.filename);

	return r < 0 ? r : profile_add_mapping(p, &m, ret);
}

static int prepare(struct folded_reader *f)
{
	struct profile_header *h = profile_header(f->dst);
	int r = 0;

	if (h->n_sample_types > 1)
		return -EINVAL;
	if (h->n_sample_types == 0) {
		r = profile_add_cstring(f->dst, "samples", &h->sample_types[0].type);
		if (r >= 0)
			r = profile_add_cstring(f->dst, "count", &h->sample_types[0].unit);
		if (r >= 0)
			h->n_sample_types = 1;
	}
	if (r >= 0)
		r = add_mapping(f->dst, FRAME_KERNEL_MAPPING, &f->kernel);
	if (r >= 0)
		r = add_mapping(f->dst, FRAME_JIT_MAPPING, &f->jit);
	return r < 0 ? r : profile_add_label_set(f->dst, NULL, 0, &f->no_labels);
}

static int explain(struct profile_error *error, int r, size_t line)
{
	if (error)
		(void)snprintf(error->text, sizeof(error->text), "line %zu: %s", line,
		        r == -EBADMSG  ? "not \"frame;frame NUMBER\""
		        : r == -E2BIG  ? "deeper than the model allows"
		        : r == -EINVAL ? "several sample types are expected"
		                       : "the limit of memory for one profile is reached");
	return r;
}

int folded_read(struct profile *dst, const void *data, size_t n, struct profile_error *error)
{
	struct folded_reader f = { .dst = dst };
	const char *text = data;
	size_t number = 0;
	int r = prepare(&f);

	if (r < 0)
		return explain(error, r, 0);
	for (size_t at = 0; at < n;) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t size = end ? (size_t)(end - text) - at : n - at, length = size;

		number++;
		while (length && isspace((unsigned char)text[at + length - 1]))
			length--;
		if (length && text[at] != '#') {
			r = take_line(&f, text + at, length);
			if (r < 0)
				return explain(error, r, number);
		}
		at += size + 1;
	}
	return 0;
}

bool folded_sniff(const void *data, size_t n)
{
	const char *text = data;

	for (size_t at = 0; at < n;) {
		const char *end = memchr(text + at, '\n', MIN(n - at, (size_t)1 << 20));
		size_t size = end ? (size_t)(end - text) - at : n - at, stack;
		int64_t value;

		while (size && isspace((unsigned char)text[at + size - 1]))
			size--;
		if (size && text[at] != '#') {
			for (size_t i = 0; i < size; i++)
				if ((unsigned char)text[at + i] < 0x20 && text[at + i] != '\t')
					return false;
			return split_line(text + at, size, &stack, &value);
		}
		if (!end)
			return false;
		at = (size_t)(end - text) + 1;
	}
	return false;
}
