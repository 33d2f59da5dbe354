/* INPUT of a command: profile files, or a selection of a store (source.h). The options of INPUT belong to this module;
 * main.c adds them to each command with COMMAND_INPUT. */
#pragma once
#include <argp.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl/source.h"
#include "profile/profile.h"

struct input {
	const char *sample_type; /* --sample-type NAME: which value to show; NULL: the profile's default */
	struct source source;    /* where no file is given */
};

/* Child of the command's argp; its input is a struct input. */
extern const struct argp input_argp;

/* Reads and merges all files; "-" is standard input. Without a file: the selection. Logs one line on failure.
 * *ret belongs to the caller. */
int input_load(const struct input *in, const char *const *files, size_t n_files, struct profile **ret);

/* The index of the sample type to show: --sample-type, else profile_default_value(). Logs, with the types there are,
 * where it is not found. */
int input_value_index(const struct input *in, const struct profile *p, uint32_t *ret);
