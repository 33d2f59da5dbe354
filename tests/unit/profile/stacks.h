/* Profiles for tests from text, one stack a line, root first: "main;foo;bar 10". Values are samples/count and
 * cpu/nanoseconds, 10 ms a sample. A frame ends in "_[k]" for the kernel, "_[j]" for JIT code, "_[i]" where it was
 * inlined into the frame before it (they become one location). "comm@main;foo 3" sets the label comm. */
#pragma once
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "profile/profile.h"
#include "tests/unit/unit.h"

#define STACKS_NS 10000000

static inline uint32_t stacks_mapping(struct profile *p, const char *name)
{
	struct profile_mapping m = { .start = 0x1000, .limit = 0x100000 };
	uint32_t id;

	assert_int_equal(profile_add_cstring(p, name, &m.filename), 0);
	assert_int_equal(profile_add_mapping(p, &m, &id), 0);
	return id;
}

static inline uint32_t stacks_function(struct profile *p, const char *name, size_t n)
{
	struct profile_function f = { 0 };
	uint32_t id;

	assert_int_equal(profile_add_string(p, name, n, &f.name), 0);
	assert_int_equal(profile_add_cstring(p, "src/app.c", &f.filename), 0);
	assert_int_equal(profile_add_function(p, &f, &id), 0);
	return id;
}

/* frames: "main;foo;bar"; cut up in place. */
static inline uint32_t stacks_stack(struct profile *p, char *frames)
{
	uint32_t reversed[PROFILE_STACK_DEPTH_MAX], locations[PROFILE_STACK_DEPTH_MAX], stack;
	struct profile_line lines[16];
	size_t n = 0, n_lines = 0;
	char *rest = frames;

	for (char *name = strsep(&rest, ";"); name; name = strsep(&rest, ";")) {
		size_t size = strlen(name);
		bool has_mark = size > 4 && memcmp(name + size - 4, "_[", 2) == 0 && name[size - 1] == ']';
		char mark = has_mark ? name[size - 2] : 0;
		struct profile_location l = { .lines = lines };

		size -= has_mark ? 4 : 0;
		l.mapping = stacks_mapping(p, mark == 'k'   ? "[kernel.kallsyms]"
		                              : mark == 'j' ? "[jit]"
		                                            : "/usr/bin/app");
		if (mark != 'i' || n == 0)
			n_lines = 0;
		else
			n--;
		memmove(lines + 1, lines, n_lines * sizeof(*lines));
		lines[0] =
		        (struct profile_line){ .function = stacks_function(p, name, size), .line = (int64_t)size * 10 };
		l.n_lines = (uint32_t)++n_lines;
		l.address = 0x1000 + lines[0].function * 16;
		assert_int_equal(profile_add_location(p, &l, &reversed[n++]), 0);
	}
	for (size_t i = 0; i < n; i++)
		locations[i] = reversed[n - 1 - i];
	assert_int_equal(profile_add_stack(p, locations, n, &stack), 0);
	return stack;
}

static inline void stacks_add(struct profile *p, const char *line)
{
	char *copy = strdup(line), *frames = copy, *at = strchr(copy, '@'), *space = strrchr(copy, ' ');
	int64_t count = atoll(space + 1), values[2] = { count, count * STACKS_NS };
	uint32_t labels, stack;

	*space = '\0';
	if (at) {
		struct profile_label l = { .unit = PROFILE_NONE };
		uint32_t value;

		*at = '\0';
		frames = at + 1;
		assert_int_equal(profile_add_cstring(p, "comm", &l.key), 0);
		assert_int_equal(profile_add_cstring(p, copy, &value), 0);
		l.value = value;
		assert_int_equal(profile_add_label_set(p, &l, 1, &labels), 0);
	} else
		assert_int_equal(profile_add_label_set(p, NULL, 0, &labels), 0);
	stack = stacks_stack(p, frames);
	assert_int_equal(profile_add_sample(p, stack, labels, values, NULL), 0);
	free(copy);
}

static inline struct profile *stacks_new(void)
{
	static const char *const names[2][2] = { { "samples", "count" }, { "cpu", "nanoseconds" } };
	struct profile *p = NULL;

	assert_int_equal(profile_new(&PROFILE_LIMITS_DEFAULT, &p), 0);
	for (uint32_t i = 0; i < 2; i++) {
		struct profile_value_type t;

		assert_int_equal(profile_add_cstring(p, names[i][0], &t.type), 0);
		assert_int_equal(profile_add_cstring(p, names[i][1], &t.unit), 0);
		profile_header(p)->sample_types[i] = t;
	}
	profile_header(p)->n_sample_types = 2;
	return p;
}

/* n stacks of one frame, each another function; the name of their one file has that many bytes. */
static inline struct profile *stacks_of_one_file(const char *prefix, uint32_t n, size_t file_bytes)
{
	struct profile *p = stacks_new();
	char *file = malloc(file_bytes);
	uint32_t file_string, labels;

	memset(file, 'x', file_bytes);
	assert_int_equal(profile_add_string(p, file, file_bytes, &file_string), 0);
	assert_int_equal(profile_add_label_set(p, NULL, 0, &labels), 0);
	free(file);
	for (uint32_t i = 0; i < n; i++) {
		struct profile_function f = { .filename = file_string };
		struct profile_line line = { 0 };
		struct profile_location l = { .address = i, .mapping = PROFILE_NONE, .lines = &line, .n_lines = 1 };
		int64_t values[2] = { 1, STACKS_NS };
		uint32_t location, stack;
		char name[32];

		(void)snprintf(name, sizeof(name), "%s%u", prefix, i);
		assert_int_equal(profile_add_cstring(p, name, &f.name), 0);
		assert_int_equal(profile_add_function(p, &f, &line.function), 0);
		assert_int_equal(profile_add_location(p, &l, &location), 0);
		assert_int_equal(profile_add_stack(p, &location, 1, &stack), 0);
		assert_int_equal(profile_add_sample(p, stack, labels, values, NULL), 0);
	}
	return p;
}

static inline struct profile *stacks_profile(const char *text)
{
	struct profile *p = stacks_new();
	char *copy = strdup(text), *rest = copy;

	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (line[0])
			stacks_add(p, line);
	free(copy);
	return p;
}
