#include "profile/heap_dump.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEX_DIGITS_MAX 16

struct text {
	const char *at, *end;
};

/* What is in use and what was ever allocated, of one line of numbers. */
struct counts {
	int64_t objects, bytes, all_objects, all_bytes;
};

struct named_mapping {
	uint64_t start, limit;
	uint32_t mapping; /* in the profile */
	bool is_allocator;
};

struct named_address {
	uint64_t address;
	struct text name;
};

struct dump {
	struct profile *dst;
	struct profile_error *error;
	size_t line; /* number, for error texts */
	double rate; /* mean bytes between samples; 0: everything is counted */
	bool has_all;
	uint32_t no_labels;
	struct named_mapping *mappings; /* sorted, as maps is */
	size_t n_mappings, room_mappings;
	struct named_address *names; /* sorted */
	size_t n_names, room_names;
};

static void dump_done(struct dump *d)
{
	free(d->mappings);
	free(d->names);
}

_printf_(3, 4) static int fail(struct dump *d, int code, const char *format, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (d->error)
		(void)snprintf(d->error->text, sizeof(d->error->text), "line %zu: %s", d->line, text);
	return code;
}

static int refuse(struct dump *d, int code)
{
	return fail(d, code, code == -E2BIG ? "deeper than the model allows" : "the limit of memory is reached");
}

/* ---- scanning ---- */

/* The next line without its end. */
static bool next_line(struct text *t, struct text *ret)
{
	const char *end;

	if (t->at == t->end)
		return false;
	end = memchr(t->at, '\n', (size_t)(t->end - t->at));
	*ret = (struct text){ t->at, end ? end : t->end };
	t->at = end ? end + 1 : t->end;
	while (ret->end > ret->at && (ret->end[-1] == '\r' || ret->end[-1] == ' '))
		ret->end--;
	return true;
}

static void skip_space(struct text *t)
{
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\t'))
		t->at++;
}

/* The word stands there and is taken, spaces before it as well. */
static bool take(struct text *t, const char *word)
{
	size_t n = strlen(word);

	skip_space(t);
	if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0)
		return false;
	t->at += n;
	return true;
}

static bool take_number(struct text *t, int64_t *ret)
{
	bool negative = take(t, "-");
	const char *start = t->at;
	int64_t value = 0;

	for (; t->at < t->end && isdigit((unsigned char)*t->at); t->at++)
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *t->at - '0', &value))
			return false;
	*ret = negative ? -value : value;
	return t->at > start;
}

static bool take_hex(struct text *t, uint64_t *ret)
{
	uint64_t value = 0;
	int digits = 0;

	skip_space(t);
	if (t->end - t->at > 2 && t->at[0] == '0' && t->at[1] == 'x')
		t->at += 2;
	for (; t->at < t->end && isxdigit((unsigned char)*t->at); t->at++, digits++)
		value = value << 4 |
		        (uint64_t)(isdigit((unsigned char)*t->at) ? *t->at - '0' : (*t->at | 32) - 'a' + 10);
	*ret = value;
	return digits > 0 && digits <= HEX_DIGITS_MAX;
}

/* "13: 6688 [20: 9000]" */
static bool take_counts(struct text *t, struct counts *ret)
{
	return take_number(t, &ret->objects) && take(t, ":") && take_number(t, &ret->bytes) && take(t, "[") &&
	       take_number(t, &ret->all_objects) && take(t, ":") && take_number(t, &ret->all_bytes) && take(t, "]");
}

static int grow(struct dump *d, void **memory, size_t *room, size_t size)
{
	size_t more = MAX(*room * 2, (size_t)64);
	void *bigger;

	if (more * size > profile_bytes_left(d->dst))
		return refuse(d, -ENOSPC);
	bigger = realloc(*memory, more * size);
	if (!bigger)
		return -ENOMEM;
	*memory = bigger;
	*room = more;
	return 0;
}

/* ---- mappings ---- */

static bool is_allocator(struct text path)
{
	static const char *const libraries[] = { "libjemalloc", "libtcmalloc", "libprofiler" };
	const char *base = memrchr(path.at, '/', (size_t)(path.end - path.at));

	base = base ? base + 1 : path.at;
	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
		size_t n = strlen(libraries[i]);

		if ((size_t)(path.end - base) >= n && memcmp(base, libraries[i], n) == 0)
			return true;
	}
	return false;
}

