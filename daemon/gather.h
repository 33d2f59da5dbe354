/* One source at work: its instance, the window that fills, and what is learnt while processes live (their cgroup, their
 * perf map). The continuous profile is some of these, each `emberctl record` another. No word of the profile type. */
#pragma once
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/assembly.h"
#include "daemon/source.h"

struct gather;

struct gather_tools {
	struct assembly_tools assembly;
	/* CPU nanoseconds that emberd, its children and its programs have used so far. */
	uint64_t (*cost_ns)(void *userdata);
	void *userdata;
};

/* tools are borrowed for its life. Opens the programs; nothing is sampled yet. Errors as source_open(). */
int gather_new(const struct gather_tools *tools, const struct source *source, const struct source_params *params,
        struct gather **ret);
struct gather *gather_free(struct gather *g); /* what is in the window is lost */
DEFINE_CLEANUP(struct gather *, gather_free)
int gather_attach(struct gather *g);

/* A bounded batch from the ring. 1: there may be more. */
int gather_drain(struct gather *g);
/* The window ends here: later samples are not for it. Cut it once none is unfinished, or soon. */
void gather_end(struct gather *g);
unsigned gather_unfinished(const struct gather *g); /* samples that wait for rows */
/* Ends the window and begins the next: what it held goes to an assembly (assembly_start). -ENODATA: it held no sample
 * and lost none (done is not called). */
int gather_cut(struct gather *g, uint64_t timeout_ns, assembly_done_t done, void *userdata, struct assembly **ret);

struct source_instance *gather_instance(const struct gather *g);
const struct source *gather_source(const struct gather *g);
const struct window *gather_window(const struct gather *g);
uint64_t gather_start_ns(const struct gather *g); /* wall, of the window under way */
