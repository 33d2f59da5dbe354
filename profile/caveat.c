#include "profile/caveat.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "profile/ledger.h"

enum caveat_kind { CAVEAT_COUNT, CAVEAT_PERMILLE, CAVEAT_MS, CAVEAT_WORDS };

static const struct caveat {
	const char *name;
	enum caveat_kind kind;
	const char *before, *after; /* of the number */
	const char *after_one;      /* where that is 1, of those that are counted */
	const char *unless;         /* a line of the ledger that says it all where it is not 0 */
} caveats[] = {
	{ LEDGER_LOST, CAVEAT_COUNT, "", " samples lost", " sample lost" },
	{ LEDGER_TRUNCATED, CAVEAT_COUNT, "", " stacks truncated", " stack truncated" },
	{ LEDGER_THROTTLED, CAVEAT_COUNT, "", " samples throttled", " sample throttled" },
	{ LEDGER_UNSYMBOLIZED, CAVEAT_COUNT, "", " frames without a name", " frame without a name" },
	[CAVEATS_OF_ALL] = { "memory.faults_dropped_max", CAVEAT_COUNT, "", " faults not followed",
	        " fault not followed" },
	{ "heap.error_permille_max", CAVEAT_PERMILLE, "estimates, give or take ", "", NULL, "heap.error_unknown_max" },
	{ "heap.error_unknown_max", CAVEAT_WORDS, "estimates, too little was seen to say how good", "", NULL, NULL },
	{ "heap.survivors_of_ms_max", CAVEAT_MS, "in use: only what outlived ", " of probing", NULL },
	{ "heap.refused_sites_max", CAVEAT_COUNT, "", " places of allocators not probed",
	        " place of an allocator not probed" },
	{ "heap.files_over_limit_max", CAVEAT_COUNT, "", " files too many to be probed",
	        " file too many to be probed" },
	{ "heap.processes_waiting_max", CAVEAT_COUNT, "", " processes that had no turn to be probed",
	        " process that had no turn to be probed" },
	{ "heap.processes_unprobed_max", CAVEAT_COUNT, "", " processes that were not probed",
	        " process that was not probed" },
	{ "heap.processes_over_limit_max", CAVEAT_COUNT, "", " processes too many to be probed",
	        " process too many to be probed" },
	{ "heap.objects_dropped_max", CAVEAT_COUNT, "", " objects not followed", " object not followed" },
};

static void format(const struct caveat *c, int64_t n, char text[CAVEAT_TEXT_MAX])
{
	char number[UNITS_TEXT_MAX] = "";

	if (c->kind == CAVEAT_MS)
		(void)units_format_time(number, (uint64_t)n * NS_PER_MS);
	else if (c->kind == CAVEAT_PERMILLE)
		(void)snprintf(number, sizeof(number), "%.1f%%", (double)n / 10);
	else if (c->kind == CAVEAT_COUNT)
		(void)units_format_count(number, n);
	(void)snprintf(text, CAVEAT_TEXT_MAX, "%s%s%s", c->before, number,
	        c->kind == CAVEAT_COUNT && n == 1 ? c->after_one : c->after);
}

static bool is_told(const struct profile *p, const char *name, int64_t *ret)
{
	return ledger_get(p, name, ret) == 0 && *ret > 0;
}

bool caveat_next(const struct profile *p, size_t *at, char text[CAVEAT_TEXT_MAX])
{
	while (*at < ARRAY_SIZE(caveats)) {
		const struct caveat *c = &caveats[(*at)++];
		int64_t n, other;

		if (is_told(p, c->name, &n) && !(c->unless && is_told(p, c->unless, &other))) {
			format(c, n, text);
			return true;
		}
	}
	return false;
}
