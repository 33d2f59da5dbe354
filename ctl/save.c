#include "ctl/save.h"

#include <string.h>

#include "base/log.h"
#include "profile/file.h"

const struct argp_option save_argp_options[] = {
	{ "output", 'o', "FILE", 0, "Write FILE (needed); the end of its name decides the format", 1 },
	{ 0 },
};

error_t save_parse(int key, char *arg, struct argp_state *state)
{
	if (key != 'o')
		return ARGP_ERR_UNKNOWN;
	*(const char **)state->input = arg;
	return 0;
}

/* ".pb.gz, .pb.zst, ...": what can be written. */
static void list_suffixes(struct buffer *b)
{
	for (size_t i = 0; file_format_at(i); i++) {
		const struct file_format *f = file_format_at(i);

		if (f->write)
			(void)buffer_printf(
			        b, "%s%.*s", b->size ? ", " : "", (int)strcspn(f->suffixes, " "), f->suffixes);
	}
}

static int check_output(const struct command *c, const char *output)
{
	_cleanup_buffer_ struct buffer suffixes = BUFFER(512);
	const struct file_format *format;

	if (!output)
		return command_usage_error(c, "give -o FILE: where to write");
	format = file_format_of(output);
	if (strcmp(output, "-") == 0 || (format && format->write))
		return 0;
	list_suffixes(&suffixes);
	return command_usage_error(c, "'%s' says no format; a name may end in: %.*s", output, (int)suffixes.size,
	        suffixes.data ? suffixes.data : "");
}

int save_run(const struct command *c, int argc, char **argv)
{
	_cleanup_(command_args_done) struct command_args args = { 0 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct file_write_options options = { 0 };
	struct profile_error error = { 0 };
	const char *output = NULL;
	int r;

	r = command_parse(c, argc, argv, &args, &output);
	if (r != 0)
		return r;
	r = check_output(c, output);
	if (r != 0)
		return r;
	r = input_load(&args.input, args.arguments, args.n_arguments, &p);
	if (r < 0)
		return r;
	r = input_value_index(&args.input, p, &options.value_index);
	if (r < 0)
		return r;
	r = file_save(output, p, &options, &error);
	if (r < 0)
		(void)log_err(0, "%s: %s", strcmp(output, "-") == 0 ? "standard output" : output, error.text);
	return r;
}