/* "START-LIMIT r-xp OFFSET DEVICE INODE  PATH"; what is not code or not of that form is passed over. */
static int read_mapping(struct dump *d, struct text line)
{
	struct profile_mapping m = { 0 };
	struct named_mapping *last;
	struct text rights;
	int r;

	if (!take_hex(&line, &m.start) || !take(&line, "-") || !take_hex(&line, &m.limit))
		return 0;
	skip_space(&line);
	rights = line;
	while (line.at < line.end && *line.at != ' ')
		line.at++;
	if (line.at - rights.at < 3 || rights.at[2] != 'x' || m.limit <= m.start || !take_hex(&line, &m.offset))
		return 0;
	last = d->n_mappings ? &d->mappings[d->n_mappings - 1] : NULL;
	if (last && m.start < last->limit)
		return fail(d, -EBADMSG, "mappings overlap or are not in order");
	if (d->n_mappings == HEAP_DUMP_MAPPINGS_MAX)
		return fail(d, -E2BIG, "more than %d mappings", HEAP_DUMP_MAPPINGS_MAX);
	for (int field = 0; field < 2; field++) { /* device, inode */
		skip_space(&line);
		while (line.at < line.end && *line.at != ' ')
			line.at++;
	}
	skip_space(&line);
	r = profile_add_string(d->dst, line.at, (size_t)(line.end - line.at), &m.filename);
	if (r >= 0 && d->n_mappings == d->room_mappings)
		r = grow(d, (void **)&d->mappings, &d->room_mappings, sizeof(*d->mappings));
	if (r < 0)
		return r;
	d->mappings[d->n_mappings] = (struct named_mapping){ m.start, m.limit, 0, is_allocator(line) };
	r = profile_add_mapping(d->dst, &m, &d->mappings[d->n_mappings].mapping);
	d->n_mappings += r >= 0;
	return r < 0 ? refuse(d, r) : 0;
}

