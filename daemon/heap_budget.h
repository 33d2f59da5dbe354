/* How much probing one process can bear. Probes cost its CPU time: hits, samples and ticks, each at a price that was
 * measured on a process of our own. An account is paid a fraction of the process's CPU time (net of that cost) and
 * charged with the cost: when it is empty the probes come out, when it has enough again they go back in. It holds what
 * some seconds pay, so no ten seconds cost much more than the budget, and when they go back in is drawn by lot, so that
 * stretches do not keep step with the program. All processes together have a commons besides (heap_commons.h), which
 * lends to whose account is empty: so that programs that mostly sleep, or have just begun, are seen whole. It is paid a
 * small fraction of one core, less what is paid to the processes' own accounts, and lends nothing to a process that is
 * paid as much: a program that keeps a CPU busy lives on what is paid to itself. So does one that would cost more than
 * the commons get if its probes were in all the time: they would not make it be seen whole, only slow it down more. One
 * that waits for a CPU does not sleep: it counts as if it had got it, for it would pay with the little time that it
 * gets.
 *
 * What a hit costs is learned from the program itself where its probes come out now and then: its CPU time with them
 * in, less what its own progress meanwhile takes when they are out, by hits; the next process of the program goes on
 * with that (heap_lessons.h). Before that is known, and where they never come out, the price from our own process has
 * to do, with a margin, which is greater for what has just begun: our process finds all of its code and data in the
 * nearest caches after a hit, a program that is larger does not. What was learned from other processes of the program
 * makes it dearer, never cheaper than that: of short ones only pieces are seen, and how much slower their own code runs
 * is not.
 *
 * Pure: times and counts in, decisions out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "daemon/heap_commons.h"
#include "daemon/heap_estimate.h"
#include "daemon/heap_lessons.h"

struct heap_prices {
	double hit_ns, sample_ns, tick_ns;
	struct heap_user_price user;
};

/* Totals of one process since it was first probed. */
struct heap_meter {
	uint64_t time_ns;              /* monotonic */
	uint64_t cpu_ns;               /* of the process, the probes' cost included */
	bool is_cpu_guessed;           /* as it has ended: what it used on its own since the last time is not in it */
	uint64_t denied_ns;            /* that it would have used if it had not waited for a CPU */
	uint64_t hits, samples, calls; /* calls: of allocating functions, while the gate was open */
	uint64_t bytes;                /* of those calls */
	uint64_t frees, ticks;
	uint64_t progress; /* in user mode, by ticks: nanoseconds or instructions */
	double tick;       /* progress that one of the last ones stands for */
};

struct heap_budget {
	double fraction; /* of its CPU time: 0.03 is three percent */
	struct heap_commons *commons;
	uint64_t program; /* tells its executable from others */
	struct heap_prices prices;
	bool is_attached;
	enum heap_stretch_kind kind; /* of the stretch, where they are in */

	struct heap_meter last;
	double account_ns, pay_rate, resume_at;
	double known;    /* so much of pay_rate's mean is of time that it is known for: 0 for one that has just begun */
	double ask_rate; /* what it would be paid if it had not waited for a CPU, by time */
	struct heap_burden {
		double time, wanted;    /* lately; of that, so long it would have run */
		double in_own, in_cost; /* lately, with the probes in: own CPU time, and what they cost */
	} burden;
	uint32_t random;
	bool is_kind_due;              /* the kind that was not drawn last time */
	uint64_t stretch_ns;           /* for so long they are in by now */
	struct heap_estimate estimate; /* fed by heap_budget_step() */
	struct heap_lesson lesson;
	double stretch_cpu, stretch_hits; /* for it, of the stretch that goes on */
	double taught_hits;               /* that the process itself gave to it */
	double cost_ns, paid_ns;          /* of all probing so far; what was allowed for it */
};

enum heap_verdict { HEAP_STAY, HEAP_ATTACH, HEAP_DETACH };

/* commons is borrowed for the budget's life; age_ns: for so long the process has run, and now says what it used so far.
 * One that was busy begins with what it would have in its account. */
void heap_budget_init(struct heap_budget *b, double fraction, struct heap_commons *commons,
        const struct heap_prices *prices, const struct heap_meter *now, uint64_t age_ns);
/* It runs this program now, of which the commons may have learned something. */
void heap_budget_set_program(struct heap_budget *b, uint64_t program);
/* The process is gone: what it has left, or owes, falls to the commons. */
void heap_budget_end(struct heap_budget *b);
/* Whether the commons are open to it: it is not paid as much itself, nor would be if it had not waited for a CPU, and
 * they can bear its probes all the time. */
bool heap_budget_may_borrow(const struct heap_budget *b);
/* Whether the probes may go in now, out of turn: for a process that is new. */
bool heap_budget_may_attach(const struct heap_budget *b);
enum heap_verdict heap_budget_step(struct heap_budget *b, const struct heap_meter *now);
/* As heap_estimate_close_stretch(); learns what a hit costs. */
struct heap_scale heap_budget_close_stretch(struct heap_budget *b, bool is_last);
/* Which kind the next stretch is to be: by lot, but both alike often. */
enum heap_stretch_kind heap_budget_next_kind(struct heap_budget *b);
/* What a hit is taken to cost, and what was counted since the last step. */
double heap_budget_hit_ns(const struct heap_budget *b);
double heap_budget_cost_ns(const struct heap_budget *b, const struct heap_meter *now);
