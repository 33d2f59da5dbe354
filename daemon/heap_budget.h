/* How much probing one process can bear. Probes cost its CPU time: hits and samples, each at a price that was measured
 * on a process of our own. An account is paid a fraction of the process's CPU time (net of that cost) and charged with
 * it: when it is empty the probes come out, when it has enough again they go back in.
 *
 * What was gathered while they were in is scaled to the whole: by how far the program has come on its own, in all and
 * meanwhile. Attached probes slow it down, ten times where it does little but allocate, so plain times would say far
 * too little, and times net of the probes' cost are a small difference of large numbers. Its time in user mode does not
 * have either fault: what the kernel does for a probe is not in it, only that code runs a little slower right after a
 * trap (user_ns a hit, which is taken off). That time is counted by ticks; with n ticks in a stretch the reciprocal of
 * n + 1 is the unbiased one (Poisson). Where no ticks came, times net of cost have to do. The spread of bytes between
 * the stretches (a ratio estimator: Cochran, Sampling Techniques, 6.4) and all that was taken off give the error that a
 * profile states.
 *
 * Pure: times and counts in, decisions out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct heap_prices {
	double hit_ns, sample_ns;
	double user_ns; /* by which a hit slows the code after it; known roughly */
	double tick_ns; /* what one tick stands for while probes are in */
};

/* Totals of one process since it was first probed. */
struct heap_meter {
	uint64_t cpu_ns; /* of the process, the probes' cost included */
	uint64_t hits, samples;
	uint64_t bytes;   /* of all allocations that the probes saw */
	uint64_t user_ns; /* time in user mode, by ticks */
};

struct heap_budget {
	double fraction; /* 0.03: three percent */
	struct heap_prices prices;
	bool is_attached;

	struct heap_meter last;
	double account_ns;
	/* of the stretch between two deliveries */
	double total_ns, attached_ns; /* of its own CPU time */
	double total_user_ns, attached_user_ns;
	double stretch_bytes, stretch_hits;
	/* of the whole profile window: sums over stretches */
	double sum_total_ns, sum_attached_ns, sum_bytes, sum_bytes2, sum_ns2, sum_bytes_ns, sum_taken_off_ns;
	unsigned stretches;
	double cost_ns; /* of all probing so far */
};

enum heap_verdict { HEAP_STAY, HEAP_ATTACH, HEAP_DETACH };

void heap_budget_init(
        struct heap_budget *b, double fraction, const struct heap_prices *prices, const struct heap_meter *now);
enum heap_verdict heap_budget_step(struct heap_budget *b, const struct heap_meter *now);
/* What the samples since the last call stand for; at least 1. Begins a new stretch. */
double heap_budget_close_stretch(struct heap_budget *b);
/* Relative standard error of the scaled total of the window, from the spread between its stretches; 0 where the probes
 * were in all the time. Begins a new window. */
double heap_budget_close_window(struct heap_budget *b);
