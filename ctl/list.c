/* emberctl list: the stored files of a selection. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "ctl/listing.h"
#include "store/catalog.h"

static int add_json(struct listing *l, const struct catalog_file *f)
{
	return listing_add_json(l, json_pack("{sssssssIsIsIsIsIsoso}", "type", f->type, "host", f->host, "kind",
	                                   store_level_name(f->level), "start_ns", (json_int_t)f->start_ns, "end_ns",
	                                   (json_int_t)f->end_ns, "samples", (json_int_t)f->n_samples, "bytes",
	                                   (json_int_t)f->bytes, "raw_bytes", (json_int_t)f->raw_bytes, "totals",
	                                   command_json_string(f->totals), "path", command_json_string(f->path)));
}

/* "cpu 34 s" of "samples/count=3400 cpu/nanoseconds=34000000000": the last is what is shown by default everywhere. */
static void format_total(char *to, size_t size, const char *totals)
{
	const char *space = strrchr(totals, ' '), *at = space ? space + 1 : totals;
	const char *slash = strchr(at, '/'), *equals = slash ? strchr(slash, '=') : NULL;
	char unit[64], text[UNITS_TEXT_MAX];

	to[0] = 0;
	if (!equals)
		return;
	(void)snprintf(unit, sizeof(unit), "%.*s", (int)(equals - slash) - 1, slash + 1);
	(void)snprintf(to, size, "%.*s %s", (int)(slash - at), at,
	        units_format_value(text, strtoll(equals + 1, NULL, 10), unit));
}

static int on_file(void *data, const struct catalog_file *f)
{
	struct listing *l = data;
	char total[256], samples[24], size[UNITS_TEXT_MAX], start[SELECTION_TIME_MAX], length[UNITS_TEXT_MAX];

	if (!l->table)
		return add_json(l, f);
	format_total(total, sizeof(total), f->totals);
	(void)snprintf(samples, sizeof(samples), "%" PRIu32, f->n_samples);
	return listing_add_row(
	        l, (const char *const[]){ f->type, selection_format_time(start, f->start_ns),
	                   units_format_time(length, (uint64_t)(f->end_ns - f->start_ns)), store_level_name(f->level),
	                   f->host, samples, units_format_size(size, f->bytes), total });
}

static int list_run(const struct command *c, int argc, char **argv)
{
	static const struct table_column columns[] = { { "TYPE", 0 }, { "START", 0 }, { "LENGTH", TABLE_RIGHT },
		{ "KIND", 0 }, { "HOST", 0 }, { "SAMPLES", TABLE_RIGHT }, { "SIZE", TABLE_RIGHT },
		{ "TOTAL", TABLE_CUT } };
	_cleanup_listing_ struct listing l = { 0 };
	int r = listing_open(&l, c, argc, argv, NULL, "-1d", columns, ARRAY_SIZE(columns));

	if (r != 0)
		return r;
	return listing_finish(&l, catalog_files(l.query.store, &l.query.selection, on_file, &l), "files");
}

const struct command list_command = {
	.name = "list",
	.arguments = "",
	.summary = "List the stored profiles of a selection (default: the last day)",
	.details = "One line a file: a window, or the hour or day that older windows were merged into. With --match, "
	           "files "
	           "of which the index knows that nothing in them matches are left out.\n\n"
	           "Examples:\n"
	           "  emberctl list --type cpu --from -2h\n"
	           "  emberctl list --from yesterday --to today --match 'comm=\"nginx\"' --json",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.run = list_run,
};
