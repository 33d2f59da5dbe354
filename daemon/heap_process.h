/* One process whose allocators are probed: which of its files hold one, and the links that are in force. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"
#include "bpf/abi.h"
#include "daemon/heap_budget.h"
#include "daemon/heap_sites.h"
#include "daemon/uprobe.h"

struct bpf_program;

/* The programs of bpf/heap.bpf.c, as loaded. */
struct heap_programs {
	const struct bpf_program *call, *back, *usdt, *load, *tick; /* call: frees, too */
	int call_type, other_type;                                  /* UPROBE_ATTACH_*, 0: perf events */
};

#define HEAP_ALLOCATORS_MAX 8 /* files with an allocator, of one process */

struct heap_links {
	const struct heap_allocator *allocator;
	struct uprobe *call, *back, *usdt;
	bool is_refused; /* attaching it failed: not tried again */
};

struct heap_process {
	pid_t pid;
	uint64_t start_ns; /* since boot: tells a PID that is used again */
	clockid_t clock;   /* its CPU time */
	uint64_t first_cpu_ns;
	struct heap_links links[HEAP_ALLOCATORS_MAX];
	size_t n_links;
	struct heap_budget budget;
	bool is_duty;     /* its probes have been out within this window */
	bool may_step;    /* sites that the kernel must single-step are probed as well, at their price */
	bool steps;       /* there are such */
	uint32_t refused; /* such sites, where it may not */
	const struct heap_allocator *loader_file; /* its dynamic linker */
	struct uprobe *loader;                    /* tells of what is opened late; in all the time */
	bool is_loader_refused;
	uint64_t last_scan_ns;
	uint64_t next_scan_ns; /* of its mappings, for what it loads later; 0: none */
	unsigned scans;
	uint64_t interval; /* in force while the gate is open */
	uint64_t last_attach_ns;
	double error_bytes;             /* so far may what was told in this window be off */
	struct heap_counters *counters; /* room for one of each CPU */
	struct heap_meter meter, meter_at_tick;
	double paid_at_tick;
};

/* *ret belongs to the caller. -ESRCH: it is gone. */
int heap_process_new(pid_t pid, struct heap_process **ret);
struct heap_process *heap_process_free(struct heap_process *p);
DEFINE_CLEANUP(struct heap_process *, heap_process_free)

/* Looks through its executable mappings for allocators that are not known yet. Returns how many are new; -EAGAIN where
 * an answer is awaited; -ESRCH. */
int heap_process_scan(struct heap_process *p, struct heap_sites *sites);

/* Whether its PID is still its own. */
bool heap_process_is_same(const struct heap_process *p);

/* Watches its dynamic linker, once the scan has found it. */
void heap_process_watch(struct heap_process *p, const struct heap_programs *programs);

struct heap_process_sites {
	uint32_t sites, refused;
	const char *method; /* how its allocators are asked, in words: a literal */
};
void heap_process_sites(const struct heap_process *p, struct heap_process_sites *ret);

/* Whether a sampled call came out of another probed function of the same allocator, leaf first: that one counts. As
 * each call is sampled for itself, leaving such samples out leaves no bias. */
bool heap_process_is_nested(const struct heap_process *p, const struct user_frame *frames, size_t n);

/* Probes in, for every allocator that has none yet; out. Negative errno where none could be attached. */
int heap_process_attach(struct heap_process *p, const struct heap_programs *programs);
void heap_process_detach(struct heap_process *p);

/* CPU time so far; -ESRCH where it is gone. */
int heap_process_cpu(const struct heap_process *p, uint64_t *ret_ns);

/* The map of counters, which has one value a CPU: makes the process known; adds up what was counted. */
int heap_process_make_known(const struct heap_process *p, int counters_fd);
int heap_process_read(struct heap_process *p, int counters_fd);
