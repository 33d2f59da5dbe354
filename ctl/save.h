/* What merge and convert share: read INPUT, write one file of any format. */
#pragma once
#include "ctl/command.h"

extern const struct argp_option save_argp_options[];
error_t save_parse(int key, char *arg, struct argp_state *state);
int save_run(const struct command *c, int argc, char **argv);
