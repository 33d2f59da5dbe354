/* What a query asks for: a profile type, a time range and label matchers, as people write them:
 *
 *	type cpu, from "-1h", to "now", match "comm=\"redis-server\",unit=~\"nginx.*\""
 *
 * A matcher is NAME, one of = != =~ !~, and a value in double quotes (\" and \\ escape) or bare. Regular expressions
 * are POSIX extended ones and must match the whole value. A sample without the label has the empty value. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "profile/profile.h"

#define SELECTION_MATCHERS_MAX 32
#define SELECTION_TEXT_MAX 4096 /* of all matchers; a regular expression takes memory and time by its length */

struct matchers;

/* "" or NULL: no matchers, which match everything. error: what is wrong, in one sentence; may be NULL. -EINVAL,
 * -E2BIG, -ENOMEM. */
int matchers_parse(const char *text, struct matchers **ret, struct profile_error *error);
struct matchers *matchers_free(struct matchers *m);
DEFINE_CLEANUP(struct matchers *, matchers_free)
size_t matchers_count(const struct matchers *m); /* 0 for NULL */
const char *matchers_name(const struct matchers *m, size_t i);
bool matchers_match_value(const struct matchers *m, size_t i, const char *value, size_t size);
/* Whether a sample with these labels is meant (their strings are p's). Fits pprof_read_options.want; m may be NULL. */
bool matchers_want(void *matchers, const struct profile *p, const struct profile_label *labels, size_t n);

struct selection {
	const char *type;                /* NULL: the only one there is, else -EINVAL */
	int64_t from_ns, to_ns;          /* [from, to) */
	const struct matchers *matchers; /* borrowed; NULL: all */
};

/* "now", "-90m", "2026-11-22", "2026-11-22 10:00[:30]" (or T between), "10:00" (today), "yesterday", "today": local
 * time; with a final Z UTC; "@1763800000": seconds since 1970. -EINVAL. */
int selection_parse_time(const char *text, int64_t now_ns, int64_t *ret_ns);
/* "FROM..TO"; an empty side is the default (-1h, now). -EINVAL; -ERANGE: the end is not after the start. */
int selection_parse_range(const char *text, int64_t now_ns, int64_t *ret_from_ns, int64_t *ret_to_ns);

#define SELECTION_TIME_MAX 40
/* "2026-11-22 10:00:00" in local time. Returns buffer. */
char *selection_format_time(char buffer[SELECTION_TIME_MAX], int64_t ns);
