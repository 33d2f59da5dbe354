/* Profiles that several unit tests start from. */
#pragma once
#include <stdio.h>
#include <string.h>
#include "profile/profile.h"
#include "tests/unit/unit.h"

static inline uint32_t put_string(struct profile *p, const char *s)
{
	uint32_t i;

	assert_int_equal(profile_add_cstring(p, s, &i), 0);
	return i;
}

static inline uint32_t put_mapping(struct profile *p, const char *name, uint64_t start)
{
	const struct profile_mapping m = { .start = start,
		.limit = start + 0x100000,
		.offset = 0x1000,
		.filename = put_string(p, name),
		.build_id = put_string(p, "0123456789abcdef"),
		.flags = PROFILE_MAPPING_HAS_FUNCTIONS };
	uint32_t i;

	assert_int_equal(profile_add_mapping(p, &m, &i), 0);
	return i;
}

/* A location of one function, or of an inlined one in its caller: "callee;caller". */
static inline uint32_t put_location(struct profile *p, uint32_t mapping, uint64_t address, const char *names)
{
	struct profile_line lines[8];
	struct profile_location l = { .address = address, .mapping = mapping, .lines = lines };
	char copy[256];
	uint32_t i;

	(void)snprintf(copy, sizeof(copy), "%s", names);
	for (char *save, *name = strtok_r(copy, ";", &save); name; name = strtok_r(NULL, ";", &save)) {
		const struct profile_function f = { .name = put_string(p, name),
			.system_name = put_string(p, name),
			.filename = put_string(p, "main.c"),
			.start_line = 10 };

		assert_int_equal(profile_add_function(p, &f, &lines[l.n_lines].function), 0);
		lines[l.n_lines].column = 3;
		lines[l.n_lines].line = 12 + l.n_lines;
		l.n_lines++;
	}
	assert_int_equal(profile_add_location(p, &l, &i), 0);
	return i;
}

static inline struct profile_label text_label(struct profile *p, const char *key, const char *value)
{
	return (struct profile_label){ put_string(p, key), PROFILE_NONE, put_string(p, value) };
}

static inline struct profile_label number_label(struct profile *p, const char *key, int64_t value)
{
	return (struct profile_label){ put_string(p, key), put_string(p, ""), value };
}

static inline void put_sample(struct profile *p, const uint32_t *locations, size_t n, const char *comm, int64_t tid,
        int64_t count, int64_t ns)
{
	const struct profile_label labels[] = { text_label(p, "comm", comm), number_label(p, "tid", tid) };
	const int64_t values[] = { count, ns };
	uint32_t stack, set;

	assert_int_equal(profile_add_stack(p, locations, n, &stack), 0);
	assert_int_equal(profile_add_label_set(p, labels, 2, &set), 0);
	assert_int_equal(profile_add_sample(p, stack, set, values, NULL), 0);
}

/* Two sample types, three stacks, four samples: samples 3+5+7+11 = 26, cpu 10 ms each. */
static inline struct profile *sample_profile(void)
{
	struct profile *p = NULL;
	struct profile_header *h;
	uint32_t app, kernel, l[5];

	assert_int_equal(profile_new(NULL, &p), 0);
	h = profile_header(p);
	h->n_sample_types = 2;
	h->sample_types[0] = (struct profile_value_type){ put_string(p, "samples"), put_string(p, "count") };
	h->sample_types[1] = (struct profile_value_type){ put_string(p, "cpu"), put_string(p, "nanoseconds") };
	h->period_type = h->sample_types[1];
	h->period = 10000000;
	h->time_ns = 1790000000ll * 1000000000;
	h->duration_ns = 60ll * 1000000000;
	app = put_mapping(p, "/usr/bin/app", 0x400000);
	kernel = put_mapping(p, "[kernel.kallsyms]", 0);
	l[0] = put_location(p, app, 0x401000, "main");
	l[1] = put_location(p, app, 0x402000, "work;run");
	l[2] = put_location(p, app, 0x403000, "leaf");
	l[3] = put_location(p, kernel, 0, "do_syscall_64");
	l[4] = put_location(p, PROFILE_NONE, 0xdeadbeef, "");
	put_sample(p, (uint32_t[]){ l[2], l[1], l[0] }, 3, "app", 101, 3, 30000000);
	put_sample(p, (uint32_t[]){ l[2], l[1], l[0] }, 3, "app", 102, 5, 50000000);
	put_sample(p, (uint32_t[]){ l[3], l[0] }, 2, "app", 101, 7, 70000000);
	put_sample(p, (uint32_t[]){ l[4] }, 1, "idle", 0, 11, 110000000);
	assert_int_equal(profile_add_comment(p, "emberd.lost=2"), 0);
	assert_int_equal(profile_add_comment(p, "a note"), 0);
	return p;
}
