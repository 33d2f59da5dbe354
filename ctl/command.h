/* One subcommand of emberctl. A new one is a file ctl/NAME.c that defines `const struct command NAME_command`, and its
 * line in ctl/commands.h. main.c reads the options that all commands share; a command reads its own in .parse and works
 * in .run:
 *
 *	static int types_run(const struct command *c, int argc, char **argv)
 *	{
 *		_cleanup_(command_args_done) struct command_args args = { 0 };
 *		int r;
 *
 *		r = command_parse(c, argc, argv, &args, NULL);
 *		if (r != 0)
 *			return r;
 *		...
 *	}
 *
 * .run returns 0 on success, a negative errno after having logged one clear line that says what to do next (exit status
 * 1), or a positive exit status as it is: COMMAND_USAGE after command_usage_error(). */
#pragma once
#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "base/cleanup.h"
#include "ctl/input.h"

enum {
	COMMAND_FAILED = 1,
	COMMAND_USAGE = 2,
};

enum {
	COMMAND_JSON = 1 << 0,     /* prints a table: takes --json */
	COMMAND_INPUT = 1 << 1,    /* reads profiles: takes the options of INPUT (input.h) */
	COMMAND_SOURCE = 1 << 3,   /* asks a store: takes the options of a selection (source.h) */
	COMMAND_IN_ORDER = 1 << 2, /* the first argument ends the options: record COMMAND -x */
};

#define COMMAND_ARGUMENTS_ANY UINT32_MAX

struct command {
	const char *name;
	const char *arguments; /* as the usage line shows them after [OPTION...]: "INPUT...", "" for none */
	const char *summary;   /* one line, no full stop, for `emberctl --help` */
	const char *details;   /* printed after the options by --help: what it means, then "Examples:" */
	uint32_t flags;        /* COMMAND_* */
	uint32_t arguments_min, arguments_max;
	const struct argp_option *options; /* own options, ended by a zeroed row; NULL for none */
	/* As argp's: returns ARGP_ERR_UNKNOWN for a key it does not know; a bad value: command_option_error().
	 * state->input is the userdata of command_parse(). Keys of options without a letter start at 0x1000. NULL
	 * where there are no own options. Arguments never arrive here. */
	error_t (*parse)(int key, char *arg, struct argp_state *state);
	int (*run)(const struct command *c, int argc, char **argv);
};

struct command_args {
	bool json;
	struct input input; /* the options of INPUT; its files are not filled: give arguments to input_load() */
	const char **arguments;
	size_t n_arguments;
};

/* 0: go on. Else what .run must return at once: wrong usage (already said on stderr), or -ENOMEM. --help and --version
 * print and exit(0). */
int command_parse(const struct command *c, int argc, char **argv, struct command_args *ret, void *userdata);
void command_args_done(struct command_args *args);

/* For .parse: "emberctl top: --by takes function, line, ..., not 'x'", then the way to --help. Returns EINVAL. */
_printf_(2, 3) error_t command_option_error(struct argp_state *state, const char *format, ...);
/* The same after parsing. Returns COMMAND_USAGE. */
_printf_(2, 3) int command_usage_error(const struct command *c, const char *format, ...);

/* Whole numbers within bounds, for options. 0 or -EINVAL, -ERANGE. */
int command_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Logs that something could not be done to a profile, in words about profiles: "what: it holds too many ...". Returns
 * r. */
int command_profile_error(int r, const char *what);

/* Prints the value and a newline on stdout and frees it; NULL (a failed jansson call) is -ENOMEM, logged. */
int command_print_json(json_t *value);
/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. NULL on failure. */
json_t *command_json_string(const char *s);

/* All commands, ended by NULL, in the order of --help. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);
