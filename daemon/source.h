/* A source is one way to gather samples: one BPF file, one daemon file, one row in sources.c. An instance is one opened
 * use of it, with its own programs, ring, targets and counters; the continuous profile is one instance, each
 * `emberctl record` another. All instances share the unwinder's maps, which struct code owns.
 *
 * Order: source_open, source_attach, then source_drain from a timer and source_flush at each window's end,
 * source_close. Nothing here blocks or logs above debug; one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"
#include "daemon/code.h"
#include "daemon/features.h"
#include "daemon/sample.h"

/* ---- who is profiled -------------------------------------------------------------------------------------------- */

#define TARGET_PIDS_MAX 1024
#define TARGET_RULES_MAX 16 /* of each kind below */
#define TARGET_COMM_MAX 16

struct target_cgroup {
	uint64_t id;    /* inode of the directory in the cgroup v2 tree */
	uint32_t level; /* depth below the root: 0 is the root itself */
};

struct target_comm {
	char glob[TARGET_COMM_MAX]; /* '*' and '?'; matched against the group leader's comm */
};

/* As stat(2) tells; compared with the kernel's executable of the process. */
struct target_exe {
	uint64_t inode;
	uint64_t size_bytes;
	uint64_t mtime_ns;
};

_Static_assert(sizeof(struct target_exe) == 24, "compared and hashed by its bytes");

/* One list of rules. A process is selected when any rule of include matches, or include is empty, and no rule of
 * exclude does. */
struct target_rules {
	const pid_t *pids; /* processes, with all their threads, descendants at opening and later children */
	size_t n_pids;
	struct target_cgroup cgroups[TARGET_RULES_MAX];
	size_t n_cgroups;
	struct target_comm comms[TARGET_RULES_MAX];
	size_t n_comms;
	struct target_exe exes[TARGET_RULES_MAX];
	size_t n_exes;
};

struct targets {
	struct target_rules include, exclude;
	int exclude_self; /* leave emberd itself and its children out */
};

/* Fills a cgroup rule from a directory of the cgroup v2 hierarchy (absolute, or relative to its mount), an exe rule
 * from a file. -ENOENT, -EINVAL: not below a cgroup v2 mount. */
int target_cgroup_from_path(const char *path, struct target_cgroup *ret);
int target_exe_from_path(const char *path, struct target_exe *ret);

/* ---- sources ---------------------------------------------------------------------------------------------------- */

struct source_value_type {
	const char *type, *unit; /* "cpu", "nanoseconds" */
};

struct source_instance;

#define SOURCE_NOTES_MAX 16
struct source_note {
	const char *name; /* of a ledger line, "heap.survivors_ms": a literal */
	uint64_t value;
};

/* A process that a source does something to. */
struct source_process {
	pid_t pid;
	const char *method;      /* in words; a literal */
	uint32_t sites, refused; /* probed places; places that are not probed because they would cost too much */
	uint32_t files_over;     /* files that are not probed as it has too many of them */
	bool is_in, is_waiting;  /* the probes are in now; are out, and it is others' turn */
	double slow_down;        /* what they have cost so far, as a part of its own CPU time */
	double budget;           /* what they may */
};

struct source {
	const char *name;                                  /* profile type: "cpu" */
	struct source_value_type types[SAMPLE_VALUES_MAX]; /* sample types; ends at the first NULL */
	struct source_value_type period_type;
	const char *drop_frames; /* pprof's: names that views leave out at a stack's end; NULL: none */
	enum feature needs;      /* FEATURE_NONE: always there */
	bool is_ordered;         /* its other records refer to samples before them: none may be finished later */
	/* 0 or negative errno; i->implementation is the source's own. */
	int (*open)(struct source_instance *i); /* open, configure and load the programs; fill i->ring_fd ... */
	int (*attach)(struct source_instance *i);
	/* Whether what it does to the processes that are there at attach has been done; NULL: attach does all. */
	bool (*is_ready)(struct source_instance *i);
	/* A record of the ring that is not a plain sample or a file event; NULL where there are none. */
	int (*record)(struct source_instance *i, const void *record, size_t size);
	/* Turns a sample record into s->values; NULL: values[0] = 1, values[1] = value. Returns false where the source
	 * keeps the sample to itself and tells of it in flush. */
	bool (*values)(struct source_instance *i, const struct sample_record *r, struct sample *s);
	int (*flush)(
	        struct source_instance *i); /* window's end: deliver what the source has held back; NULL: nothing */
	/* What the ledger of the window just flushed should say beside the usual; fills at most SOURCE_NOTES_MAX and
	 * returns how many. NULL: nothing. */
	unsigned (*notes)(struct source_instance *i, struct source_note *ret);
	int (*set_rate)(struct source_instance *i, uint64_t rate); /* NULL: cannot be changed */
	void (*tick)(struct source_instance *i); /* about once a second: hot-plug and the like; NULL: nothing */
	/* What is done to single processes, where the source does that; NULL: nothing. */
	void (*processes)(struct source_instance *i, void (*each)(void *userdata, const struct source_process *process),
	        void *userdata);
	void (*close)(struct source_instance *i);
};

