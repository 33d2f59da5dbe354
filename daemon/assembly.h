/* A closed window on its way to a profile: asks for the names that are missing, file by file, while the event loop runs
 * on, and builds the profile when all have come or time is up. What has no name by then goes without. */
#pragma once
#include <stdint.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"
#include "daemon/profile_builder.h"
#include "daemon/symbols.h"
#include "daemon/window.h"

struct assembly;
struct environment;

/* What an assembly works with; all borrowed until it is done. */
struct assembly_tools {
	sd_event *event;
	struct code *code;
	struct symbols *symbols;
	struct cgroups *cgroups; /* NULL: no cgroup v2 here */
	struct environment *environment;
	const char *host;
};

/* result 0: profile belongs to the callee. Called exactly once, from the event loop or from assembly_hurry(). */
typedef void (*assembly_done_t)(void *userdata, int result, struct profile *profile);

/* Takes over the window, perf_maps (a descriptor or -1 for each of the window's processes, malloc'ed; NULL: none) and
 * the hold, also on failure (then done is not called). The assembly frees itself. */
int assembly_start(const struct assembly_tools *tools, const struct window_facts *facts, struct window *window,
        int *perf_maps, uint64_t hold, uint64_t timeout_ns, assembly_done_t done, void *userdata,
        struct assembly **ret);
/* Time is up: builds with what there is, and calls done. ret of assembly_start is not valid afterwards. */
void assembly_hurry(struct assembly *a);
