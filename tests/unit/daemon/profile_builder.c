#include "tests/unit/unit.h"
#include "daemon/profile_builder.h"

#include <errno.h>
#include <string.h>

#include "profile/ledger.h"

#define FILE_ID (FILE_FIRST + 1)

static const struct code_file file = {
	.id = FILE_ID,
	.flags = CODE_IDENTIFIED,
	.path = "/usr/bin/program",
	.file_id = "abcdef",
	.identity = { .n_segments = 2,
	        .segments = { { .offset = 0x1000, .vaddr = 0x401000, .filesz = 0x2000 },
	                { .offset = 0x5000, .vaddr = 0x605000, .filesz = 0x100 } } },
};

/* The table of files is BPF's; these tests know one file. */
const struct code_file *code_get(struct code *c, uint32_t id)
{
	(void)c;
	return id == FILE_ID ? &file : NULL;
}

static const struct source source = {
	.name = "cpu",
	.types = { { "samples", "count" }, { "cpu", "nanoseconds" } },
	.period_type = { "cpu", "nanoseconds" },
};

static const struct window_facts facts = { .source = &source,
	.period = 10000000,
	.rate = 100,
	.start_ns = 1000,
	.duration_ns = 2000,
	.lost = 3,
	.throttled = 4,
	.cost_cpu_ns = 5 };

static const uint64_t kernel[] = { 0xffffffff81000100, 0xffffffff81000201 };
static const struct user_frame user[] = {
	{ .file = FILE_ID, .offset = 0x1010 },
	{ .file = FILE_ID, .offset = 0x5020, .flags = FRAME_RETURN_ADDRESS },
	{ .file = FILE_UNKNOWN, .offset = 0x77 },
};

struct fixture {
	struct window *window;
	struct profile_builder *builder;
	struct profile *profile;
};

static int set_up(void **state)
{
	static struct fixture f;
	struct sample s = { .pid = 7,
		.tid = 8,
		.exe = FILE_ID,
		.comm = "program",
		.thread = "worker",
		.kernel = kernel,
		.n_kernel = 2,
		.user = user,
		.n_user = 3,
		.values = { 1, 10000000 } };

	f = (struct fixture){ 0 };
	assert_int_equal(window_new(2, WINDOW_BYTES_MAX, &f.window), 0);
	assert_int_equal(window_add(f.window, &s), 0);
	s.truncated = "no rows";
	s.n_kernel = 0;
	assert_int_equal(window_add(f.window, &s), 0);
	assert_int_equal(window_add(f.window, &s), 0);
	assert_int_equal(profile_builder_new(f.window, &facts, &f.builder), 0);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	profile_free(f->profile);
	profile_builder_free(f->builder);
	window_free(f->window);
	return 0;
}

/* Each query i has frames "name<i>" in module "mod<i>" (kernel) with one inlined callee. */
static struct symbol_table *make_table(const uint64_t *queries, uint32_t n, bool has_module)
{
	static const char strings[] = "\0outer\0inner\0file.c\0module\0_Zouter";
	struct {
		struct symbols_header h;
		char rest[1024];
	} a = { .h = { SYMBOLS_MAGIC, n, n * 2, sizeof(strings), 0 } };
	struct symbol_table *t = NULL;
	char *p = a.rest;

	for (uint32_t i = 0; i <= n; i++, p += sizeof(uint32_t))
		memcpy(p, &(uint32_t){ i * 2 }, sizeof(uint32_t));
	for (uint32_t i = 0; i < n; i++) {
		const struct symbols_frame frames[] = {
			{ .name = 7,
			        .filename = 13,
			        .line = 4,
			        .column = 2,
			        .start_line = 3,
			        .flags = SYMBOLS_FRAME_INLINED },
			{ .name = 1, .system_name = 27, .filename = 13, .line = 9, .module = has_module ? 20 : 0 },
		};

		memcpy(p, frames, sizeof(frames));
		((struct symbols_frame *)(void *)p)->module = has_module ? 20 : 0;
		p += sizeof(frames);
	}
	memcpy(p, strings, sizeof(strings));
	p += sizeof(strings);
	assert_int_equal(symbol_table_from_answer(queries, n, &a, sizeof(a.h) + (size_t)(p - a.rest), &t), 0);
	return t;
}