/* All sources, NULL-terminated. */
extern const struct source *const sources[];
const struct source *source_find(const char *name);

struct source_params {
	uint32_t frequency_hz;  /* cpu */
	uint64_t interval;      /* heap: bytes a sample; offcpu: nanoseconds a sample; 0: the source's default */
	uint64_t heap_interval; /* heap: the same where none is asked for, and finer where the budget allows it; 0:
	                           default */
	int kernel_stacks;
	bool single_step; /* heap: probe also where the kernel must single-step, ten times as costly */
	double heap_budget,
	        heap_together;         /* heap: fractions of a target's CPU time, and of one core for all; 0: default */
	int is_on_demand;              /* a person waits for it and may spend more */
	const struct targets *targets; /* borrowed during source_open; NULL: the whole host */
	uint32_t ring_bytes;           /* 0: the source's default */
	struct code *code;             /* borrowed for the instance's life */
};

/* Called from source_drain and source_flush; the sample is borrowed for the call. */
typedef void (*source_sample_t)(void *userdata, const struct source_instance *i, const struct sample *s);

/* -EOPNOTSUPP: this kernel lacks what the source needs (features_reason tells); else negative errno. */
int source_open(const struct source *source, const struct source_params *params, source_sample_t sample, void *userdata,
        struct source_instance **ret);
struct source_instance *source_close(struct source_instance *i); /* NULL in, NULL out */
DEFINE_CLEANUP(struct source_instance *, source_close)
int source_attach(struct source_instance *i);
/* Whether all that ran when it was attached is seen by now, as far as it ever will be: ask again in some ms. */
bool source_is_ready(struct source_instance *i);

/* Handles at most max records that wait in the ring; returns how many it handled (max: there may be more), or negative
 * errno. Call it every 100 ms or so. In between the instance drains itself, from the event loop of struct code, when
 * the programs ask for it: the ring is half full, or a file or page is wanted, which should not wait. */
int source_drain(struct source_instance *i, unsigned max);
int source_ring_fd(const struct source_instance *i); /* epoll-able, borrowed */
int source_flush(struct source_instance *i);
unsigned source_unfinished(
        const struct source_instance *i); /* samples that wait for rows; source_flush tells them as they are */
unsigned source_notes(struct source_instance *i, struct source_note *ret); /* after source_flush */
/* cpu: hertz; heap: bytes a sample. -EOPNOTSUPP where the source has none. */
int source_set_rate(struct source_instance *i, uint64_t rate);
/* Follows CPU hot-plug and the like; call about once a second. */
void source_tick(struct source_instance *i);

const struct source *source_of(const struct source_instance *i);
int64_t source_period(const struct source_instance *i); /* in period_type's unit, as in force now */
uint64_t source_rate(const struct source_instance *i);

/* ---- what it did ------------------------------------------------------------------------------------------------ */

/* Totals since source_open. */
struct source_stats {
	uint64_t samples;          /* delivered */
	uint64_t lost;             /* no room in the ring, or no scratch memory */
	uint64_t truncated;        /* delivered, but the user stack does not reach its root */
	uint64_t bpf_ns, bpf_runs; /* run time of the programs; 0 where the kernel does not account it */
	uint64_t median_ns;        /* of the kernel's time a sample, to a microsecond; older ones fade */
	uint64_t map_bytes;        /* memory of this instance's own maps; the shared ones are code_stats' */
};
void source_stats(struct source_instance *i, struct source_stats *ret);

/* Calls each with every named counter of the programs (totals since source_open). */
void source_counters(
        struct source_instance *i, void (*each)(void *userdata, const char *name, uint64_t value), void *userdata);

/* Calls each with every process that the source does something to; not at all for most sources. */
void source_processes(
        struct source_instance *i, void (*each)(void *userdata, const struct source_process *process), void *userdata);

/* Asks the kernel to account run time of BPF programs while the returned fd is open (about 20 ns a run); negative errno
 * where it cannot. */
int source_accounting_open(void);
