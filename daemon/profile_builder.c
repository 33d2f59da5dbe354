#include "daemon/profile_builder.h"

#include <assert.h>
#include <string.h>

#include "profile/ledger.h"

#define PROFILE_BYTES_MAX (256u << 20)
#define LINES_MAX 64 /* inlined into one address */

struct profile_builder {
	const struct window *window;
	struct window_facts facts;
	struct profile *profile;
	uint32_t *locations; /* of each frame of the window; PROFILE_NONE: not given */
	uint64_t unsymbolized;
};

/* ---- head -------------------------------------------------------------------------------------------------------- */

static int add_value_type(struct profile *p, const struct source_value_type *t, struct profile_value_type *ret)
{
	int r = profile_add_cstring(p, t->type ? t->type : "", &ret->type);

	return r < 0 ? r : profile_add_cstring(p, t->unit ? t->unit : "", &ret->unit);
}

static int fill_header(struct profile *p, const struct window_facts *facts)
{
	struct profile_header h = *profile_header(p);
	int r;

	while (h.n_sample_types < SAMPLE_VALUES_MAX && facts->source->types[h.n_sample_types].type) {
		r = add_value_type(p, &facts->source->types[h.n_sample_types], &h.sample_types[h.n_sample_types]);
		if (r < 0)
			return r;
		h.n_sample_types++;
	}
	r = add_value_type(p, &facts->source->period_type, &h.period_type);
	if (r < 0)
		return r;
	r = profile_add_cstring(p, facts->source->drop_frames ? facts->source->drop_frames : "", &h.drop_frames);
	if (r < 0)
		return r;
	h.default_sample_type = h.sample_types[h.n_sample_types - 1].type;
	h.period = facts->period;
	h.time_ns = (int64_t)facts->start_ns;
	h.duration_ns = (int64_t)facts->duration_ns;
	*profile_header(p) = h;
	return 0;
}

