/* One process whose allocators are probed: which of its files hold one, what it has counted, and what it may cost. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"
#include "bpf/abi.h"
#include "daemon/heap_budget.h"
#include "daemon/heap_probing.h"
#include "daemon/heap_sites.h"
#include "daemon/heap_turns.h"
#include "daemon/heap_unseen.h"
#include "daemon/heap_waits.h"
#include "daemon/source.h"

struct heap_process_sites {
	uint32_t sites, refused; /* refused: only where it may not step */
	uint32_t files_over;     /* files not looked at or not probed: HEAP_SITES_FILES_MAX, HEAP_ALLOCATORS_MAX */
	bool steps;              /* some of sites must be single-stepped */
	const char *method;      /* how its allocators are asked, in words: a literal */
};

struct heap_process {
	pid_t pid;
	uint64_t start_ns; /* since boot: tells a PID that is used again */
	clockid_t clock;   /* its CPU time */
	uint64_t first_cpu_ns;
	struct heap_waits waits;
	uint64_t cpu_at_wait_ns;
	struct heap_probing *probing;
	struct heap_budget budget;
	bool is_duty;    /* its probes have been out within this window */
	bool is_awaited; /* what some of its files hold is not known yet, and may be soon */
	bool may_step;   /* sites that the kernel must single-step are probed as well, at their price */
	struct heap_process_sites sites;
	struct heap_turn turn;
	uint64_t last_scan_ns;
	uint64_t gone_ns;      /* its end was noticed, but not told yet; 0: it runs */
	uint64_t next_scan_ns; /* of its mappings, for what it loads later; 0: none */
	unsigned scans;
	uint64_t interval; /* in force while the gate is open */
	uint64_t last_attach_ns;
	double error_bytes;             /* so far may what was told in this window be off */
	double common_bytes;            /* and what is off alike in all processes */
	struct heap_counters *counters; /* room for one of each CPU */
	struct heap_meter meter, meter_at_tick;
	double paid_at_tick;
	struct heap_unseen unseen;
};

/* *ret belongs to the caller, who gives it its probing. -ESRCH: it is gone. */
int heap_process_new(pid_t pid, struct heap_process **ret);
/* Its probes go out in their time. */
struct heap_process *heap_process_free(struct heap_process *p);
DEFINE_CLEANUP(struct heap_process *, heap_process_free)

/* Looks through its executable mappings for allocators that are not known yet, and brings sites up to date. Returns how
 * many are new; -EAGAIN where an answer is awaited; -ESRCH. */
int heap_process_scan(struct heap_process *p, struct heap_sites *sites);

/* It has opened or closed libraries: it is to be scanned soon, but one that does so all the time not each time. */
void heap_process_opened(struct heap_process *p);

/* Whether its PID is still its own. */
bool heap_process_is_same(const struct heap_process *p);

/* Tells its executable from others; 0: not known. */
uint64_t heap_process_program(const struct heap_process *p);

/* Files with an allocator that is, or is to be, probed. */
size_t heap_process_files(const struct heap_process *p, const struct heap_allocator *const **ret);
bool heap_process_has_allocator(const struct heap_process *p);

/* What status says of it; but for the budget. */
void heap_process_describe(const struct heap_process *p, struct source_process *ret);

/* What is to be known of what is told of it as in use. */
void heap_process_label(const struct heap_process *p, struct sample_label ret[SAMPLE_LABELS_MAX]);

/* Whether a sampled call came out of another probed function of the same allocator, leaf first: that one counts. As
 * each call is sampled for itself, leaving such samples out leaves no bias. */
bool heap_process_is_nested(const struct heap_process *p, const struct user_frame *frames, size_t n);

/* CPU time so far; -ESRCH where it is gone. */
int heap_process_cpu(const struct heap_process *p, uint64_t *ret_ns);

/* What it would have run if it had not waited for a CPU, brought up to date: a few times a second, where it matters. */
void heap_process_follow_waits(struct heap_process *p);

/* What it ran since then (0: it is older), before it came to be known, is not seen: it may have been on all CPUs. */
void heap_process_add_unseen(struct heap_process *p, uint64_t since_ns);

/* Samples as fine as their part of the budget allows, judged by what came since the last time, but never coarser than
 * was asked for; both 2^halvings times as coarse (heap_room.h). Whether interval is another one now. */
bool heap_process_adapt_interval(struct heap_process *p, uint64_t coarsest, unsigned halvings);

/* So coarsely again. */
void heap_process_halve_samples(struct heap_process *p);

/* The map of counters, which has one value a CPU: makes the process known; adds up what was counted. */
int heap_process_make_known(const struct heap_process *p, int counters_fd);
int heap_process_read(struct heap_process *p, int counters_fd);
/* The same of one that may be gone, and its CPU time with it: what its probes have cost since the last time it did use.
 */
int heap_process_read_last(struct heap_process *p, int counters_fd);
