/* One profile put into another, in whole or in part: totals are exact, equal samples become one. Everything that makes
 * a profile from a profile is this with other options. Files are merged faster without a profile of
 * their own: pprof_read_into(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/profile.h"

#define MERGE_ALL_VALUES UINT32_MAX

struct merge_options {
	const char *const *drop_labels; /* keys, NULL at the end */
	/* Whether samples with these labels of src are taken; asked once a label set. NULL: all. */
	bool (*want)(void *userdata, const struct profile *src, const struct profile_label *labels, size_t n);
	/* Whether a function of src is left out of all stacks; asked once a function. NULL: none. */
	bool (*hide)(void *userdata, const struct profile *src, uint32_t function);
	void *userdata;
	uint32_t value; /* only this one of src's sample types, or MERGE_ALL_VALUES */
	bool no_stacks; /* every sample gets the empty stack */
};
#define MERGE_OPTIONS_DEFAULT ((struct merge_options){ .value = MERGE_ALL_VALUES })

/* Header and comments as pprof_read_into() has it. options may be NULL. On failure dst holds what it held. -EINVAL:
 * other sample types; -ENOSPC: dst's limit; -ENOMEM. */
int profile_merge(struct profile *dst, const struct profile *src, const struct merge_options *options,
        struct profile_error *error);

/* Puts the stacks and label sets of src's samples into dst and nothing more: ret[i] is where sample i of src belongs,
 * its stack PROFILE_NONE where it is not wanted. For those who keep numbers of their own beside dst. */
int merge_map_samples(struct profile *dst, const struct profile *src, const struct merge_options *options,
        struct profile_sample *ret);

/* Whether key is one of drop_labels (NULL at the end; may be NULL itself). */
bool merge_drops(const char *const *drop_labels, const char *key);

/* For readers of formats. The strings of from are dst's. ret_value_to[i]: where value i of from goes. */
int merge_match_types(const struct profile *dst, const struct profile_header *from,
        uint32_t ret_value_to[PROFILE_SAMPLE_TYPES_MAX], struct profile_error *error);
void merge_header(struct profile_header *to, const struct profile_header *from);
