#include <string.h>

#include "base/log.h"
#include "ctl/command.h"
#include "profile/snapshot.h"
#include "ctl/picture.h"
#include "profile/file.h"

static int flamegraph_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(picture_options_done) struct picture_options o = { 0 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	_cleanup_buffer_ struct buffer out = BUFFER(FLAMEGRAPH_BYTES_MAX);
	int r;

	r = command_parse(c, argc, argv, &args, &o);
	if (r != 0)
		return r;
	r = picture_options_check(c, &o, true);
	if (r != 0)
		return r;
	r = input_load(&args.input, args.arguments, args.n_arguments, &p);
	if (r < 0)
		return r;
	snapshot_average(p);
	r = input_value_index(&args.input, p, &o.flamegraph.value_index);
	if (r < 0)
		return r;
	if (profile_n_samples(p) == 0)
		(void)log_full(LOG_WARNING, 0, "the profile holds no samples; the picture says so");
	r = o.is_html ? flamegraph_html(p, &o.flamegraph, &out) : flamegraph_svg(p, &o.flamegraph, &out);
	if (r < 0)
		return command_profile_error(r, "cannot draw the flame graph");
	return picture_write(&o, &out);
}

const struct command flamegraph_command = {
	.name = "flamegraph",
	.arguments = "[INPUT...]",
	.summary = "Draw a flame graph, as one SVG or HTML file that needs nothing else",
	.details =
	        "The root is on top, a box is as wide as its share. Open the file in a browser: click to zoom, type to "
	        "search by regular expression, use the arrow keys to walk. An SVG is also a good still picture in a "
	        "document. Colours tell native, inlined, kernel and JIT frames apart.\n\n"
	        "Examples:\n"
	        "  emberctl flamegraph -o cpu.svg cpu.pb.gz\n"
	        "  emberctl flamegraph -o cpu.html --hide '^(std|core)::' cpu.pb.gz\n"
	        "  emberctl flamegraph cpu.pb.gz > cpu.svg",
	.flags = COMMAND_INPUT,
	.arguments_min = 0,
	.arguments_max = COMMAND_ARGUMENTS_ANY,
	.options = picture_argp_options,
	.parse = picture_options_parse,
	.run = flamegraph_run,
};
