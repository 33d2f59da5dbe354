#include "ctl/input.h"

#include <fcntl.h>
#include <string.h>

#include "base/buffer.h"
#include "base/log.h"
#include "ctl/progress.h"
#include "profile/file.h"

#define TYPES_TEXT_MAX 512

enum {
	KEY_SAMPLE_TYPE = 0x3000,
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct input *in = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &in->source;
		return 0;
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
	        "Show this value of the profile, such as 'samples' (default: the last)", 5 },
	{ 0 },
};

static const struct argp_child children[] = { { .argp = &source_argp, .group = 6 }, { 0 } };
const struct argp input_argp = { .options = options, .parser = parse, .children = children };

int input_load(const struct input *in, const char *const *files, size_t n_files, struct profile **ret)
{
	_cleanup_progress_ struct progress progress = progress_start("reading", "files");
	_cleanup_(profile_freep) struct profile *p = NULL;
	int r;

	if (n_files == 0)
		return source_load(&in->source, ret);
	if (source_is_given(&in->source))
		return log_err(0, "give files or a selection (--type, --from, --to, --match, --source), not both"),
		       -EINVAL;
	r = profile_new(NULL, &p);
	if (r < 0)
		return log_err(r, "cannot read profiles");
	for (size_t i = 0; i < n_files; i++) {
		struct profile_error error = { 0 };

		progress_update(&progress, i, n_files);
		r = file_read_into(p, NULL, AT_FDCWD, files[i], &error);
		if (r < 0) {
			progress_end(&progress);
			(void)log_err(0, "%s: %s%s", strcmp(files[i], "-") == 0 ? "standard input" : files[i],
			        r == -EBADMSG ? "not a readable profile: " : "", error.text);
			return r;
		}
	}
	*ret = TAKE_PTR(p);
	return 0;
}

int input_value_index(const struct input *in, const struct profile *p, uint32_t *ret)
{
	_cleanup_buffer_ struct buffer names = BUFFER(TYPES_TEXT_MAX);
	const struct profile_header *h = profile_header_const(p);

	if (h->n_sample_types == 0)
		return log_err(0, "the profile has no sample types, so there is nothing to show"), -EINVAL;
	if (!in->sample_type) {
		*ret = profile_default_value(p);
		return 0;
	}
	if (profile_find_sample_type(p, in->sample_type, ret) == 0)
		return 0;
	for (uint32_t i = 0; i < h->n_sample_types; i++)
		(void)buffer_printf(&names, "%s%.60s", i ? ", " : "", profile_string(p, h->sample_types[i].type, NULL));
	(void)log_err(0, "the profile has no sample type '%s'; --sample-type takes one of: %.*s", in->sample_type,
	        (int)names.size, names.data ? names.data : "");
	return -ENOENT;
}
