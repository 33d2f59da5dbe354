#include "base/clock.h"

uint64_t clock_now_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return clock_timespec_ns(ts);
}

int64_t clock_wall_offset_ns(clockid_t id)
{
	return (int64_t)(clock_now_ns(CLOCK_REALTIME) - clock_now_ns(id));
}
