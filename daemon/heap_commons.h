/* What the probing of all processes together may cost beside their own accounts (heap_budget.h): a fraction of one
 * core, less what those are paid. It lends to processes that are paid less than that themselves.
 *
 * What a process leaves of its account when it ends falls to the commons; so does what it owes, as nobody else can pay
 * it: many short ones would otherwise cost without end. But programs that are not to blame should not wait for long
 * until all is paid. So the commons themselves owe no more than half of what they can hold, and what is beyond that is
 * a debt of the program (its executable), whose next processes borrow nothing until half of the commons' income has
 * paid it.
 *
 * Pure: times in, numbers out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "daemon/heap_lessons.h"

/* It holds what so much time brings in. */
#define HEAP_COMMONS_SECONDS 3.0
/* Where more programs have debts, the commons owe more. */
#define HEAP_DEBTORS_MAX 16

struct heap_commons {
	double core_fraction; /* of one core's time: 0.01 is one percent */
	double account_ns;
	double asked_ns; /* since the last step: what all accounts would be paid if nobody had waited for a CPU */
	double ask_rate; /* of that, lately: by time */
	uint64_t last_ns;
	struct heap_debt {
		uint64_t program;
		double ns; /* 0: nobody's */
	} debts[HEAP_DEBTORS_MAX];
	struct heap_lessons lessons;
};

void heap_commons_init(struct heap_commons *c, double core_fraction, uint64_t now_ns);
void heap_commons_step(struct heap_commons *c, uint64_t now_ns);
double heap_commons_max(const struct heap_commons *c);
/* Whether they get anything, as processes' accounts are paid less. */
bool heap_commons_have_income(const struct heap_commons *c);
/* Of what is needed, what there is. */
double heap_commons_lend(struct heap_commons *c, double need_ns);
/* A process of a program ends, with so much in its account or, below 0, owing it. */
void heap_commons_inherit(struct heap_commons *c, uint64_t program, double ns);
bool heap_commons_is_debtor(const struct heap_commons *c, uint64_t program);

/* Moves a rate by time to the mean of the last 2 s. */
void heap_commons_follow(double *rate, double ns, double elapsed_ns);
