#include "daemon/heap_budget.h"

#include <math.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* The account holds what this much time pays at most, at the pace of the last ones; probes go back in when it
 * holds a part of it that is drawn anew each time: few and long stretches, as taking probes in and out has a price of
 * its own, but never so long that ten seconds cost more than half as much again as they pay. */
#define ACCOUNT_SECONDS HEAP_COMMONS_SECONDS
#define BEFORE_SECONDS 2.0 /* for so long a process is taken to have slept before it began */
#define RESUME_MIN 0.4
#define RESUME_MAX 1.0
/* What it would cost with the probes in all the time: how busy it is goes by so many last seconds, and what they cost
 * by so much of its own time with them in, or half of that. */
#define BUSY_SECONDS 10.0
#define BURDEN_OWN_NS (1.0 * NS_PER_SEC)

/* What is not known of a program's price of a hit before it is learned; and of one that has just begun, as so much of
 * what it needs is not in the caches yet (bench/README.md, bench/heap). */
#define PRICE_MARGIN 1.5
#define YOUNG_MARGIN 0.3
/* It is learned from so many hits, and is not believed to be less than our own process's, or so much more. */
#define LESSON_HITS_MIN 20000.0
#define LESSON_HITS_MAX 1000000.0
#define LEARNED_MAX 4.0

/* Probes on allocating functions alone come out after so long even if they could stay: those on frees, too, might. */
#define CALLS_ALONE_NS_MAX (3 * NS_PER_SEC)

static double account_max(const struct heap_budget *b)
{
	return b->known > 0 ? b->pay_rate / b->known * ACCOUNT_SECONDS * (double)NS_PER_SEC : 0;
}

/* What it would cost, by time, if the probes were in all the time. Not by the time that they are in, as they stay in
 * where it sleeps, and come out where it does not. */
static double whole_rate(const struct heap_budget *b)
{
	const struct heap_burden *u = &b->burden;
	double busy = u->wanted / (u->time + BEFORE_SECONDS * (double)NS_PER_SEC);

	return u->in_own > 0 ? u->in_cost / u->in_own * busy : 0;
}

bool heap_budget_may_borrow(const struct heap_budget *b)
{
	double most = b->commons->core_fraction;

	return b->ask_rate < most && whole_rate(b) < most && !heap_commons_is_debtor(b->commons, b->program);
}

static double draw(struct heap_budget *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 17;
	b->random ^= b->random << 5;
	return b->random / 4294967296.0;
}

static void draw_resume(struct heap_budget *b)
{
	b->resume_at = RESUME_MIN + (RESUME_MAX - RESUME_MIN) * draw(b);
}

enum heap_stretch_kind heap_budget_next_kind(struct heap_budget *b)
{
	if (b->is_kind_due) {
		b->is_kind_due = false;
		return HEAP_STRETCH_WHOLE + HEAP_STRETCH_CALLS - b->kind;
	}
	b->is_kind_due = true;
	return draw(b) < 0.5 ? HEAP_STRETCH_WHOLE : HEAP_STRETCH_CALLS;
}

/* As far as it is known by now. */
static double likely_hit_ns(const struct heap_budget *b)
{
	const struct heap_lesson *l = &b->lesson;
	double own, known = b->prices.hit_ns;

	if (l->in_hits < LESSON_HITS_MIN || l->out_progress <= 0 || l->in_own <= 0)
		return known;
	own = l->in_own * l->out_cpu / l->out_progress;
	return MIN(MAX((l->in_cpu - own) / l->in_hits, known), LEARNED_MAX * known);
}

double heap_budget_hit_ns(const struct heap_budget *b)
{
	double likely = likely_hit_ns(b), margin = PRICE_MARGIN + YOUNG_MARGIN * (1 - b->known);

	return b->taught_hits >= LESSON_HITS_MIN ? likely : MAX(likely, margin * b->prices.hit_ns);
}

void heap_budget_init(struct heap_budget *b, double fraction, struct heap_commons *commons,
        const struct heap_prices *prices, const struct heap_meter *now, uint64_t age_ns)
{
	double seconds = (double)age_ns / (double)NS_PER_SEC + BEFORE_SECONDS;
	double by_time = fraction / (seconds * (double)NS_PER_SEC);
	double lately = age_ns > 0 ? MIN(BUSY_SECONDS * (double)NS_PER_SEC / (double)age_ns, 1.0) : 0;

	*b = (struct heap_budget){
		.fraction = fraction,
		.commons = commons,
		.prices = *prices,
		.last = *now,
		.random = (uint32_t)now->time_ns | 1,
		.known = 1 - BEFORE_SECONDS / seconds,
		.pay_rate = by_time * (double)now->cpu_ns,
		.ask_rate = by_time * (double)(now->cpu_ns + now->denied_ns),
		.burden = { .time = lately * (double)age_ns,
		        .wanted = lately * (double)(now->cpu_ns + now->denied_ns) },
	};
	heap_estimate_init(&b->estimate, &prices->user);
	draw_resume(b);
	if (!heap_budget_may_borrow(b))
		b->account_ns = b->paid_ns = b->resume_at * account_max(b);
}

void heap_budget_set_program(struct heap_budget *b, uint64_t program)
{
	if (program == b->program)
		return;
	b->program = program;
	b->lesson = heap_lessons_recall(&b->commons->lessons, program);
	b->stretch_cpu = b->stretch_hits = b->taught_hits = 0;
}

void heap_budget_end(struct heap_budget *b)
{
	heap_lessons_keep(&b->commons->lessons, b->program, &b->lesson);
	heap_commons_inherit(b->commons, b->program, b->account_ns);
	b->account_ns = 0;
}

/* Whether so much of what may be held is there: by the process alone where it gets nothing else, or with the commons.
 * Both are never full but where the process does little: else the commons get nothing. */
