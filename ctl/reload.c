/* emberctl reload: the running emberd reads its configuration again; a bad file leaves the old one in force. */
#include <string.h>

#include "base/log.h"
#include "ctl/command.h"
#include "ctl/daemon.h"

enum {
	OPTION_SOURCE = 0x1000,
};

static const struct argp_option reload_options[] = {
	{ "source", OPTION_SOURCE, "SOCKET", 0, "Ask the emberd that listens here (default: " DAEMON_SOCKET ")", 0 },
	{ 0 },
};

static error_t reload_parse(int key, char *arg, struct argp_state *state)
{
	if (key != OPTION_SOURCE)
		return ARGP_ERR_UNKNOWN;
	*(const char **)state->input = arg;
	return 0;
}

static int reload_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(daemon_freep) struct daemon *d = NULL;
	const char *socket = DAEMON_SOCKET;
	int r;

	r = command_parse(c, argc, argv, &args, &socket);
	if (r != 0)
		return r;
	r = daemon_reach(socket, &d);
	return r < 0 ? r : daemon_call(d, "reload", NULL, NULL);
}

const struct command reload_command = {
	.name = "reload",
	.arguments = "",
	.summary = "Let the running emberd read its configuration again",
	.details = "A file with a mistake leaves the old configuration in force; the mistake is said with file, line "
	           "and key. "
	           "'emberd --check-config' tells beforehand.\n\n"
	           "Examples:\n"
	           "  emberctl reload",
	.options = reload_options,
	.parse = reload_parse,
	.run = reload_run,
};
