#include "daemon/heap_budget.h"

#include <math.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* The account holds at most what this much CPU time pays, so no burst costs more than that; probes go back in when it
 * holds a good part of it, as taking them in and out has a price of its own. */
#define ACCOUNT_SECONDS 2.0
#define RESUME_FRACTION 0.15

/* However many hits there were, so much of the time in user mode was the program's own. */
#define OWN_FRACTION_MIN 0.25

static double account_max(const struct heap_budget *b)
{
	return b->fraction * ACCOUNT_SECONDS * (double)NS_PER_SEC;
}

void heap_budget_init(
        struct heap_budget *b, double fraction, const struct heap_prices *prices, const struct heap_meter *now)
{
	*b = (struct heap_budget){ .fraction = fraction, .prices = *prices, .last = *now };
	b->account_ns = account_max(b) / 2;
}

enum heap_verdict heap_budget_step(struct heap_budget *b, const struct heap_meter *now)
{
	double cpu = (double)(now->cpu_ns - b->last.cpu_ns);
	double cost = (double)(now->hits - b->last.hits) * b->prices.hit_ns +
	              (double)(now->samples - b->last.samples) * b->prices.sample_ns;
	double own = MAX(cpu - cost, 0.0), user = (double)(now->user_ns - b->last.user_ns);

	b->cost_ns += cost;
	b->total_ns += own;
	b->total_user_ns += user;
	if (b->is_attached) {
		b->attached_ns += own;
		b->attached_user_ns += user;
		b->stretch_hits += (double)(now->hits - b->last.hits);
		b->stretch_bytes += (double)(now->bytes - b->last.bytes);
	}
	b->last = *now;
	b->account_ns = MIN(b->account_ns + b->fraction * own - cost, account_max(b));
	if (b->is_attached && b->account_ns < 0)
		return HEAP_DETACH;
	if (!b->is_attached && b->account_ns >= RESUME_FRACTION * account_max(b))
		return HEAP_ATTACH;
	return HEAP_STAY;
}

/* How far the program came in the stretch, in all and while the probes were in. */
static void progress(struct heap_budget *b, double *ret_total, double *ret_attached)
{
	double raw = b->attached_user_ns + b->prices.tick_ns, taken_off;

	if (b->total_user_ns <= 0 || b->attached_ns <= 0) {
		*ret_total = b->total_user_ns > 0 ? b->total_user_ns : b->total_ns;
		*ret_attached = b->attached_ns;
		return;
	}
	taken_off = MIN(b->stretch_hits * b->prices.user_ns, (1 - OWN_FRACTION_MIN) * raw);
	b->sum_taken_off_ns += taken_off;
	*ret_total = b->total_user_ns - taken_off;
	*ret_attached = raw - taken_off;
}

double heap_budget_close_stretch(struct heap_budget *b)
{
	double total, attached, scale;

	progress(b, &total, &attached);
	scale = attached > 0 && total > attached ? total / attached : 1;
	b->sum_total_ns += total;
	if (attached > 0) {
		b->stretches++;
		b->sum_attached_ns += attached;
		b->sum_bytes += b->stretch_bytes;
		b->sum_bytes2 += b->stretch_bytes * b->stretch_bytes;
		b->sum_ns2 += attached * attached;
		b->sum_bytes_ns += b->stretch_bytes * attached;
	}
	b->total_ns = b->attached_ns = b->total_user_ns = b->attached_user_ns = b->stretch_bytes = b->stretch_hits = 0;
	return scale;
}

double heap_budget_close_window(struct heap_budget *b)
{
	double n = b->stretches, error = 0;

	if (n > 1 && b->sum_bytes > 0 && b->sum_total_ns > b->sum_attached_ns) {
		double ratio = b->sum_bytes / b->sum_attached_ns;
		double covered = b->sum_attached_ns / b->sum_total_ns;
		double squares = b->sum_bytes2 - 2 * ratio * b->sum_bytes_ns + ratio * ratio * b->sum_ns2;

		error = sqrt(MAX(squares, 0.0) / (n - 1) * n * (1 - covered)) / b->sum_bytes;
		error = hypot(error, b->sum_taken_off_ns / b->sum_attached_ns);
	} else if (n == 1 && b->sum_total_ns > b->sum_attached_ns) {
		error = 1; /* one look says nothing of its spread */
	}
	b->sum_total_ns = b->sum_attached_ns = b->sum_bytes = b->sum_bytes2 = b->sum_ns2 = b->sum_bytes_ns =
	        b->sum_taken_off_ns = 0;
	b->stretches = 0;
	return error;
}
