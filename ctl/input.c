#include "ctl/input.h"

enum {
	KEY_SAMPLE_TYPE = 0x3000,
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct input *in = state->input;

	switch (key) {
	case KEY_SAMPLE_TYPE:
		in->sample_type = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "What to read:", 5 },
	{ "sample-type", KEY_SAMPLE_TYPE, "NAME", 0,
	        "Show this value of the profile (default: the last, as pprof does)", 5 },
	{ 0 },
};

const struct argp input_argp = { .options = options, .parser = parse };
