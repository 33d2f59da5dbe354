/* What one hit of a heap probe costs on this machine, measured on a process of our own: CPU time in all, and how much
 * slower the program's own code runs for it. */
#pragma once
#include "daemon/heap_process.h"
#include "daemon/heap_ticks.h"

struct heap_calibration {
	double hit_ns;  /* of CPU time */
	double user_ns; /* by which the code after a hit runs slower */
	double tick_ns; /* of CPU time that a tick of the CPU's clock takes */
};

/* What was measured within the last hour is told again at once. processes_fd: the map of probed processes. is_stepped:
 * on an instruction that the kernel must single-step. Takes some 0.1 s. -ENOTSUP: no way to probe here. */
int heap_calibrate(
        const struct heap_programs *programs, int processes_fd, bool is_stepped, struct heap_calibration *ret);
/* What accounts begin with. */
void heap_calibration_prices(const struct heap_calibration *c, const struct heap_ticks *ticks, struct heap_prices *ret);
