/* emberctl regress: what grew between two ranges, best proved first: emberctl diff with other defaults. */
#include <string.h>

#include "base/log.h"
#include "ctl/command.h"

#define COMMAND(name) extern const struct command name##_command;
#include "ctl/commands.h"
#undef COMMAND

static bool has_option(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0)
			return true;
	return false;
}

static int regress_run(const struct command *c, int argc, char **argv)
{
	static char normalize[] = "--normalize", evidence[] = "--evidence", before[] = "--before=-25h..-24h",
	            after[] = "--after=-1h..now";
	struct command as_diff = diff_command;
	_cleanup_free_ char **arguments = calloc((size_t)argc + 5, sizeof(*arguments));
	int n = 0;

	if (!arguments)
		return log_err(-ENOMEM, "cannot read the arguments");
	arguments[n++] = argv[0];
	arguments[n++] = normalize;
	arguments[n++] = evidence;
	if (!has_option(argc, argv, "--before"))
		arguments[n++] = before;
	if (!has_option(argc, argv, "--after"))
		arguments[n++] = after;
	for (int i = 1; i < argc; i++)
		arguments[n++] = argv[i];
	as_diff.name = c->name;
	as_diff.arguments = c->arguments;
	as_diff.summary = c->summary;
	as_diff.details = c->details;
	as_diff.arguments_min = as_diff.arguments_max = 0;
	return diff_command.run(&as_diff, n, arguments);
}

const struct command regress_command = {
	.name = "regress",
	.arguments = "",
	.summary = "Functions whose share rose between two ranges, best proved first",
	.details =
	        "Compares the last hour with the same hour of yesterday where --before and --after do not say "
	        "otherwise. "
	        "What is more than chance is judged by how much the windows of each range differ among themselves; see "
	        "'emberctl diff --help'.\n\n"
	        "Examples:\n"
	        "  emberctl regress --type cpu\n"
	        "  emberctl regress --type cpu --before -3h..-2h --after -1h..now",
	.flags = COMMAND_INPUT | COMMAND_JSON,
	.run = regress_run,
};
