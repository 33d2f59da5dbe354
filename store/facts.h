/* What the index says of one profile, computed from the profile itself: when, how much, and which label values occur.
 */
#pragma once
#include <stdint.h>
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/intern.h"
#include "profile/profile.h"

/* Of one label; with more the file says only that it has the label, and no query passes it over for its value. */
#define FACTS_VALUES_MAX 4096
#define FACTS_LABELS_MAX 65536
#define FACTS_BYTES_MAX (16u << 20)
#define FACTS_VALUE_BYTES_MAX 1024 /* a longer value counts as too many */

/* The labels that merging drops: who asks for threads over more than a window asks for their names (label "thread").
 * NULL at the end. */
extern const char *const facts_dropped_labels[];

struct facts {
	int64_t start_ns, end_ns;
	uint32_t n_samples;
	char *totals;          /* "samples/count=3400 cpu/nanoseconds=34000000000" */
	struct intern *labels; /* "NAME\0VALUE" each, or "NAME" alone: too many values */
};

int facts_make(const struct profile *p, struct facts *ret);
void facts_done(struct facts *f);
#define _cleanup_facts_ _cleanup_(facts_done)
