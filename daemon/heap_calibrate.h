/* What one hit of a heap probe costs on this machine, measured on a process of our own. */
#pragma once
#include "daemon/heap_process.h"

/* processes_fd: the map of probed processes. Takes some milliseconds. -ENOTSUP: no way to probe here. */
int heap_calibrate(const struct heap_programs *programs, int processes_fd, double *ret_hit_ns);
