#include "base/log.h"
#include "ctl/save.h"

static int merge_run(const struct command *c, int argc, char **argv)
{
	return save_run(c, argc, argv);
}

const struct command merge_command = {
	.name = "merge",
	.arguments = "[INPUT...]",
	.summary = "Add profiles up into one; totals stay exact",
	.details = "All inputs must have the same sample types. Equal stacks with equal labels become one; what was "
	           "lost or "
	           "truncated adds up too. The format follows the name of FILE, as with convert.\n\n"
	           "Examples:\n"
	           "  emberctl merge -o day.pb.gz hour-*.pb.gz\n"
	           "  emberctl merge -o all.pb.zst web1.pb.gz web2.pb.gz",
	.flags = COMMAND_INPUT,
	.arguments_min = 0,
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = save_argp_options,
	.parse = save_parse,
	.run = merge_run,
};
