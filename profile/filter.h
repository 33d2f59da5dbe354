/* Choosing among samples, frames and values: label matchers as Prometheus writes them, frames hidden by name, one value
 * kept. Regular expressions are POSIX extended ones and match the whole label value (labels) or anywhere in a name
 * (frames); back-references and repetitions that multiply beyond FILTER_REPEATS_MAX are refused, so that no expression
 * of a stranger takes long. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/profile.h"

#define FILTER_MATCHERS_MAX 32
#define FILTER_REGEX_MAX 1024 /* bytes */
#define FILTER_REPEATS_MAX 1000

struct filter;

/* 'comm="redis-server",unit=~"nginx.*",tid!="7"', with or without {} around it; quotes may be left out where the value
 * holds no comma. "" matches everything. A label that a sample does not have is ""; where it has several values of one
 * key, = and =~ want one that matches, != and !~ want none. Numbers compare as decimal text.
 * -EINVAL with a sentence in error; -E2BIG: over a limit. */
int filter_parse(const char *text, struct filter **ret, struct profile_error *error);
struct filter *filter_free(struct filter *f);
DEFINE_CLEANUP(struct filter *, filter_free)

/* Of the form of pprof_read_options.want and merge_options.want; userdata is a struct filter. */
bool filter_want(void *userdata, const struct profile *p, const struct profile_label *labels, size_t n);

/* A new profile without the frames whose function's name matches. Samples stay, also those with no frame left.
 * limits may be NULL. */
int filter_hide_frames(const struct profile *p, const char *regex, const struct profile_limits *limits,
        struct profile **ret, struct profile_error *error);

/* A new profile of one sample type. */
int filter_keep_value(const struct profile *p, uint32_t value_index, struct profile **ret);

/* A new profile of the samples that f wants. */
int filter_samples(const struct profile *p, struct filter *f, struct profile **ret);
