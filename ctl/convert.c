#include "ctl/save.h"

static int convert_run(const struct command *c, int argc, char **argv)
{
	return save_run(c, argc, argv);
}

const struct command convert_command = {
	.name = "convert",
	.arguments = "INPUT",
	.summary = "Write a profile in another format",
	.details = "Reading knows the format by content, writing by the end of FILE's name: .pb.gz, .pb.zst and .pb "
	           "(pprof), "
	           ".folded, .speedscope.json, .otlp, .svg and .html (flame graphs). Formats of one value (folded, "
	           "pictures) "
	           "hold the one that --sample-type names.\n\n"
	           "Examples:\n"
	           "  emberctl convert -o cpu.folded cpu.pb.gz\n"
	           "  emberctl convert -o cpu.speedscope.json cpu.pb.gz\n"
	           "  perf script | stackcollapse-perf.pl | emberctl convert -o cpu.pb.gz -",
	.flags = COMMAND_INPUT,
	.arguments_min = 1,
	.arguments_max = 1,
	.options = save_argp_options,
	.parse = save_parse,
	.run = convert_run,
};
