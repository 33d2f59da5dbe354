/* emberctl types: what kinds of profiles a store holds, how many, of when. */
#include <inttypes.h>

#include "base/units.h"
#include "ctl/listing.h"
#include "store/catalog.h"

static int add_json(struct listing *l, const struct catalog_type *t)
{
	return listing_add_json(l,
	        json_pack("{sssIsIsIsIsIsI}", "type", t->type, "windows", (json_int_t)t->n_files[STORE_WINDOW], "hours",
	                (json_int_t)t->n_files[STORE_HOUR], "days", (json_int_t)t->n_files[STORE_DAY], "bytes",
	                (json_int_t)t->bytes, "first_ns", (json_int_t)t->first_ns, "last_ns", (json_int_t)t->last_ns));
}

static int on_type(void *data, const struct catalog_type *t)
{
	struct listing *l = data;
	char numbers[STORE_LEVELS][24], size[UNITS_TEXT_MAX], first[SELECTION_TIME_MAX], last[SELECTION_TIME_MAX];

	if (!l->table)
		return add_json(l, t);
	for (uint32_t i = 0; i < STORE_LEVELS; i++)
		(void)snprintf(numbers[i], sizeof(numbers[i]), "%" PRIu64, t->n_files[i]);
	return listing_add_row(
	        l, (const char *const[]){ t->type, numbers[STORE_WINDOW], numbers[STORE_HOUR], numbers[STORE_DAY],
	                   units_format_size(size, t->bytes), selection_format_time(first, t->first_ns),
	                   selection_format_time(last, t->last_ns) });
}

static int types_run(const struct command *c, int argc, char **argv)
{
	static const struct table_column columns[] = { { "TYPE", 0 }, { "WINDOWS", TABLE_RIGHT },
		{ "HOURS", TABLE_RIGHT }, { "DAYS", TABLE_RIGHT }, { "SIZE", TABLE_RIGHT }, { "FROM", 0 },
		{ "TO", 0 } };
	_cleanup_listing_ struct listing l = { 0 };
	int r = listing_open(&l, c, argc, argv, NULL, "-1h", columns, ARRAY_SIZE(columns));

	if (r != 0)
		return r;
	return listing_finish(&l, catalog_types(l.query.store, on_type, &l), "types");
}

const struct command types_command = {
	.name = "types",
	.arguments = "",
	.summary = "List the profile types that a store holds",
	.details = "Counts windows, and the hours and days that older windows were merged into.\n\n"
	           "Examples:\n"
	           "  emberctl types\n"
	           "  emberctl types --source /srv/profiles --json",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.run = types_run,
};