static const struct named_mapping *find_mapping(const struct dump *d, uint64_t address)
{
	size_t low = 0, high = d->n_mappings;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (d->mappings[middle].limit <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < d->n_mappings && d->mappings[low].start <= address ? &d->mappings[low] : NULL;
}

/* ---- symbols that --raw has put in front ---- */

static int compare_names(const void *a, const void *b)
{
	const struct named_address *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

/* jeprof puts the symbol's own address behind a name: "main<000000000000124f>". */
static struct text without_address(struct text name)
{
	const char *c = name.end - 1;

	if (name.at == name.end || *c != '>')
		return name;
	while (c > name.at && isxdigit((unsigned char)c[-1]))
		c--;
	if (c - 1 > name.at && c[-1] == '<' && name.end - c > 8)
		name.end = c - 1;
	return name;
}

/* "0x1234 name" up to "---"; t is behind "--- symbol". */
static int read_symbols(struct dump *d, struct text *t)
{
	struct text line;
	int r;

	while (next_line(t, &line)) {
		struct named_address n;

		d->line++;
		if (take(&line, "---"))
			break;
		if (!take(&line, "0x") || !take_hex(&line, &n.address))
			continue; /* binary=... */
		skip_space(&line);
		n.name = without_address(line);
		if (d->n_names == d->room_names) {
			r = grow(d, (void **)&d->names, &d->room_names, sizeof(*d->names));
			if (r < 0)
				return r;
		}
		d->names[d->n_names++] = n;
	}
	if (d->n_names)
		qsort(d->names, d->n_names, sizeof(*d->names), compare_names);
	return 0;
}

/* Inlined frames stand in one line, the innermost first, with "--" between. */
static int add_lines(struct dump *d, struct text name, struct profile_line lines[PROFILE_LINES_MAX], uint32_t *ret_n)
{
	uint32_t n = 0;

	while (name.at < name.end && n < PROFILE_LINES_MAX) {
		const char *end = memmem(name.at, (size_t)(name.end - name.at), "--", 2);
		struct profile_function f = { 0 };
		int r;

		end = end && end > name.at ? end : name.end;
		r = profile_add_string(d->dst, name.at, (size_t)(end - name.at), &f.name);
		f.system_name = f.name;
		lines[n] = (struct profile_line){ 0 };
		if (r >= 0)
			r = profile_add_function(d->dst, &f, &lines[n++].function);
		if (r < 0)
			return refuse(d, r);
		name.at = end == name.end ? end : end + 2;
	}
	*ret_n = n;
	return 0;
}

/* ---- stacks ---- */

static int add_location(struct dump *d, uint64_t return_address, uint32_t *ret)
{
	const struct named_address key = { .address = return_address }, before = { .address = return_address - 1 };
	struct profile_line lines[PROFILE_LINES_MAX];
	struct profile_location l = { .address = return_address - 1, .mapping = PROFILE_NONE, .lines = lines };
	const struct named_mapping *m = find_mapping(d, l.address);
	const struct named_address *name = NULL;
	int r;

	if (m)
		l.mapping = m->mapping;
	if (d->n_names) { /* jeprof prints the address one below, others the return address */
		name = bsearch(&before, d->names, d->n_names, sizeof(before), compare_names);
		name = name ? name : bsearch(&key, d->names, d->n_names, sizeof(key), compare_names);
	}
	r = name ? add_lines(d, name->name, lines, &l.n_lines) : 0;
	if (r < 0)
		return r;
	r = profile_add_location(d->dst, &l, ret);
	return r < 0 ? refuse(d, r) : 0;
}

/* The addresses behind '@', leaf first. */
static int read_stack(struct dump *d, struct text line, uint32_t *ret)
{
	uint32_t locations[PROFILE_STACK_DEPTH_MAX];
	bool in_allocator = true;
	size_t n = 0;
	int r;

	for (skip_space(&line); line.at < line.end; skip_space(&line)) {
		const struct named_mapping *m;
		uint64_t address;

		if (!take_hex(&line, &address) || address == 0 || (line.at < line.end && *line.at != ' '))
			return fail(d, -EBADMSG, "not an address");
		m = find_mapping(d, address - 1);
		in_allocator = in_allocator && m && m->is_allocator;
		if (in_allocator)
			continue;
		if (n == PROFILE_STACK_DEPTH_MAX)
			return refuse(d, -E2BIG);
		r = add_location(d, address, &locations[n++]);
		if (r < 0)
			return r;
	}
	r = profile_add_stack(d->dst, locations, n, ret);
	return r < 0 ? refuse(d, r) : 0;
}

static int64_t scaled(int64_t value, double factor)
{
	double v = (double)value * factor;

	return v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? INT64_MIN : llround(v);
}

static void scale(const struct dump *d, int64_t *objects, int64_t *bytes)
{
	double factor;

	if (d->rate <= 1 || *objects <= 0 || *bytes <= 0)
		return;
	factor = 1 / -expm1(-((double)*bytes / (double)*objects) / d->rate);
	*objects = scaled(*objects, factor);
	*bytes = scaled(*bytes, factor);
}

static int add_sample(struct dump *d, uint32_t stack, struct counts c)
{
	int64_t values[4] = { 0 }, *in_use = values;
	int r;

	scale(d, &c.objects, &c.bytes);
	scale(d, &c.all_objects, &c.all_bytes);
	if (d->has_all) {
		values[0] = c.all_objects;
		values[1] = c.all_bytes;
		in_use = values + 2;
	}
	in_use[0] = c.objects;
	in_use[1] = c.bytes;
	r = profile_add_sample(d->dst, stack, d->no_labels, values, NULL);
	return r < 0 ? refuse(d, r) : 0;
}

/* ---- the two formats ---- */

/* A stack's line, then a line for all threads (t*), then one for each (tN), which the first holds already. */
static int read_jemalloc(struct dump *d, struct text *t)
{
	uint32_t stack = PROFILE_NONE;
	struct text line;
	int r = 0;

	while (r >= 0 && next_line(t, &line)) {
		struct counts c;

		d->line++;
		if (take(&line, "MAPPED_LIBRARIES"))
			break;
		if (take(&line, "@")) {
			r = read_stack(d, line, &stack);
		} else if (stack != PROFILE_NONE && take(&line, "t*:")) {
			if (!take_counts(&line, &c))
				return fail(d, -EBADMSG, "not \"t*: OBJECTS: BYTES [OBJECTS: BYTES]\"");
			r = add_sample(d, stack, c);
			stack = PROFILE_NONE;
		}
	}
	return r;
}

static int read_gperftools(struct dump *d, struct text *t)
{
	struct text line;
	int r = 0;

	while (r >= 0 && next_line(t, &line)) {
		struct counts c;
		uint32_t stack;

		d->line++;
		skip_space(&line);
		if (line.at == line.end || *line.at == '#')
			continue;
		if (take(&line, "MAPPED_LIBRARIES") || take(&line, "---"))
			break;
		if (!take_counts(&line, &c) || !take(&line, "@"))
			return fail(d, -EBADMSG, "not \"OBJECTS: BYTES [OBJECTS: BYTES] @ ADDRESS...\"");
		r = read_stack(d, line, &stack);
		if (r >= 0)
			r = add_sample(d, stack, c);
	}
	return r;
}

/* "heap_v2/524288", then " t*: ..." of all: there it shows whether accumulated numbers were kept. */
static int read_jemalloc_header(struct dump *d, struct text line, const struct text *rest)
{
	struct text behind = *rest, totals;
	struct counts c;
	int64_t rate;

	if (!take(&line, "heap_v2/") || !take_number(&line, &rate) || rate < 0 || line.at != line.end)
		return fail(d, -EBADMSG, "not \"heap_v2/RATE\"");
	d->rate = (double)rate;
	if (next_line(&behind, &totals) && take(&totals, "t*:") && take_counts(&totals, &c))
		d->has_all = c.all_objects != 0;
	return 0;
}

/* "heap profile: 262: 4096 [300: 5000] @ heap_v2/524288": the word says how it was sampled. */
static int read_gperftools_header(struct dump *d, struct text line)
{
	struct counts c;
	int64_t rate = 0;

	if (!take(&line, "heap profile:") || !take_counts(&line, &c) || !take(&line, "@"))
		return fail(d, -EBADMSG, "not \"heap profile: OBJECTS: BYTES [OBJECTS: BYTES] @ KIND\"");
	d->has_all = c.all_objects != 0;
	if (take(&line, "heapprofile"))
		return 0; /* everything was counted */
	if (take(&line, "heap_v2/") || take(&line, "heapz_v2/")) {
		if (take_number(&line, &rate) && rate >= 0) {
			d->rate = (double)rate;
			return 0;
		}
	} else if (take(&line, "heap/") && take_number(&line, &rate) && rate >= 0) {
		d->rate = (double)rate / 2; /* the old form names twice the mean distance */
		return 0;
	}
	return fail(d, -EBADMSG, "unknown kind of heap profile");
}

static int add_type(struct profile *p, const char *type, const char *unit)
{
	struct profile_header *h = profile_header(p);
	struct profile_value_type t;
	int r = profile_add_cstring(p, type, &t.type);

	if (r >= 0)
		r = profile_add_cstring(p, unit, &t.unit);
	if (r >= 0)
		h->sample_types[h->n_sample_types++] = t;
	return r;
}

static int add_header(struct dump *d)
{
	struct profile_header *h = profile_header(d->dst);
	int r = 0;

	assert(h->n_sample_types == 0);
	if (d->has_all) {
		r = add_type(d->dst, "alloc_objects", "count");
		if (r >= 0)
			r = add_type(d->dst, "alloc_space", "bytes");
	}
	if (r >= 0)
		r = add_type(d->dst, "inuse_objects", "count");
	if (r >= 0)
		r = add_type(d->dst, "inuse_space", "bytes");
	if (r >= 0)
		r = profile_add_cstring(d->dst, "space", &h->period_type.type);
	if (r >= 0)
		r = profile_add_label_set(d->dst, NULL, 0, &d->no_labels);
	if (r < 0)
		return refuse(d, r);
	h->period_type.unit = h->sample_types[h->n_sample_types - 1].unit;
	h->default_sample_type = h->sample_types[h->n_sample_types - 1].type;
	h->period = d->rate > 1 ? (int64_t)d->rate : 1;
	return 0;
}

static int read_mappings(struct dump *d, struct text t)
{
	const char *at = memmem(t.at, (size_t)(t.end - t.at), "\nMAPPED_LIBRARIES:", 18);
	struct text line;
	int r = 0;

	if (!at)
		return 0;
	d->line = 1;
	for (const char *c = t.at; c <= at; c++)
		d->line += *c == '\n';
	t.at = at + 1;
	(void)next_line(&t, &line);
	while (r >= 0 && next_line(&t, &line)) {
		d->line++;
		r = read_mapping(d, line);
	}
	d->line = 0;
	return r;
}

/* Past "--- symbol ... ---" and "--- heap", where they stand. */
static int read_front(struct dump *d, struct text *t, struct text *ret_first)
{
	int r;

	while (next_line(t, ret_first)) {
		struct text line = *ret_first;

		d->line++;
		if (line.at == line.end)
			continue;
		if (!take(&line, "---"))
			return 0;
		if (take(&line, "symbol")) {
			r = read_symbols(d, t);
			if (r < 0)
				return r;
		}
	}
	return fail(d, -EBADMSG, "no heap profile follows");
}

int heap_dump_read(struct profile *dst, const void *data, size_t n, struct profile_error *error)
{
	_cleanup_(dump_done) struct dump d = { .dst = dst, .error = error };
	struct text t = { data, (const char *)data + n }, first;
	bool is_jemalloc;
	int r = read_mappings(&d, t);

	if (r >= 0)
		r = read_front(&d, &t, &first);
	if (r < 0)
		return r;
	is_jemalloc = first.end - first.at >= 5 && memcmp(first.at, "heap_", 5) == 0;
	r = is_jemalloc ? read_jemalloc_header(&d, first, &t) : read_gperftools_header(&d, first);
	if (r >= 0)
		r = add_header(&d);
	if (r < 0)
		return r;
	return is_jemalloc ? read_jemalloc(&d, &t) : read_gperftools(&d, &t);
}

bool heap_dump_sniff(const void *data, size_t n)
{
	static const char *const starts[] = { "heap_v2/", "heap profile:", "--- symbol", "--- heap" };

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		if (n >= strlen(starts[i]) && memcmp(data, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}
