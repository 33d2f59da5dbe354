/* emberctl reindex: the index of a store made again from its files. */
#include <inttypes.h>

#include "base/log.h"
#include "ctl/command.h"
#include "ctl/home.h"
#include "ctl/progress.h"
#include "store/rebuild.h"

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
	progress_update(userdata, done, total);
}

static int print(const struct rebuild_result *result, bool as_json)
{
	if (as_json)
		return command_print_json(json_pack("{sIsIsIsIsI}", "files", (json_int_t)result->n_files, "indexed",
		        (json_int_t)result->n_added, "leftovers_removed", (json_int_t)result->n_leftovers, "corrupt",
		        (json_int_t)result->corrupt.n, "strangers", (json_int_t)result->n_strangers));
	printf("%" PRIu64 " files in the index", result->n_added);
	if (result->n_leftovers)
		printf("; %" PRIu64 " removed that a merged file holds", result->n_leftovers);
	if (result->n_strangers)
		printf("; %" PRIu64 " files are not ours", result->n_strangers);
	puts("");
	return 0;
}

static int reindex_run(const struct command *c, int argc, char **argv)
{
	_cleanup_progress_ struct progress progress = progress_start("reading", "files");
	const struct store_progress steps = { on_progress, &progress };
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(store_closep) struct store *s = NULL;
	struct rebuild_result result;
	_cleanup_free_ char *path = NULL;
	int r;

	r = command_parse(c, argc, argv, &args, NULL);
	if (r != 0)
		return r;
	r = home_find(args.input.source.store, &path);
	if (r < 0)
		return r;
	if (access(path, F_OK) < 0)
		return log_err(-errno, "there is no store at %s", path);
	r = store_open(&(struct store_options){ .path = path }, &s);
	if (r >= 0)
		r = store_rebuild(s, true, &steps, &result);
	progress_end(&progress);
	if (r < 0)
		return log_err(r, "cannot make the index of %s again", path);
	source_say_corrupt(&result.corrupt);
	return print(&result, args.json);
}

const struct command reindex_command = {
	.name = "reindex",
	.arguments = "",
	.summary = "Make the index of a store again from its files",
	.details =
	        "emberd does this by itself where the index is missing or broken. Readers and a running emberd go on "
	        "meanwhile; files that cannot be read are set aside in the store's directory corrupt.\n\n"
	        "Examples:\n"
	        "  emberctl reindex\n"
	        "  emberctl reindex --source /srv/profiles",
	.flags = COMMAND_SOURCE | COMMAND_JSON,
	.run = reindex_run,
};
