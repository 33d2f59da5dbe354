/* How long a destination asked to be left alone (Retry-After, RetryInfo), in a form that outlives a restart: what has
 * passed of it is told by the time since boot, which nobody sets, and only after a reboot by the wall clock. Whatever
 * stands in the file and whatever a clock says, no more is left than was asked for, and never more than
 * UPLOAD_PAUSE_MAX_NS. */
#pragma once
#include <stdint.h>
#include "export/retry.h"

#define UPLOAD_PAUSE_MAX_NS (RETRY_AFTER_MAX_NS + RETRY_AFTER_MAX_NS / 10) /* as retry_delay_ns() spreads it */

struct upload_moment {
	uint64_t wall_ns, boottime_ns, boot_id;
};

struct upload_pause {
	uint64_t ns; /* 0: none was asked for */
	struct upload_moment begun;
};

struct upload_moment upload_moment_now(void);
uint64_t upload_pause_left_ns(const struct upload_pause *p, const struct upload_moment *now);
