/* How much probing one process can bear. Probes cost its CPU time: hits and samples, each at a price that was measured
 * on a process of our own. An account is paid a fraction of the process's CPU time (net of that cost) and charged with
 * the cost: when it is empty the probes come out, when it has enough again they go back in. It holds what some seconds
 * pay, so no ten seconds cost much more than the budget, and when they go back in is drawn by lot, so that stretches do
 * not keep step with the program. All processes together have a commons besides, which is paid a small fraction of one
 * core and lends to whose account is empty: so that programs that mostly sleep, or have just begun, are seen whole.
 *
 * What was gathered while they were in is scaled to the whole: by how far the program has come on its own, in all and
 * meanwhile. Attached probes slow it down, ten times where it does little but allocate, so plain times would say far
 * too little, and times net of the probes' cost are a small difference of large numbers. Its progress in user mode does
 * not have either fault: what the kernel does for a probe is not in it. Where a PMU counts instructions in user mode,
 * probes add none. Elsewhere it is time in user mode, and code runs a little slower right after a trap: by user_ns a
 * hit, which is taken off. Progress is counted by ticks; with n ticks in a stretch the reciprocal of n + 1 is the
 * unbiased one (Poisson). Where no ticks came, times net of cost have to do.
 *
 * Each stretch is scaled by itself, as a stretch ends when its hits have cost enough: all put together would weigh
 * phases with many hits too little (a separate ratio estimator: Cochran, Sampling Techniques, 6.10). How bytes by
 * progress differ from stretch to stretch, and how well user_ns is known, give the error that a profile states.
 *
 * Pure: times and counts in, decisions out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct heap_prices {
	double hit_ns, sample_ns;
	double user_ns;       /* by which a hit slows the code after it; 0 where progress does not know of it */
	double user_error_ns; /* so far may user_ns be from the truth, for 95 of 100 programs */
	double tick;          /* progress that one tick stands for while many are counted */
};

/* Totals of one process since it was first probed. */
struct heap_meter {
	uint64_t time_ns; /* monotonic */
	uint64_t cpu_ns;  /* of the process, the probes' cost included */
	uint64_t hits, samples;
	uint64_t bytes;    /* of all allocations that the probes saw */
	uint64_t progress; /* in user mode, by ticks: nanoseconds or instructions */
};

/* What all processes have in common. */
struct heap_commons {
	double core_fraction; /* of one core's time: 0.01 is one percent */
	double account_ns;
	uint64_t last_ns;
};

void heap_commons_init(struct heap_commons *c, double core_fraction, uint64_t now_ns);
void heap_commons_step(struct heap_commons *c, uint64_t now_ns);

struct heap_budget {
	double fraction; /* of its CPU time: 0.03 is three percent */
	struct heap_commons *commons;
	struct heap_prices prices;
	bool is_attached;

	struct heap_meter last;
	double account_ns, pay_rate, resume_at;
	uint32_t random;
	/* of the stretch: from one time the probes went in to the next */
	double total_ns, attached_ns; /* of its own CPU time */
	double total_progress, attached_progress;
	double stretch_bytes, stretch_hits;
	/* of the whole profile window: sums over stretches */
	double sum_total, sum_total2, sum_attached, sum_estimate, sum_estimate2, sum_estimate_total, sum_unsure;
	unsigned stretches;
	double cost_ns, paid_ns; /* of all probing so far; what was allowed for it */
};

enum heap_verdict { HEAP_STAY, HEAP_ATTACH, HEAP_DETACH };

/* commons is borrowed for the budget's life. */
void heap_budget_init(struct heap_budget *b, double fraction, struct heap_commons *commons,
        const struct heap_prices *prices, const struct heap_meter *now);
/* The process is gone: what it owes falls to the commons. */
void heap_budget_end(struct heap_budget *b);
/* Whether the probes may go in now, out of turn: for a process that is new. */
bool heap_budget_may_attach(const struct heap_budget *b);
enum heap_verdict heap_budget_step(struct heap_budget *b, const struct heap_meter *now);
/* What the samples since the last call stand for; at least 1. Begins a new stretch; where the probes were not in since
 * the last call, the time goes on to count for the stretch to come. */
double heap_budget_close_stretch(struct heap_budget *b);
/* Relative error of the scaled total of the window beside that of sampling, which 95 of 100 windows keep within: from
 * the spread between its stretches and the prices; 0 where the probes were in all the time. Begins a new window. */
double heap_budget_close_window(struct heap_budget *b);
