#include "daemon/heap_budget.h"

#include <math.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* The account holds what this much time pays at most, at the pace of the last RATE_SECONDS; probes go back in when it
 * holds a part of it that is drawn anew each time: few and long stretches, as taking probes in and out has a price of
 * its own, but never so long that ten seconds cost more than half as much again as they pay. */
#define ACCOUNT_SECONDS 3.0
#define RATE_SECONDS 2.0
#define RESUME_MIN 0.4
#define RESUME_MAX 1.0

/* However many hits there were, so much of the progress was the program's own. */
#define OWN_FRACTION_MIN 0.25

static double commons_max(const struct heap_commons *c)
{
	return c->core_fraction * ACCOUNT_SECONDS * (double)NS_PER_SEC;
}

void heap_commons_init(struct heap_commons *c, double core_fraction, uint64_t now_ns)
{
	*c = (struct heap_commons){ .core_fraction = core_fraction, .last_ns = now_ns };
	c->account_ns = commons_max(c);
}

void heap_commons_step(struct heap_commons *c, uint64_t now_ns)
{
	c->account_ns = MIN(c->account_ns + c->core_fraction * (double)(now_ns - c->last_ns), commons_max(c));
	c->last_ns = now_ns;
}

static double account_max(const struct heap_budget *b)
{
	return b->pay_rate * ACCOUNT_SECONDS * (double)NS_PER_SEC;
}

static void draw_resume(struct heap_budget *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 17;
	b->random ^= b->random << 5;
	b->resume_at = RESUME_MIN + (RESUME_MAX - RESUME_MIN) * (b->random / 4294967296.0);
}

void heap_budget_init(struct heap_budget *b, double fraction, struct heap_commons *commons,
        const struct heap_prices *prices, const struct heap_meter *now)
{
	*b = (struct heap_budget){
		.fraction = fraction,
		.commons = commons,
		.prices = *prices,
		.last = *now,
		.random = (uint32_t)now->time_ns | 1,
	};
	draw_resume(b);
}

void heap_budget_end(struct heap_budget *b)
{
	b->commons->account_ns += MIN(b->account_ns, 0.0);
	b->account_ns = 0;
}

bool heap_budget_may_attach(const struct heap_budget *b)
{
	return b->account_ns + b->commons->account_ns > RESUME_MIN * commons_max(b->commons);
}

static void pay(struct heap_budget *b, double elapsed, double own, double cost)
{
	double paid = b->fraction * own, lent;

	if (elapsed > 0)
		b->pay_rate += (paid / elapsed - b->pay_rate) * -expm1(-elapsed / (RATE_SECONDS * (double)NS_PER_SEC));
	b->account_ns = MIN(b->account_ns + paid - cost, account_max(b));
	lent = MIN(MAX(-b->account_ns, 0.0), MAX(b->commons->account_ns, 0.0));
	b->account_ns += lent;
	b->commons->account_ns -= lent;
	b->paid_ns += paid + lent;
	b->cost_ns += cost;
}

enum heap_verdict heap_budget_step(struct heap_budget *b, const struct heap_meter *now)
{
	double cpu = (double)(now->cpu_ns - b->last.cpu_ns), hits = (double)(now->hits - b->last.hits);
	double cost = hits * b->prices.hit_ns + (double)(now->samples - b->last.samples) * b->prices.sample_ns;
	double own = MAX(cpu - cost, 0.0), progress = (double)(now->progress - b->last.progress);

	b->total_ns += own;
	b->total_progress += progress;
	if (b->is_attached) {
		b->attached_ns += own;
		b->attached_progress += progress;
		b->stretch_hits += hits;
		b->stretch_bytes += (double)(now->bytes - b->last.bytes);
	}
	pay(b, (double)(now->time_ns - b->last.time_ns), own, cost);
	b->last = *now;
	if (b->is_attached && b->account_ns < 0) {
		draw_resume(b);
		return HEAP_DETACH;
	}
	if (!b->is_attached &&
	        b->account_ns + b->commons->account_ns >= b->resume_at * (account_max(b) + commons_max(b->commons)))
		return HEAP_ATTACH;
	return HEAP_STAY;
}

/* How far the program came in the stretch, in all and while the probes were in. */
static void progress_of(const struct heap_budget *b, double *ret_total, double *ret_attached)
{
	double raw = b->attached_progress + b->prices.tick, taken_off;

	if (b->total_progress <= 0) {
		*ret_total = b->total_ns;
		*ret_attached = b->attached_ns;
		return;
	}
	taken_off = MIN(b->stretch_hits * b->prices.user_ns, (1 - OWN_FRACTION_MIN) * raw);
	*ret_total = b->total_progress - taken_off;
	*ret_attached = raw - taken_off;
}

static void add_up(struct heap_budget *b, double total, double attached, double scale)
{
	double estimate = scale * b->stretch_bytes;

	b->stretches++;
	b->sum_total += total;
	b->sum_total2 += total * total;
	b->sum_attached += MIN(attached, total);
	b->sum_estimate += estimate;
	b->sum_estimate2 += estimate * estimate;
	b->sum_estimate_total += estimate * total;
	b->sum_unsure += estimate * b->stretch_hits * b->prices.user_error_ns / attached;
}

static void begin_stretch(struct heap_budget *b)
{
	b->total_ns = b->attached_ns = b->total_progress = b->attached_progress = 0;
	b->stretch_bytes = b->stretch_hits = 0;
}

double heap_budget_close_stretch(struct heap_budget *b)
{
	double total, attached, scale;

	if (b->attached_ns <= 0 && b->attached_progress <= 0 && b->stretch_hits <= 0)
		return 1;
	progress_of(b, &total, &attached);
	scale = attached > 0 && total > attached ? total / attached : 1;
	if (attached > 0)
		add_up(b, total, attached, scale);
	begin_stretch(b);
	return scale;
}

/* Two standard errors hold for 95 of 100 windows when their variance is known; from n stretches it is itself a guess:
 * about Student's t for n - 1 degrees of freedom. */
static double spread(const struct heap_budget *b)
{
	double n = b->stretches, rate = b->sum_estimate / b->sum_total;
	double squares = b->sum_estimate2 - 2 * rate * b->sum_estimate_total + rate * rate * b->sum_total2;
	double covered = b->sum_attached / b->sum_total;

	return 2 * (1 + 1.5 / (n - 1)) * sqrt(MAX(squares, 0.0) * n / (n - 1) * (1 - covered)) / b->sum_estimate;
}

double heap_budget_close_window(struct heap_budget *b)
{
	double error = 0;

	if (b->sum_estimate > 0 && b->sum_total > b->sum_attached) {
		/* one look says nothing of its spread: nothing at all may have happened else, or as much again */
		error = b->stretches > 1 ? spread(b) : b->sum_total / b->sum_attached - 1;
		error = hypot(error, b->sum_unsure / b->sum_estimate);
	}
	b->sum_total = b->sum_total2 = b->sum_attached = b->sum_unsure = 0;
	b->sum_estimate = b->sum_estimate2 = b->sum_estimate_total = 0;
	b->stretches = 0;
	begin_stretch(b);
	return error;
}
