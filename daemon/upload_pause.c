#include "daemon/upload_pause.h"

#include <stdbool.h>
#include "base/cleanup.h"
#include "base/clock.h"

struct upload_moment upload_moment_now(void)
{
	return (struct upload_moment){
		.wall_ns = clock_now_ns(CLOCK_REALTIME),
		.boottime_ns = clock_now_ns(CLOCK_BOOTTIME),
		.boot_id = clock_boot_id(),
	};
}

static uint64_t since(uint64_t then, uint64_t now)
{
	return now > then ? now - then : 0; /* a clock that was set back tells nothing: all of it is left */
}

uint64_t upload_pause_left_ns(const struct upload_pause *p, const struct upload_moment *now)
{
	bool is_same_boot = now->boot_id && p->begun.boot_id == now->boot_id;
	uint64_t passed =
	        is_same_boot ? since(p->begun.boottime_ns, now->boottime_ns) : since(p->begun.wall_ns, now->wall_ns);

	return since(passed, MIN(p->ns, UPLOAD_PAUSE_MAX_NS));
}
