/* Label matchers as people write them: comm="redis-server",unit=~"nginx.*",tid!="7", with or without {} around all.
 *
 * A matcher is NAME, one of = != =~ !~, and a value in double quotes (\" and \\ escape) or bare. Regular expressions
 * (base/pattern.h) must match the whole value. A sample without the label has the empty value; where it has several of
 * one name, = and =~ want one that matches, != and !~ none. Numbers compare as decimal text. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/cleanup.h"
#include "profile/profile.h"

#define MATCHERS_MAX 32
#define MATCHERS_TEXT_MAX 4096 /* of all together */

struct matchers;

/* "" or NULL: no matchers, which match everything. error: what is wrong, in one sentence; may be NULL. -EINVAL,
 * -E2BIG, -ENOMEM. */
int matchers_parse(const char *text, struct matchers **ret, struct profile_error *error);
struct matchers *matchers_free(struct matchers *m);
DEFINE_CLEANUP(struct matchers *, matchers_free)
size_t matchers_count(const struct matchers *m); /* 0 for NULL */
const char *matchers_name(const struct matchers *m, size_t i);
bool matchers_match_value(const struct matchers *m, size_t i, const char *value, size_t size);
/* Whether a sample with these labels is meant (their strings are p's). Fits .want of pprof_read_options and of
 * merge_options; m may be NULL. */
bool matchers_want(void *matchers, const struct profile *p, const struct profile_label *labels, size_t n);
