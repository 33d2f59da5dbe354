/* Frames that a profile says nobody wants to see, with all that they call: an allocator's, so that "flat" tells who
 * called it (profile.proto, Profile.drop_frames; what is dropped is what pprof's Profile.Prune drops, whole locations
 * alone). Read are alternatives of plain names ("malloc|operator new\[\]"), compared with a function's name before its
 * arguments. Anything else in there, or keep_frames beside it, drops nothing: the expression is whoever wrote the
 * file's, and no program to run. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/profile.h"

struct drop_frames {
	bool *is_dropped; /* of each location; NULL: none is */
};

int drop_frames_find(const struct profile *p, struct drop_frames *ret);
void drop_frames_done(struct drop_frames *d);

/* How many locations of a stack are dropped, from its leaf on. What stands above the first other frame from the root
 * stays: of no stack everything is dropped. */
size_t drop_frames_of_stack(const struct drop_frames *d, const uint32_t *locations, size_t n);