int profile_builder_new(const struct window *w, const struct window_facts *facts, struct profile_builder **ret)
{
	_cleanup_(profile_builder_freep) struct profile_builder *b = calloc(1, sizeof(*b));
	const struct profile_limits limits = { .bytes_max = PROFILE_BYTES_MAX };
	uint32_t n = window_n_frames(w);
	int r;

	if (!b)
		return -ENOMEM;
	b->window = w;
	b->facts = *facts;
	b->locations = malloc(MAX(n, 1u) * sizeof(*b->locations));
	if (!b->locations)
		return -ENOMEM;
	memset(b->locations, 0xff, n * sizeof(*b->locations));
	r = profile_new(&limits, &b->profile);
	if (r < 0)
		return r;
	r = fill_header(b->profile, facts);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

struct profile_builder *profile_builder_free(struct profile_builder *b)
{
	if (b) {
		profile_free(b->profile);
		free(b->locations);
		free(b);
	}
	return NULL;
}

/* ---- locations --------------------------------------------------------------------------------------------------- */

static int add_line(
        struct profile *p, const struct symbol_table *t, const struct symbols_frame *f, struct profile_line *ret)
{
	struct profile_function function = { .start_line = f->start_line };
	const char *name = symbol_table_string(t, f->name), *system_name = symbol_table_string(t, f->system_name);
	int r;

	r = profile_add_cstring(p, name, &function.name);
	if (r == 0)
		r = profile_add_cstring(p, *system_name ? system_name : name, &function.system_name);
	if (r == 0)
		r = profile_add_cstring(p, symbol_table_string(t, f->filename), &function.filename);
	*ret = (struct profile_line){ .column = f->column, .line = f->line };
	return r < 0 ? r : profile_add_function(p, &function, &ret->function);
}

/* 0 frames: a location without lines. */
static int add_location(struct profile_builder *b, uint64_t address, uint32_t mapping, const struct symbol_table *t,
        const struct symbols_frame *frames, int n, uint32_t *ret)
{
	struct profile_line lines[LINES_MAX];
	struct profile_location l = { .address = address, .mapping = mapping, .lines = lines };

	for (; (int)l.n_lines < n && l.n_lines < LINES_MAX; l.n_lines++) {
		int r = add_line(b->profile, t, &frames[l.n_lines], &lines[l.n_lines]);

		if (r < 0)
			return r;
	}
	return profile_add_location(b->profile, &l, ret);
}

/* A location that is only a word in brackets. */
static int add_marker(struct profile_builder *b, uint32_t mapping, const char *text, uint32_t *ret)
{
	struct profile_function f = { 0 };
	struct profile_line line = { 0 };
	struct profile_location l = { .mapping = mapping, .lines = &line, .n_lines = 1 };
	int r = profile_add_cstring(b->profile, text, &f.name);

	f.system_name = f.name;
	if (r == 0)
		r = profile_add_function(b->profile, &f, &line.function);
	return r < 0 ? r : profile_add_location(b->profile, &l, ret);
}

static int add_mapping(
        struct profile *p, const char *filename, const char *build_id, struct profile_mapping *m, uint32_t *ret)
{
	int r = profile_add_cstring(p, filename, &m->filename);

	if (r == 0)
		r = profile_add_cstring(p, build_id, &m->build_id);
	return r < 0 ? r : profile_add_mapping(p, m, ret);
}

static int find_frames(const struct symbol_table *t, uint64_t address, const struct symbols_frame **ret)
{
	return t ? MAX(symbol_table_find(t, address, ret), 0) : 0;
}

/* What the names of one mapping hold: pprof tools ask, to know whether to symbolize themselves. */
static uint32_t mapping_flags(
        const struct profile_builder *b, const uint32_t *frames, size_t n, const struct symbol_table *t)
{
	const struct symbols_frame *f;
	uint32_t flags = 0;

	for (size_t i = 0; i < n; i++) {
		int k = find_frames(t, window_frame(b->window, frames[i])->address, &f);

		flags |= k > 0 ? PROFILE_MAPPING_HAS_FUNCTIONS : 0;
		flags |= k > 1 ? PROFILE_MAPPING_HAS_INLINE_FRAMES : 0;
		flags |= k > 0 && f[0].filename ? PROFILE_MAPPING_HAS_FILENAMES : 0;
		flags |= k > 0 && f[0].line ? PROFILE_MAPPING_HAS_LINE_NUMBERS : 0;
	}
	return flags;
}

/* Kernel addresses tell where the kernel lies: names only. */
int profile_builder_kernel(
        struct profile_builder *b, const uint32_t *frames, size_t n, const struct symbol_table *table)
{
	for (size_t i = 0; i < n; i++) {
		struct profile_mapping m = { .flags = PROFILE_MAPPING_HAS_FUNCTIONS };
		const struct symbols_frame *f = NULL;
		int k = find_frames(table, window_frame(b->window, frames[i])->address, &f), r;
		char module[128] = PROFILE_KERNEL_MAPPING;
		uint32_t mapping;

		if (k > 0 && f->module)
			(void)snprintf(module, sizeof(module), "[%s]", symbol_table_string(table, f->module));
		r = add_mapping(b->profile, module, "", &m, &mapping);
		if (r == 0 && k > 0)
			r = add_location(b, 0, mapping, table, f, k, &b->locations[frames[i]]);
		else if (r == 0)
			r = add_marker(b, mapping, "[unknown]", &b->locations[frames[i]]);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct symbolizer_segment *find_segment(const struct code_file *file, uint64_t offset)
{
	const struct symbolizer_identity *id = &file->identity;

	for (uint32_t i = 0; i < MIN(id->n_segments, (uint32_t)SYMBOLIZER_SEGMENTS_MAX); i++)
		if (offset >= id->segments[i].offset && offset - id->segments[i].offset < id->segments[i].filesz)
			return &id->segments[i];
	return NULL;
}

int profile_builder_file(struct profile_builder *b, const uint32_t *frames, size_t n, const struct code_file *file,
        const struct symbol_table *table)
{
	uint32_t flags = mapping_flags(b, frames, n, table);

	for (size_t i = 0; i < n; i++) {
		uint64_t offset = window_frame(b->window, frames[i])->address, address = offset;
		const struct symbolizer_segment *s = find_segment(file, offset);
		struct profile_mapping m = { .flags = flags };
		const struct symbols_frame *f = NULL;
		int k = find_frames(table, offset, &f), r;
		uint32_t mapping;

		if (s) {
			m.start = s->vaddr;
			m.limit = s->vaddr + s->filesz;
			m.offset = s->offset;
			address = offset - s->offset + s->vaddr;
		}
		b->unsymbolized += k == 0;
		r = add_mapping(b->profile, file->path, file->file_id, &m, &mapping);
		if (r == 0)
			r = add_location(b, address, mapping, table, f, k, &b->locations[frames[i]]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_plain(
        struct profile_builder *b, const uint32_t *frames, size_t n, const char *name, const struct symbol_table *table)
{
	struct profile_mapping m = { .flags = mapping_flags(b, frames, n, table) };
	uint32_t mapping;
	int r = add_mapping(b->profile, name, "", &m, &mapping);

	for (size_t i = 0; i < n && r == 0; i++) {
		uint64_t address = window_frame(b->window, frames[i])->address;
		const struct symbols_frame *f = NULL;
		int k = find_frames(table, address, &f);

		b->unsymbolized += k == 0;
		r = add_location(b, address, mapping, table, f, k, &b->locations[frames[i]]);
	}
	return r;
}

int profile_builder_anonymous(
        struct profile_builder *b, const uint32_t *frames, size_t n, const struct symbol_table *table)
{
	return add_plain(b, frames, n, PROFILE_ANONYMOUS_MAPPING, table);
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static int add_unknown_frames(struct profile_builder *b)
{
	for (uint32_t i = 0; i < window_n_frames(b->window); i++) {
		int r;

		if (b->locations[i] != PROFILE_NONE)
			continue;
		if (window_frame(b->window, i)->space == WINDOW_SPACE_KERNEL)
			r = profile_builder_kernel(b, &i, 1, NULL);
		else
			r = add_plain(b, &i, 1, PROFILE_UNKNOWN_MAPPING, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_stack(struct profile_builder *b, uint32_t stack, uint32_t *ret)
{
	uint32_t locations[WINDOW_FRAMES_MAX + 1];
	struct window_stack s = window_stack(b->window, stack);
	size_t n;
	int r;

	_Static_assert(WINDOW_FRAMES_MAX + 1 <= PROFILE_STACK_DEPTH_MAX + 128, "stacks fit the model");
	for (n = 0; n < s.n && n < PROFILE_STACK_DEPTH_MAX - 1; n++)
		locations[n] = b->locations[s.frames[n]];
	if (s.truncated || n == 0 || n < s.n) {
		char text[128];

		(void)snprintf(text, sizeof(text), "[truncated: %s]",
		        s.truncated ? s.truncated
		        : n         ? "too deep"
		                    : "no stack");
		r = add_marker(b, PROFILE_NONE, text, &locations[n++]);
		if (r < 0)
			return r;
	}
	return profile_add_stack(b->profile, locations, n, ret);
}

struct label_list {
	struct profile *profile;
	struct profile_label labels[10 + SAMPLE_LABELS_MAX + ENVIRONMENT_NAMES_MAX];
	size_t n;
	int error;
};

static void label_text(struct label_list *l, const char *key, const char *value)
{
	struct profile_label *to = &l->labels[l->n];
	uint32_t string = 0;

	if (!*value || l->error < 0)
		return;
	assert(l->n < ARRAY_SIZE(l->labels));
	l->error = profile_add_cstring(l->profile, key, &to->key);
	if (l->error == 0)
		l->error = profile_add_cstring(l->profile, value, &string);
	to->value = string;
	to->unit = PROFILE_NONE;
	l->n++;
}

static void label_number(struct label_list *l, const char *key, int64_t value)
{
	struct profile_label *to = &l->labels[l->n];

	if (l->error < 0)
		return;
	assert(l->n < ARRAY_SIZE(l->labels));
	l->error = profile_add_cstring(l->profile, key, &to->key);
	to->value = value;
	to->unit = 0;
	l->n++;
}

/* "env:NAME", as a rule for service names calls it. */
static void label_variables(struct label_list *l, struct environment *environment, const struct window_labels *w)
{
	const char *const *values = environment_get(environment, w->pid, w->start_ns, w->exe);

	for (size_t i = 0; values && i < environment_n_names(environment); i++) {
		_cleanup_free_ char *key = NULL;

		if (asprintf(&key, "env:%s", environment_name(environment, i)) < 0) {
			key = NULL;
			l->error = -ENOMEM;
			return;
		}
		label_text(l, key, values[i]);
	}
}

static int add_labels(struct profile_builder *b, const struct window_labels *w, struct code *code,
        struct cgroups *cgroups, struct environment *environment, const char *host, uint32_t *ret)
{
	struct label_list l = { .profile = b->profile };
	const struct code_file *exe = code && w->exe != FILE_NONE ? code_get(code, w->exe) : NULL;
	const struct cgroup *cgroup = cgroups ? cgroups_get(cgroups, w->cgroup_id) : NULL;

	label_text(&l, "comm", w->comm);
	label_text(&l, "exe", exe ? exe->path : "");
	label_text(&l, "thread", w->thread);
	label_number(&l, "pid", w->pid);
	label_number(&l, "tid", w->tid);
	label_text(&l, "cgroup", cgroup ? cgroup->path : "");
	label_text(&l, "unit", cgroup ? cgroup->unit : "");
	label_text(&l, "container_id", cgroup ? cgroup->container_id : "");
	label_text(&l, "host", host);
	for (size_t i = 0; i < SAMPLE_LABELS_MAX && w->own[i].key; i++)
		label_number(&l, w->own[i].key, w->own[i].value);
	if (environment)
		label_variables(&l, environment, w);
	return l.error < 0 ? l.error : profile_add_label_set(b->profile, l.labels, l.n, ret);
}

/* stacks and labels: of the window's, in the profile. */
static int add_samples(struct profile_builder *b, const uint32_t *stacks, const uint32_t *labels)
{
	for (uint32_t i = 0; i < window_n_samples(b->window); i++) {
		const struct window_sample *s = window_sample(b->window, i);
		int r = profile_add_sample(
		        b->profile, stacks[s->stack], labels[s->labels], window_values(b->window, i), NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_ledger(struct profile_builder *b)
{
	const struct window_counts *counts = window_counts(b->window);
	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
		{ LEDGER_LOST, b->facts.lost + counts->lost },
		{ LEDGER_TRUNCATED, counts->truncated },
		{ LEDGER_THROTTLED, b->facts.throttled },
		{ LEDGER_RATE_HZ, b->facts.rate },
		{ LEDGER_COST_CPU_NS, b->facts.cost_cpu_ns },
		{ LEDGER_UNSYMBOLIZED, b->unsymbolized },
		{ LEDGER_WINDOWS, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		int r = ledger_set(b->profile, lines[i].name, (int64_t)MIN(lines[i].value, (uint64_t)INT64_MAX));

		if (r < 0)
			return r;
	}
	for (unsigned i = 0; i < b->facts.n_notes; i++) {
		int r = ledger_set(
		        b->profile, b->facts.notes[i].name, (int64_t)MIN(b->facts.notes[i].value, (uint64_t)INT64_MAX));

		if (r < 0)
			return r;
	}
	return 0;
}

int profile_builder_finish(struct profile_builder *b, struct code *code, struct cgroups *cgroups,
        struct environment *environment, const char *host, struct profile **ret)
{
	_cleanup_free_ uint32_t *stacks = NULL, *labels = NULL;
	uint32_t n_stacks = window_n_stacks(b->window), n_labels = window_n_label_sets(b->window);
	int r;

	stacks = malloc(MAX(n_stacks, 1u) * sizeof(*stacks));
	labels = malloc(MAX(n_labels, 1u) * sizeof(*labels));
	if (!stacks || !labels)
		return -ENOMEM;
	r = add_unknown_frames(b);
	for (uint32_t i = 0; i < n_stacks && r == 0; i++)
		r = add_stack(b, i, &stacks[i]);
	for (uint32_t i = 0; i < n_labels && r == 0; i++)
		r = add_labels(b, window_labels(b->window, i), code, cgroups, environment, host, &labels[i]);
	if (r == 0)
		r = add_samples(b, stacks, labels);
	if (r == 0)
		r = add_ledger(b);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(b->profile);
	return 0;
}
