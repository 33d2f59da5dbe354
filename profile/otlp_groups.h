/* The first half of writing OTLP: which resource each label set belongs to, and the samples in order of resource.
 * For otlp_write.c. */
#pragma once
#include <stdint.h>
#include "profile/otlp.h"

struct otlp_group {
	char service[SERVICE_NAME_MAX];
	uint32_t labels; /* a label set that has the resource's labels, PROFILE_NONE for "other" */
	uint64_t key;    /* a hash of what tells it from the others */
};

struct otlp_groups {
	uint32_t n;
	struct otlp_group *groups;
	uint32_t *of_label_set; /* label set -> group */
	uint32_t *order;        /* samples by group, in the profile's order within it */
	uint32_t *start;        /* n + 1: where each group begins in order */
};

int otlp_groups_make(const struct profile *p, const struct otlp_options *options, struct otlp_groups *ret);
void otlp_groups_done(struct otlp_groups *g);

/* What a label is called in OTLP, and whether the resource says it. */
const char *otlp_attribute_name(const char *label, int *ret_is_resource);
/* A unit that systemd makes for a while (a session, a run) would make a series each. */
int otlp_unit_is_lasting(const char *unit);
