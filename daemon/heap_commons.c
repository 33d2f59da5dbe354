#include "daemon/heap_commons.h"

#include <math.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define RATE_SECONDS 2.0
/* So much of what they can hold the commons may owe themselves. */
#define OWED_MAX 0.5
/* Of the income, where there are debts. */
#define DEBTS_SHARE 0.5

double heap_commons_max(const struct heap_commons *c)
{
	return c->core_fraction * HEAP_COMMONS_SECONDS * (double)NS_PER_SEC;
}

void heap_commons_init(struct heap_commons *c, double core_fraction, uint64_t now_ns)
{
	*c = (struct heap_commons){ .core_fraction = core_fraction, .last_ns = now_ns };
	c->account_ns = heap_commons_max(c);
}

void heap_commons_follow(double *rate, double ns, double elapsed_ns)
{
	if (elapsed_ns > 0)
		*rate += (ns / elapsed_ns - *rate) * -expm1(-elapsed_ns / (RATE_SECONDS * (double)NS_PER_SEC));
}

/* Returns what is left. */
static double pay_debts(struct heap_commons *c, double ns)
{
	for (unsigned i = 0; i < HEAP_DEBTORS_MAX; i++) {
		double paid = MIN(c->debts[i].ns, ns);

		c->debts[i].ns -= paid;
		ns -= paid;
	}
	return ns;
}

void heap_commons_step(struct heap_commons *c, uint64_t now_ns)
{
	double elapsed = (double)(now_ns - c->last_ns), income;

	heap_commons_follow(&c->ask_rate, c->asked_ns, elapsed);
	income = MAX(c->core_fraction - c->ask_rate, 0.0) * elapsed;
	income += pay_debts(c, DEBTS_SHARE * income) - DEBTS_SHARE * income;
	c->account_ns = MIN(c->account_ns + income, heap_commons_max(c));
	c->asked_ns = 0;
	c->last_ns = now_ns;
}

bool heap_commons_have_income(const struct heap_commons *c)
{
	return c->ask_rate < c->core_fraction;
}

double heap_commons_lend(struct heap_commons *c, double need_ns)
{
	double lent = MIN(MAX(need_ns, 0.0), MAX(c->account_ns, 0.0));

	c->account_ns -= lent;
	return lent;
}

static struct heap_debt *debt_of(struct heap_commons *c, uint64_t program)
{
	struct heap_debt *free = NULL;

	for (unsigned i = 0; i < HEAP_DEBTORS_MAX; i++) {
		if (c->debts[i].ns > 0 && c->debts[i].program == program)
			return &c->debts[i];
		if (c->debts[i].ns <= 0)
			free = &c->debts[i];
	}
	if (free)
		*free = (struct heap_debt){ .program = program };
	return free;
}

void heap_commons_inherit(struct heap_commons *c, uint64_t program, double ns)
{
	double max = heap_commons_max(c), beyond;
	struct heap_debt *debt;

	c->account_ns = MIN(c->account_ns + ns, max);
	beyond = MIN(-OWED_MAX * max - c->account_ns, -ns); /* no more than its own */
	if (beyond <= 0)
		return;
	debt = debt_of(c, program);
	if (!debt)
		return;
	debt->ns += beyond;
	c->account_ns += beyond;
}

bool heap_commons_is_debtor(const struct heap_commons *c, uint64_t program)
{
	for (unsigned i = 0; i < HEAP_DEBTORS_MAX; i++)
		if (c->debts[i].ns > 0 && c->debts[i].program == program)
			return true;
	return false;
}
