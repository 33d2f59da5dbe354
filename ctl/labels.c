/* emberctl labels [NAME]: label names, or the values of one. */
#include <inttypes.h>
#include <string.h>

#include "ctl/listing.h"
#include "store/catalog.h"

static int on_value(void *data, const struct catalog_value *v)
{
	struct listing *l = data;
	_cleanup_free_ char *text = v->value ? strndup(v->value, v->size) : NULL;
	char files[24];

	if (v->value && !text)
		return -ENOMEM;
	if (!l->table)
		return listing_add_json(l, json_pack("{sosI}", "value", text ? command_json_string(text) : json_null(),
		                                   "files", (json_int_t)v->n_files));
	(void)snprintf(files, sizeof(files), "%" PRIu64, v->n_files);
	return listing_add_row(l, (const char *const[]){ text ? text : "(more values than the index keeps)", files });
}

static int labels_run(const struct command *c, int argc, char **argv)
{
	const struct table_column columns[] = { { "VALUE", TABLE_CUT }, { "FILES", TABLE_RIGHT } };
	_cleanup_listing_ struct listing l = { 0 };
	struct store_progress steps;
	int r = listing_open(&l, c, argc, argv, NULL, "-1d", columns, ARRAY_SIZE(columns));

	if (r != 0)
		return r;
	steps = listing_progress(&l);
	r = catalog_labels(l.query.store, &l.query.selection, l.args.n_arguments ? l.args.arguments[0] : NULL, &steps,
	        on_value, &l);
	return listing_finish(&l, r, "labels");
}

const struct command labels_command = {
	.name = "labels",
	.arguments = "[NAME]",
	.summary = "List the label names of a selection, or the values of one",
	.details = "Looks at the last day where --from is not given; says in how many files each is.\n\n"
	           "Examples:\n"
	           "  emberctl labels\n"
	           "  emberctl labels comm --type cpu --from -1h\n"
	           "  emberctl labels unit --match 'comm=~\"python.*\"'",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.arguments_max = 1,
	.run = labels_run,
};
