#include "ctl/picture.h"

#include <string.h>

#include "base/log.h"
#include "base/pattern.h"
#include "profile/file.h"

const struct argp_option picture_argp_options[] = {
	{ "output", 'o', "FILE", 0, "Write FILE; its suffix decides: .svg or .html (default: SVG on standard output)",
	        1 },
	{ "width", PICTURE_KEY_WIDTH, "PIXELS", 0, "Width of an SVG (default: 1600; a page fills its window)", 1 },
	{ "hide", PICTURE_KEY_HIDE, "REGEX", 0, "Leave out frames that match; their values stay with their callers",
	        1 },
	{ "title", PICTURE_KEY_TITLE, "TEXT", 0, "Title of the picture", 1 },
	{ "group-by", PICTURE_KEY_GROUP_BY, "LABEL", 0, "First row of boxes: comm (default), exe, unit, ..., or none",
	        1 },
	{ 0 },
};

static error_t set_hide(struct picture_options *o, const char *text, struct argp_state *state)
{
	char why[PATTERN_WHY_MAX];

	if (o->flamegraph.hide)
		regfree(&o->hide);
	o->flamegraph.hide = NULL;
	if (pattern_compile(text, false, &o->hide, why) < 0)
		return command_option_error(state, "--hide takes a regular expression; in '%.200s': %s", text, why);
	o->flamegraph.hide = &o->hide;
	return 0;
}

error_t picture_options_parse(int key, char *arg, struct argp_state *state)
{
	struct picture_options *o = state->input;
	uint64_t width;

	switch (key) {
	case 'o':
		o->output = arg;
		return 0;
	case PICTURE_KEY_WIDTH:
		if (command_parse_number(arg, FLAMEGRAPH_WIDTH_MIN, FLAMEGRAPH_WIDTH_MAX, &width) < 0)
			return command_option_error(state, "--width takes %d to %d pixels, not '%s'",
			        FLAMEGRAPH_WIDTH_MIN, FLAMEGRAPH_WIDTH_MAX, arg);
		o->flamegraph.width = (uint32_t)width;
		return 0;
	case PICTURE_KEY_HIDE:
		return set_hide(o, arg, state);
	case PICTURE_KEY_TITLE:
		o->flamegraph.title = arg;
		return 0;
	case PICTURE_KEY_GROUP_BY:
		o->flamegraph.group_by = strcmp(arg, "none") == 0 ? NULL : arg;
		o->is_grouped_set = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void picture_options_done(struct picture_options *o)
{
	if (o->flamegraph.hide)
		regfree(&o->hide);
	o->flamegraph.hide = NULL;
}

int picture_options_check(const struct command *c, struct picture_options *o, bool must_draw)
{
	const struct file_format *format = o->output ? file_format_of(o->output) : NULL;

	if (!o->is_grouped_set)
		o->flamegraph.group_by = FLAMEGRAPH_GROUP_DEFAULT;
	if (o->output && strcmp(o->output, "-") != 0 &&
	        (!format || (strcmp(format->name, "svg") != 0 && strcmp(format->name, "html") != 0)))
		return command_usage_error(c,
		        "-o takes a name that ends in .svg or .html, not '%s' (emberctl convert writes other formats)",
		        o->output);
	if (must_draw && !o->output && isatty(STDOUT_FILENO))
		return command_usage_error(c, "give -o FILE.svg or -o FILE.html, or redirect standard output");
	o->is_html = format && strcmp(format->name, "html") == 0;
	return 0;
}

int picture_write(const struct picture_options *o, const struct buffer *out)
{
	int r = file_write_bytes(o->output ? o->output : "-", out);

	return r < 0 ? log_err(r, "cannot write %s", o->output ? o->output : "to standard output") : 0;
}