static const char *text(const struct profile *p, uint32_t string)
{
	return profile_string(p, string, NULL);
}

static const char *leaf_name(const struct profile *p, struct profile_location l)
{
	return text(p, profile_function(p, l.lines[0].function)->name);
}

static const uint32_t kernel_frames[] = { 0, 1 }, file_frames[] = { 2, 3 };

static void finish(struct fixture *f)
{
	assert_int_equal(profile_builder_finish(f->builder, (struct code *)&file, NULL, NULL, "host1", &f->profile), 0);
}

static void head_and_ledger(void **state)
{
	struct fixture *f = *state;
	const struct profile_header *h;
	int64_t value;

	finish(f);
	h = profile_header_const(f->profile);
	assert_int_equal(h->n_sample_types, 2);
	assert_string_equal(text(f->profile, h->sample_types[1].unit), "nanoseconds");
	assert_string_equal(text(f->profile, h->default_sample_type), "cpu");
	assert_int_equal(h->period, 10000000);
	assert_int_equal(h->time_ns, 1000);
	assert_int_equal(h->duration_ns, 2000);
	assert_int_equal(profile_total(f->profile, 0), 3);
	assert_int_equal(ledger_get(f->profile, LEDGER_LOST, &value), 0);
	assert_int_equal(value, 3);
	assert_int_equal(ledger_get(f->profile, LEDGER_TRUNCATED, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(ledger_get(f->profile, LEDGER_THROTTLED, &value), 0);
	assert_int_equal(value, 4);
	assert_int_equal(ledger_get(f->profile, LEDGER_RATE_HZ, &value), 0);
	assert_int_equal(value, 100);
	assert_int_equal(ledger_get(f->profile, LEDGER_COST_CPU_NS, &value), 0);
	assert_int_equal(value, 5);
}

static void kernel_frames_tell_no_addresses(void **state)
{
	struct fixture *f = *state;
	const uint64_t queries[] = { kernel[0], kernel[1] - 1 };
	_cleanup_(symbol_table_freep) struct symbol_table *t = make_table(queries, 1, true);
	const uint32_t *stack;
	struct profile_location l;
	size_t n;

	/* the first is known, the second was never asked */
	assert_int_equal(profile_builder_kernel(f->builder, kernel_frames, 2, t), 0);
	finish(f);
	stack = profile_stack(f->profile, profile_sample(f->profile, 0)->stack, &n);
	assert_int_equal(n, 5);
	l = profile_location(f->profile, stack[0]);
	assert_int_equal(l.address, 0);
	assert_string_equal(leaf_name(f->profile, l), "inner");
	assert_string_equal(text(f->profile, profile_mapping(f->profile, l.mapping)->filename), "[module]");
	l = profile_location(f->profile, stack[1]);
	assert_int_equal(l.address, 0);
	assert_string_equal(leaf_name(f->profile, l), "[unknown]");
	assert_string_equal(text(f->profile, profile_mapping(f->profile, l.mapping)->filename), PROFILE_KERNEL_MAPPING);
}

static void file_frames_keep_address_and_names(void **state)
{
	struct fixture *f = *state;
	const uint64_t queries[] = { 0x1010, 0x501f };
	_cleanup_(symbol_table_freep) struct symbol_table *t = make_table(queries, 2, false);
	const struct profile_mapping *m;
	const uint32_t *stack;
	struct profile_location l;
	size_t n;

	assert_int_equal(profile_builder_file(f->builder, file_frames, 2, &file, t), 0);
	finish(f);
	stack = profile_stack(f->profile, profile_sample(f->profile, 0)->stack, &n);
	l = profile_location(f->profile, stack[2]);
	assert_int_equal(l.address, 0x401010);
	assert_int_equal(l.n_lines, 2);
	assert_string_equal(leaf_name(f->profile, l), "inner");
	assert_int_equal(l.lines[0].line, 4);
	assert_string_equal(text(f->profile, profile_function(f->profile, l.lines[1].function)->name), "outer");
	assert_string_equal(
	        text(f->profile, profile_function(f->profile, l.lines[1].function)->system_name), "_Zouter");
	m = profile_mapping(f->profile, l.mapping);
	assert_int_equal(m->start, 0x401000);
	assert_int_equal(m->limit, 0x403000);
	assert_int_equal(m->offset, 0x1000);
	assert_string_equal(text(f->profile, m->filename), "/usr/bin/program");
	assert_string_equal(text(f->profile, m->build_id), "abcdef");
	assert_true(m->flags & PROFILE_MAPPING_HAS_INLINE_FRAMES);
	/* the other segment is another mapping; a return address names the call */
	l = profile_location(f->profile, stack[3]);
	assert_int_equal(l.address, 0x60501f);
	assert_int_equal(profile_mapping(f->profile, l.mapping)->start, 0x605000);
}

static void without_names_the_address_stays(void **state)
{
	struct fixture *f = *state;
	const uint32_t *stack;
	struct profile_location l;
	int64_t value;
	size_t n;

	assert_int_equal(profile_builder_file(f->builder, file_frames, 2, &file, NULL), 0);
	finish(f);
	stack = profile_stack(f->profile, profile_sample(f->profile, 0)->stack, &n);
	l = profile_location(f->profile, stack[2]);
	assert_int_equal(l.address, 0x401010);
	assert_int_equal(l.n_lines, 0);
	l = profile_location(f->profile, stack[4]);
	assert_string_equal(
	        text(f->profile, profile_mapping(f->profile, l.mapping)->filename), PROFILE_UNKNOWN_MAPPING);
	assert_int_equal(ledger_get(f->profile, LEDGER_UNSYMBOLIZED, &value), 0);
	assert_int_equal(value, 3); /* two of the file, one nowhere */
	/* the kernel's were never given: still no address */
	l = profile_location(f->profile, stack[0]);
	assert_int_equal(l.address, 0);
	assert_string_equal(leaf_name(f->profile, l), "[unknown]");
}

static void truncated_stacks_say_why_at_their_root(void **state)
{
	struct fixture *f = *state;
	const uint32_t *stack;
	size_t n;

	finish(f);
	stack = profile_stack(f->profile, profile_sample(f->profile, 1)->stack, &n);
	assert_int_equal(n, 4);
	assert_string_equal(leaf_name(f->profile, profile_location(f->profile, stack[3])), "[truncated: no rows]");
	assert_int_equal(profile_values_const(f->profile, 1)[0], 2);
}

static void labels(void **state)
{
	static const char *const wanted[][2] = { { "comm", "program" }, { "exe", "/usr/bin/program" },
		{ "thread", "worker" }, { "host", "host1" }, { "pid", "7" }, { "tid", "8" } };
	struct fixture *f = *state;
	const struct profile_label *l;
	size_t n;

	finish(f);
	l = profile_label_set(f->profile, profile_sample(f->profile, 0)->labels, &n);
	assert_int_equal(n, ARRAY_SIZE(wanted)); /* no cgroup is known: no label of it */
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		size_t k = 0;

		while (k < n && strcmp(text(f->profile, l[k].key), wanted[i][0]) != 0)
			k++;
		assert_true(k < n);
		if (l[k].unit == PROFILE_NONE)
			assert_string_equal(text(f->profile, (uint32_t)l[k].value), wanted[i][1]);
		else
			assert_int_equal(l[k].value, atoi(wanted[i][1]));
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(head_and_ledger),
	CASE(kernel_frames_tell_no_addresses),
	CASE(file_frames_keep_address_and_names),
	CASE(without_names_the_address_stays),
	CASE(truncated_stacks_say_why_at_their_root),
	CASE(labels),
};

UNIT_MAIN(tests)
