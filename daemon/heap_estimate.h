/* What one process allocated in all, from the stretches in which its probes were in.
 *
 * Allocations are scaled by how far the program has come on its own, in all and meanwhile. Attached probes slow it
 * down, ten times where it does little but allocate, so plain times would say far too little, and times net of the
 * probes' cost are a small difference of large numbers. Its progress in user mode does not have either fault: what the
 * kernel does for a probe is not in it. Where a PMU counts instructions in user mode, probes add none. Elsewhere it is
 * time in user mode, told by ticks, and code runs slower right after a trap: by u for each hit.
 *
 * How much u is differs from program to program, so it is learned from this one. There are two kinds of stretches:
 * whole ones, with frees, and others with the allocating functions alone, where a call costs about half as many hits.
 * With p for the program's own progress from one allocation to the next and h for hits by allocation, a stretch shows
 * x = p + u * h of user time by allocation: two kinds give both p and u (a line through two points, p is where it meets
 * h = 0). What was measured on a process of our own is a first guess at u, weighed by how far it was found to be off.
 *
 * A program that mostly sleeps, or comes to its end soon, sees hardly any tick: one may fall into the stretch and none
 * beside it. But its probes cost it little, so its CPU time net of that cost is known well. Each window goes by what is
 * known better of the two.
 *
 * Ticks are few in a stretch (chance makes 10 to 20 %), so x is taken from all stretches of a kind, but where stretches
 * differ by more than chance makes, as with a program in phases, from each by as much (James and Stein). Each stretch
 * is scaled by itself, as one ends when its hits have cost enough: all put together would weigh phases with many hits
 * too little (a separate ratio estimator: Cochran, Sampling Techniques, 6.10). But one that saw next to nothing, as its
 * probes had hardly come in when the account was empty, would make a single sample stand for a second or two: it is
 * taken together with the next one.
 *
 * A stretch stands for its time, but where stretches are alike in x, what one that saw little has seen is not worth
 * more for that: all are put together then (a combined ratio estimator), and shares of stacks are as certain as what
 * was seen in all can make them.
 *
 * The error: what the total moves when x of each kind, the first guess, and what is not known of u are moved by their
 * standard errors, and how much the bytes differ from stretch to stretch. As the total is a reciprocal of the program's
 * progress, it moves up further than down: by half the difference it is too high in the mean, which is taken off.
 *
 * Pure: counts in, numbers out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum heap_stretch_kind {
	HEAP_STRETCH_WHOLE, /* frees, too */
	HEAP_STRETCH_CALLS, /* the allocating functions alone */
	HEAP_STRETCH_KINDS,
};

struct heap_user_price {
	double ns;       /* by which a hit slows the code after it; 0 where progress does not know of it */
	double error_ns; /* standard error of that */
	double least_ns; /* it is not less, whatever program it is */
	double tick;     /* progress that one tick stands for while probes are in, if as many come as can */
	double tick_out; /* and where none are */
};

/* Of some time: counts, and what was seen of them while the probes were in. */
struct heap_stretch {
	double total_ns, attached_ns; /* of the program's own CPU time, net of what the probes took */
	double cost_ns;               /* that, meanwhile, at a price that may be off */
	double total, attached;       /* progress */
	double chance;                /* variance of attached, from how many ticks told it */
	double hits, calls, bytes;    /* seen */
	enum heap_stretch_kind kind;
};

#define HEAP_STRETCHES_MAX 32

/* Of one kind, in the last some dozen stretches. */
struct heap_kind {
	double n, attached, chance, calls, hits, attached2, calls2, attached_calls;
};

struct heap_estimate {
	struct heap_user_price price;
	struct heap_stretch now;
	struct heap_stretch stretches[HEAP_STRETCHES_MAX]; /* that are over, of this window */
	double told[HEAP_STRETCHES_MAX];                   /* with the scale that was given for each */
	unsigned n;
	double last_own; /* progress of the program's own with the probes in, in the last stretch that is over */
	double unfollowed, unfollowed_ns; /* in all stretches without frees since the last one with them */
	struct heap_kind learned[HEAP_STRETCH_KINDS];
};

void heap_estimate_init(struct heap_estimate *e, const struct heap_user_price *price);
/* Adds to the stretch that goes on. */
void heap_estimate_add(struct heap_estimate *e, const struct heap_stretch *more);

struct heap_scale {
	double allocated, in_use; /* what was seen stands for so many times as much; at least 1 */
};
/* The stretch is over: what it seems to stand for by what is known now; heap_estimate_close_window() says how that must
 * be mended. Where the probes were not in meanwhile, the time goes on to count for the stretch to come, and both are 1.
 * One that was over too soon to speak for all of its time goes on in the next one, with what it has seen: both are 0.
 * is_last: of its window; then it goes on in the one before. With HEAP_STRETCHES_MAX stretches the window is full:
 * close it. */
struct heap_scale heap_estimate_close_stretch(struct heap_estimate *e, bool is_last);
bool heap_estimate_is_full(const struct heap_estimate *e);

struct heap_window {
	double factor; /* by which all that was scaled in the window is multiplied */
	/* Where its stretches are alike, one that saw much says more than one that saw little: what was allocated is
	 * what was seen, not scaled, times this. 0: they are not. */
	double seen_factor;
	/* Relative error of the total beside that of sampling which 95 of 100 windows keep within; 0 where the probes
	 * were in all the time. Above HEAP_ERROR_MAX it is as good as not known. */
	double error;
	bool is_by_time; /* told by CPU time net of the probes' price: what that is off by is much the same in all
	                    processes */
};
#define HEAP_ERROR_MAX 1.0
void heap_estimate_close_window(struct heap_estimate *e, struct heap_window *ret);

/* What a hit slows the code after it, as far as it was learned. */
double heap_estimate_user_ns(const struct heap_estimate *e);
