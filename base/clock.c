#include "base/clock.h"

uint64_t clock_now_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

int64_t clock_wall_offset_ns(clockid_t id)
{
	return (int64_t)(clock_now_ns(CLOCK_REALTIME) - clock_now_ns(id));
}
