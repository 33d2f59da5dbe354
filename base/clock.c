#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/fd.h"

uint64_t clock_now_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return clock_timespec_ns(ts);
}

uint64_t clock_boot_id(void)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long id = 0;

	if (file_read_all(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 4096, &text, NULL) < 0 ||
	        sscanf(text, "%llx", &id) != 1)
		return 0;
	return id & INT64_MAX;
}

int64_t clock_wall_offset_ns(clockid_t id)
{
	return (int64_t)(clock_now_ns(CLOCK_REALTIME) - clock_now_ns(id));
}