static bool has(const struct heap_budget *b, double part)
{
	bool may_borrow = heap_budget_may_borrow(b);
	double most = account_max(b);

	if ((!may_borrow || !heap_commons_have_income(b->commons)) && b->account_ns > 0 && b->account_ns >= part * most)
		return true;
	return may_borrow && b->account_ns + b->commons->account_ns >= part * MAX(most, heap_commons_max(b->commons));
}

bool heap_budget_may_attach(const struct heap_budget *b)
{
	return has(b, RESUME_MIN);
}

static void pay(struct heap_budget *b, double elapsed, double own, double denied, double cost)
{
	double paid = b->fraction * own, asked = b->fraction * (own + denied), lent = 0;

	heap_commons_follow(&b->known, elapsed, elapsed);
	heap_commons_follow(&b->pay_rate, paid, elapsed);
	heap_commons_follow(&b->ask_rate, asked, elapsed);
	b->account_ns = MIN(b->account_ns + paid - cost, account_max(b));
	if (heap_budget_may_borrow(b))
		lent = heap_commons_lend(b->commons, -b->account_ns);
	b->account_ns += lent;
	b->commons->asked_ns += asked;
	b->paid_ns += paid + lent;
	b->cost_ns += cost;
}

static void weigh(struct heap_budget *b, double elapsed, double own, double denied, double cost)
{
	struct heap_burden *u = &b->burden;
	double keep;

	u->time += elapsed;
	u->wanted += own + denied;
	keep = MIN(BUSY_SECONDS * (double)NS_PER_SEC / u->time, 1.0);
	u->time *= keep;
	u->wanted *= keep;
	if (!b->is_attached)
		return;
	u->in_own += own;
	u->in_cost += cost;
	if (u->in_own > BURDEN_OWN_NS) {
		u->in_own /= 2;
		u->in_cost /= 2;
	}
}

static void learn(struct heap_budget *b, double cpu, double hits, double others_ns, double progress, double cost)
{
	struct heap_lesson *l = &b->lesson;

	if (b->is_attached) {
		b->stretch_cpu += cpu - others_ns;
		b->stretch_hits += hits;
	} else { /* hits there are of probes that go in or out */
		l->out_cpu += MAX(cpu - cost, 0.0);
		l->out_progress += progress;
	}
}

/* But for hits. */
static double others_cost(const struct heap_budget *b, const struct heap_meter *now)
{
	return (double)(now->samples - b->last.samples) * b->prices.sample_ns +
	       (double)(now->ticks - b->last.ticks) * b->prices.tick_ns;
}

double heap_budget_cost_ns(const struct heap_budget *b, const struct heap_meter *now)
{
	return (double)(now->hits - b->last.hits) * heap_budget_hit_ns(b) + others_cost(b, now);
}

enum heap_verdict heap_budget_step(struct heap_budget *b, const struct heap_meter *now)
{
	double cpu = (double)(now->cpu_ns - b->last.cpu_ns), hits = (double)(now->hits - b->last.hits);
	double others_ns = others_cost(b, now), cost = heap_budget_cost_ns(b, now), own = MAX(cpu - cost, 0.0);
	double likely = others_ns + hits * likely_hit_ns(b);
	double progress = (double)(now->progress - b->last.progress);
	double elapsed = (double)(now->time_ns - b->last.time_ns);
	double denied = (double)(now->denied_ns - b->last.denied_ns);
	struct heap_stretch more = { .total_ns = MAX(cpu - likely, 0.0), .total = progress };

	if (b->is_attached) {
		more.attached_ns = more.total_ns;
		more.cost_ns = likely;
		more.attached = progress;
		more.chance = progress * now->tick;
		more.hits = hits;
		more.calls = (double)(now->calls - b->last.calls);
		more.bytes = (double)(now->bytes - b->last.bytes);
		more.kind = b->kind;
	}
	heap_estimate_add(&b->estimate, &more);
	if (now->is_cpu_guessed)
		b->stretch_cpu = b->stretch_hits = 0; /* it would teach that its own code takes no time */
	else
		learn(b, cpu, hits, others_ns, progress, cost);
	weigh(b, elapsed, own, denied, cost);
	pay(b, elapsed, own, denied, cost);
	b->stretch_ns = b->is_attached ? b->stretch_ns + now->time_ns - b->last.time_ns : 0;
	b->last = *now;
	if (b->is_attached && b->kind == HEAP_STRETCH_CALLS && b->stretch_ns > CALLS_ALONE_NS_MAX) {
		b->is_kind_due = true;
		return HEAP_DETACH;
	}
	if (b->is_attached && b->account_ns < 0) {
		draw_resume(b);
		return HEAP_DETACH;
	}
	if (!b->is_attached && has(b, b->resume_at))
		return HEAP_ATTACH;
	return HEAP_STAY;
}

struct heap_scale heap_budget_close_stretch(struct heap_budget *b, bool is_last)
{
	struct heap_lesson *l = &b->lesson;
	struct heap_scale scale = heap_estimate_close_stretch(&b->estimate, is_last);

	if (b->stretch_hits <= 0 || b->estimate.now.hits > 0)
		return scale;
	l->in_cpu += b->stretch_cpu;
	l->in_hits += b->stretch_hits;
	b->taught_hits += b->stretch_hits;
	l->in_own += b->estimate.last_own;
	b->stretch_cpu = b->stretch_hits = 0;
	if (l->in_hits > LESSON_HITS_MAX)
		*l = (struct heap_lesson){ l->in_cpu / 2, l->in_hits / 2, l->in_own / 2, l->out_cpu / 2,
			l->out_progress / 2 };
	heap_lessons_keep(&b->commons->lessons, b->program, l);
	return scale;
}
