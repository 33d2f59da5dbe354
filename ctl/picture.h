/* The options that commands which draw share: -o, --width, --hide, --title, --group-by. */
#pragma once
#include <argp.h>
#include <regex.h>
#include <stdbool.h>
#include "base/buffer.h"
#include "ctl/command.h"
#include "profile/flamegraph.h"

enum {
	PICTURE_KEY_WIDTH = 0x1080,
	PICTURE_KEY_HIDE,
	PICTURE_KEY_TITLE,
	PICTURE_KEY_GROUP_BY,
};

struct picture_options {
	struct flamegraph_options flamegraph;
	const char *output; /* NULL: not given */
	bool is_html, is_grouped_set;
	regex_t hide;
};

/* For struct command: userdata is a struct picture_options, zeroed. */
extern const struct argp_option picture_argp_options[];
error_t picture_options_parse(int key, char *arg, struct argp_state *state);
void picture_options_done(struct picture_options *o);

/* After parsing: 0, or what .run returns. A suffix other than .svg, .html is wrong usage; so is no -o where standard
 * output is a terminal and a picture must be made. */
int picture_options_check(const struct command *c, struct picture_options *o, bool must_draw);
/* To -o or standard output; logs on failure. */
int picture_write(const struct picture_options *o, const struct buffer *out);
