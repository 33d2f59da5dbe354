#include "ctl/command.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"

#define COMMAND(name) extern const struct command name##_command;
#include "ctl/commands.h"
#undef COMMAND

const struct command *const commands[] = {
#define COMMAND(name) &name##_command,
#include "ctl/commands.h"
#undef COMMAND
	NULL,
};

#define JSON_STRING_BYTES_MAX (4u << 20)

/* What one argp run hands from its root to its children. */
struct parsing {
	const struct command *command;
	struct command_args *args;
	void *userdata;
};

enum {
	KEY_JSON = 0x2000,
};

static error_t parse_json(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != KEY_JSON)
		return ARGP_ERR_UNKNOWN;
	((struct command_args *)state->input)->json = true;
	return 0;
}

static const struct argp_option json_options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON in place of a table", 10 },
	{ 0 },
};
static const struct argp json_argp = { .options = json_options, .parser = parse_json };

static error_t hand_to_children(struct parsing *p, struct argp_state *state)
{
	size_t child = 0;

	if (p->command->options)
		state->child_inputs[child++] = p->userdata;
	if (p->command->flags & COMMAND_INPUT)
		state->child_inputs[child++] = &p->args->input;
	if (p->command->flags & COMMAND_SOURCE)
		state->child_inputs[child++] = &p->args->input.source;
	if (p->command->flags & COMMAND_JSON)
		state->child_inputs[child++] = p->args;
	return 0;
}

static error_t take_argument(struct parsing *p, const char *arg, struct argp_state *state)
{
	struct command_args *args = p->args;
	const char **grown;

	if (args->n_arguments >= p->command->arguments_max)
		return command_option_error(state, "'%s' is one argument too many", arg);
	grown = realloc(args->arguments, (args->n_arguments + 1) * sizeof(*grown));
	if (!grown)
		return ENOMEM;
	args->arguments = grown;
	args->arguments[args->n_arguments++] = arg;
	return 0;
}

static error_t parse_root(int key, char *arg, struct argp_state *state)
{
	struct parsing *p = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return hand_to_children(p, state);
	case ARGP_KEY_ARG:
		return take_argument(p, arg, state);
	case ARGP_KEY_END:
		if (p->args->n_arguments < p->command->arguments_min)
			return command_option_error(state, "%s is missing",
			        p->command->arguments_max > 1 && p->args->n_arguments ? "one argument"
			                                                              : p->command->arguments);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What argp says of an unknown option goes to stderr with the status we promise. */
static void set_exit_status(void)
{
	argp_err_exit_status = COMMAND_USAGE;
	argp_program_version = "emberctl " EMBER_VERSION;
}

int command_parse(const struct command *c, int argc, char **argv, struct command_args *ret, void *userdata)
{
	const struct argp own = { .options = c->options, .parser = c->parse };
	struct argp_child children[5] = { 0 };
	_cleanup_free_ char *doc = NULL, *name = NULL;
	struct parsing parsing = { .command = c, .args = ret, .userdata = userdata };
	struct argp root = { .parser = parse_root, .args_doc = c->arguments, .children = children };
	size_t n = 0;
	error_t r;

	if (c->options)
		children[n++] = (struct argp_child){ .argp = &own };
	if (c->flags & COMMAND_INPUT)
		children[n++] = (struct argp_child){ .argp = &input_argp, .group = 5 };
	if (c->flags & COMMAND_SOURCE)
		children[n++] = (struct argp_child){ .argp = &source_argp, .group = 6 };
	if (c->flags & COMMAND_JSON)
		children[n++] = (struct argp_child){ .argp = &json_argp };
	if (asprintf(&doc, "%s.\v%s", c->summary, c->details) < 0)
		return log_err(-ENOMEM, "cannot read the arguments");
	if (asprintf(&name, "emberctl %s", c->name) < 0)
		return log_err(-ENOMEM, "cannot read the arguments");
	root.doc = doc;
	argv[0] = name;
	set_exit_status();
	r = argp_parse(&root, argc, argv, c->flags & COMMAND_IN_ORDER ? ARGP_IN_ORDER : 0, NULL, &parsing);
	argv[0] = (char *)c->name;
	if (r == ENOMEM)
		return log_err(-ENOMEM, "cannot read the arguments");
	return r == 0 ? 0 : COMMAND_USAGE;
}

void command_args_done(struct command_args *args)
{
	free(args->arguments);
	*args = (struct command_args){ 0 };
}

static void complain(const char *name, const char *format, va_list ap)
{
	char text[1024];

	(void)vsnprintf(text, sizeof(text), format, ap);
	log_set_prefix(NULL);
	(void)log_full(LOG_ERR, 0, "emberctl %s: %s", name, text);
	(void)log_full(LOG_ERR, 0, "Try 'emberctl %s --help'.", name);
	log_set_prefix("emberctl: ");
}

error_t command_option_error(struct argp_state *state, const char *format, ...)
{
	const char *name = strchr(state->argv[0], ' ');
	va_list ap;

	va_start(ap, format);
	complain(name ? name + 1 : state->name, format, ap);
	va_end(ap);
	return EINVAL;
}

int command_usage_error(const struct command *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	complain(c->name, format, ap);
	va_end(ap);
	return COMMAND_USAGE;
}

int command_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE || value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int command_profile_error(int r, const char *what)
{
	if (r != -ENOSPC)
		return log_err(r, "%s", what);
	(void)log_err(0, "%s: it holds more names or stacks than fit in memory; ask for less of it", what);
	return r;
}

int command_print_json(json_t *value)
{
	int r = 0;

	if (!value)
		return log_err(-ENOMEM, "cannot build the JSON answer");
	if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10)) < 0 ||
	        fputc('\n', stdout) == EOF)
		r = log_err(-EIO, "cannot write to standard output");
	json_decref(value);
	return r;
}

json_t *command_json_string(const char *s)
{
	_cleanup_buffer_ struct buffer clean = BUFFER(JSON_STRING_BYTES_MAX);

	if (utf8_append_clean(&clean, s, strnlen(s, JSON_STRING_BYTES_MAX / 4)) < 0)
		return NULL;
	return json_stringn(clean.data ? clean.data : "", clean.size);
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}
