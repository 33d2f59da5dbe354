/* What a query asks for: a profile type, a time range and label matchers, as people write them:
 *
 *	type cpu, from "-1h", to "now", match "comm=\"redis-server\",unit=~\"nginx.*\""
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/matchers.h"

struct selection {
	const char *type;                /* NULL: the only one there is, else -EINVAL */
	int64_t from_ns, to_ns;          /* [from, to) */
	const struct matchers *matchers; /* borrowed; NULL: all */
};

/* "now", "-90m", "2026-11-22", "2026-11-22 10:00[:30]" (or T between), "10:00" (today), "yesterday", "today": local
 * time; with a final Z UTC; "2026-10-25 02:30 CEST", where the clock shows that twice; "@1763800000": seconds since
 * 1970. -EINVAL. */
int selection_parse_time(const char *text, int64_t now_ns, int64_t *ret_ns);
/* "FROM..TO"; an empty side is the default (-1h, now). -EINVAL; -ERANGE: the end is not after the start. */
int selection_parse_range(const char *text, int64_t now_ns, int64_t *ret_from_ns, int64_t *ret_to_ns);

#define SELECTION_TIME_MAX 40
/* "2026-11-22 10:00:00" in local time, with the zone where the clock shows that twice. Returns buffer. */
char *selection_format_time(char buffer[SELECTION_TIME_MAX], int64_t ns);
