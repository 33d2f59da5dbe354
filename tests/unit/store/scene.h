/* What the tests of the store share: a directory of their own and profiles whose contents are known. */
#pragma once
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "profile/profile.h"
#include "store/store.h"

#define SCENE_MINUTE_NS 60000000000ll
/* 2026-06-01 00:00:00 UTC */
#define SCENE_START_NS 1780272000000000000ll

_unused_ static int scene_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

_unused_ static void scene_remove(const char *directory)
{
	(void)nftw(directory, scene_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

_unused_ static char *scene_directory(void)
{
	char *template = strdup("/tmp/ember-unit-store-XXXXXX");

	assert_non_null(mkdtemp(template));
	return template;
}

_unused_ static struct store *scene_open(const char *directory)
{
	struct store *s = NULL;

	assert_int_equal(store_open(&(struct store_options){ .path = directory, .host = "web1" }, &s), 0);
	return s;
}

_unused_ static uint32_t scene_string(struct profile *p, const char *s)
{
	uint32_t i;

	assert_int_equal(profile_add_cstring(p, s, &i), 0);
	return i;
}

/* One sample: function <- main, of a process comm with a pid and a tid. */
_unused_ static void scene_sample(
        struct profile *p, const char *function, const char *comm, int64_t pid, int64_t tid, int64_t samples)
{
	uint32_t functions[2], locations[2], stack, labels;
	const char *names[2] = { function, "main" };

	for (int i = 0; i < 2; i++) {
		struct profile_function f = { .name = scene_string(p, names[i]), .filename = scene_string(p, "a.c") };
		struct profile_line line;

		assert_int_equal(profile_add_function(p, &f, &functions[i]), 0);
		line = (struct profile_line){ .function = functions[i], .line = 7 + i };
		assert_int_equal(profile_add_location(p,
		                         &(struct profile_location){ .address = 0x1000 + functions[i],
		                                 .mapping = PROFILE_NONE,
		                                 .n_lines = 1,
		                                 .lines = &line },
		                         &locations[i]),
		        0);
	}
	assert_int_equal(profile_add_stack(p, locations, 2, &stack), 0);
	struct profile_label l[3] = {
		{ .key = scene_string(p, "comm"), .unit = PROFILE_NONE, .value = scene_string(p, comm) },
		{ .key = scene_string(p, "pid"), .unit = 0, .value = pid },
		{ .key = scene_string(p, "tid"), .unit = 0, .value = tid },
	};
	assert_int_equal(profile_add_label_set(p, l, 3, &labels), 0);
	assert_int_equal(profile_add_sample(p, stack, labels, (int64_t[]){ samples, samples * 10000000 }, NULL), 0);
}

_unused_ static struct profile *scene_profile(int64_t time_ns)
{
	struct profile *p = NULL;
	struct profile_header *h;

	assert_int_equal(profile_new(NULL, &p), 0);
	h = profile_header(p);
	h->n_sample_types = 2;
	h->sample_types[0] = (struct profile_value_type){ scene_string(p, "samples"), scene_string(p, "count") };
	h->sample_types[1] = (struct profile_value_type){ scene_string(p, "cpu"), scene_string(p, "nanoseconds") };
	h->period_type = h->sample_types[1];
	h->period = 10000000;
	h->time_ns = time_ns;
	h->duration_ns = SCENE_MINUTE_NS;
	return p;
}

/* A window of minute `minute` with two functions; redis has 10 samples, nginx minute % 7 + 1. */
_unused_ static void scene_put(struct store *s, int minute)
{
	struct profile *p = scene_profile(SCENE_START_NS + minute * SCENE_MINUTE_NS);

	scene_sample(p, "redis_work", "redis", 100, 100 + minute % 3, 10);
	scene_sample(p, "nginx_work", "nginx", 200, 200, minute % 7 + 1);
	assert_int_equal(store_put(s, "cpu", NULL, p, NULL), 0);
	profile_free(p);
}
