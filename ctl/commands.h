/* The subcommands of emberctl in the order of `emberctl --help`: a file ctl/NAME.c and a line here (and one in
 * ctl/meson.build) is all that a new one takes. No guard: included more than once, with COMMAND(name) defined. */
COMMAND(record)
COMMAND(top)
COMMAND(hotspots)
COMMAND(flamegraph)
COMMAND(diff)
COMMAND(merge)
COMMAND(convert)
COMMAND(status)
COMMAND(features)
COMMAND(reload)
