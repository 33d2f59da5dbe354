/* emberctl features: what this kernel allows, and why not. */
#include <string.h>

#include "base/log.h"
#include "ctl/command.h"
#include "ctl/daemon.h"
#include "ctl/table.h"

enum {
	OPTION_SOURCE = 0x1000,
};

static const struct argp_option features_options[] = {
	{ "source", OPTION_SOURCE, "SOCKET", 0, "Ask the emberd that listens here (default: " DAEMON_SOCKET ")", 0 },
	{ 0 },
};

static error_t features_parse(int key, char *arg, struct argp_state *state)
{
	if (key != OPTION_SOURCE)
		return ARGP_ERR_UNKNOWN;
	*(const char **)state->input = arg;
	return 0;
}

static int print_list(const json_t *list, const char *title, const char *key)
{
	const struct table_column columns[] = { { title, 0 }, { "there", 0 }, { "why not, or what for", TABLE_CUT } };
	_cleanup_(table_freep) struct table *t = NULL;
	const json_t *row;
	size_t i;
	int r = table_new(columns, ARRAY_SIZE(columns), &t);

	json_array_foreach (list, i, row) {
		bool has = json_is_true(json_object_get(row, "available"));
		const char *cells[] = { json_string_value(json_object_get(row, key)), has ? "yes" : "no",
			json_string_value(json_object_get(row, has ? "text" : "reason")) };

		if (r >= 0)
			r = table_add_row(t, cells);
	}
	return r < 0 ? r : table_print(t, stdout, table_terminal_width(stdout));
}

static int features_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(daemon_freep) struct daemon *d = NULL;
	_cleanup_(json_decrefp) json_t *s = NULL;
	const char *socket = DAEMON_SOCKET;
	int r;

	r = command_parse(c, argc, argv, &args, &socket);
	if (r != 0)
		return r;
	r = daemon_open(socket, &d);
	if (r < 0)
		return r;
	r = daemon_call(d, "features", NULL, &s);
	if (r < 0)
		return r;
	if (args.json)
		return command_print_json(json_incref(s));
	r = print_list(json_object_get(s, "sources"), "source", "name");
	printf("\n");
	if (r >= 0)
		r = print_list(json_object_get(s, "features"), "feature", "id");
	return r < 0 ? log_err(r, "cannot print") : 0;
}

const struct command features_command = {
	.name = "features",
	.arguments = "",
	.summary = "Show what this kernel allows, and why not",
	.details = "Which sources work on this machine and what they need. Asks the running emberd, else a private "
	           "one.\n\n"
	           "Examples:\n"
	           "  emberctl features\n"
	           "  emberctl features --json",
	.flags = COMMAND_JSON,
	.options = features_options,
	.parse = features_parse,
	.run = features_run,
};
