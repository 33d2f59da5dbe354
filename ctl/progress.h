/* One progress line on standard error, only where that is a terminal and only after half a second of work:
 * "merging 12 of 60 files". It is wiped when the work ends, so output and errors stay clean. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/cleanup.h"

struct progress {
	const char *text; /* "merging"; borrowed */
	const char *noun; /* "files"; borrowed */
	uint64_t started_ns, shown_ns;
	bool is_terminal, is_shown;
};

struct progress progress_start(const char *text, const char *noun);
/* Cheap enough for each step; draws ten times a second at most. total 0: not known. */
void progress_update(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p); /* may be called twice */

#define _cleanup_progress_ _cleanup_(progress_end)
