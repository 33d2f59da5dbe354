#include "daemon/heap_estimate.h"

#include <math.h>
#include <string.h>

#include "base/cleanup.h"

/* However many hits there were, so much of the progress was the program's own. */
#define OWN_FRACTION_MIN 0.1
/* So many stretches of each kind are remembered for what a hit costs. */
#define LEARNED_STRETCHES 48.0
/* What a free and an allocation cost the code after them differs by so much of it (standard error). */
#define KINDS_DIFFER 0.25
/* And what the program does on its own takes it so much more or less time while probes are in (standard error): its
 * threads, for one, are in each other's way less (bench/heap-bias). */
#define OWN_DIFFERS 0.08
/* Hits by call of the two kinds that are too alike to learn from. */
#define KINDS_APART_MIN 0.2
/* Stretches that differ up to so many times as much as chance makes them (mean square) are taken for alike. */
#define CHANCE 2.0
#define MIN_FOR_SPREAD 3
/* A stretch is too short where it would stand for so many times as much as the others of its window do, if there are
 * as many. */
#define SHORT_SCALE 25.0
#define SHORT_OTHERS 2
/* By so much of it stretches may differ in what an allocation takes (standard deviation, beyond chance) and be alike.
 */
#define ALIKE 0.3
/* What probes are taken to cost is off by so much of it (standard error): before it is learned a program may differ,
 * and one that wakes up for each hit pays several times as much as one whose probes are warm. */
#define COST_ERROR 1.0

void heap_estimate_init(struct heap_estimate *e, const struct heap_user_price *price)
{
	*e = (struct heap_estimate){ .price = *price };
}

static void add_stretch(struct heap_stretch *s, const struct heap_stretch *more)
{
	s->total_ns += more->total_ns;
	s->total += more->total;
	s->attached_ns += more->attached_ns;
	s->cost_ns += more->cost_ns;
	s->attached += more->attached;
	s->chance += more->chance;
	s->hits += more->hits;
	s->calls += more->calls;
	s->bytes += more->bytes;
}

void heap_estimate_add(struct heap_estimate *e, const struct heap_stretch *more)
{
	add_stretch(&e->now, more);
	if (more->attached_ns > 0 || more->hits > 0)
		e->now.kind = more->kind;
}

/* ---- what a hit costs ---- */

static void add_to_kind(struct heap_kind *k, const struct heap_stretch *s)
{
	k->n++;
	k->attached += s->attached;
	k->chance += s->chance;
	k->calls += s->calls;
	k->hits += s->hits;
	k->attached2 += s->attached * s->attached;
	k->calls2 += s->calls * s->calls;
	k->attached_calls += s->attached * s->calls;
}

static void fade(struct heap_kind *k)
{
	double by = k->n > LEARNED_STRETCHES ? LEARNED_STRETCHES / k->n : 1;

	*k = (struct heap_kind){ k->n * by, k->attached * by, k->chance * by, k->calls * by, k->hits * by,
		k->attached2 * by, k->calls2 * by, k->attached_calls * by };
}

/* User time by call: x, and its variance, from how many ticks came and from how stretches differ, whichever is more. */
struct by_call {
	double x, variance, hits;
	bool is_known;
};

static struct by_call by_call_of(const struct heap_kind *k)
{
	struct by_call r = { 0 };
	double squares;

	if (k->calls <= 0 || k->attached <= 0)
		return r;
	r.x = k->attached / k->calls;
	r.hits = k->hits / k->calls;
	r.variance = k->chance / (k->calls * k->calls);
	if (k->n >= MIN_FOR_SPREAD) {
		squares = k->attached2 - 2 * r.x * k->attached_calls + r.x * r.x * k->calls2;
		r.variance = MAX(r.variance, squares * k->n / (k->n - 1) / (k->calls * k->calls));
	}
	r.is_known = true;
	return r;
}

/* Standard errors by which inputs are moved, to see what the total does then. */
struct moves {
	double x[HEAP_STRETCH_KINDS];
	double guess, kinds_differ;
};

static double user_ns(const struct heap_estimate *e, const struct moves *m)
{
	double guess = MAX(e->price.ns + m->guess * e->price.error_ns, 0.0),
	       known = e->price.error_ns * e->price.error_ns;
	const struct by_call whole = by_call_of(&e->learned[HEAP_STRETCH_WHOLE]),
	                     calls = by_call_of(&e->learned[HEAP_STRETCH_CALLS]);
	double apart = whole.hits - calls.hits, u, variance;

	if (known <= 0 || !whole.is_known || !calls.is_known || apart < KINDS_APART_MIN)
		return guess;
	u = (whole.x + m->x[HEAP_STRETCH_WHOLE] * sqrt(whole.variance) - calls.x -
	            m->x[HEAP_STRETCH_CALLS] * sqrt(calls.variance)) /
	    apart;
	variance = (whole.variance + calls.variance) / (apart * apart);
	u = MAX((u * known + guess * variance) / (known + variance), e->price.least_ns);
	return u * (1 + m->kinds_differ * KINDS_DIFFER);
}

double heap_estimate_user_ns(const struct heap_estimate *e)
{
	return user_ns(e, &(struct moves){ 0 });
}

/* ---- how far the program came ---- */

/* What is known of stretches of a kind in this window: user time by call, and how much of the way from that to what a
 * stretch shows by itself is to be gone. */
struct pool {
	struct by_call by_call;
	double own_part;
	bool is_alike;
};

static struct pool pool_of(const struct heap_estimate *e, enum heap_stretch_kind kind)
{
	struct heap_kind k = { 0 };
	struct pool p = { 0 };
	double by_chance = 0, beyond = 0, squares = 0;

	for (unsigned i = 0; i < e->n; i++)
		if (e->stretches[i].kind == kind)
			add_to_kind(&k, &e->stretches[i]);
	p.by_call = by_call_of(&k);
	p.own_part = 1;
	p.is_alike = k.n < 2;
	if (!p.by_call.is_known || k.n < 2)
		return p;
	for (unsigned i = 0; i < e->n; i++) {
		const struct heap_stretch *s = &e->stretches[i];
		double expected = p.by_call.x * s->calls, off = s->attached - expected, chance;

		if (s->kind != kind || expected <= 0)
			continue;
		/* as if as many ticks had come as can be expected */
		chance = k.chance / k.attached * expected + e->price.tick * e->price.tick;
		by_chance += off * off / chance / (k.n - 1);
		beyond += off * off * k.n / (k.n - 1) - chance;
		squares += expected * expected;
	}
	p.own_part = MAX(0.0, 1 - CHANCE / MAX(by_chance, CHANCE));
	p.is_alike = beyond <= ALIKE * ALIKE * squares;
	return p;
}

/* What the share of the whole would be off by chance if it were told by ticks: relative, one standard error. As another
 * tick might have come while the probes were out, none is not taken for a proof. */
static double error_out_of_ticks(const struct heap_estimate *e, const struct heap_stretch *all)
{
	double slow = e->price.tick_out, out = MAX(all->total - all->attached, 0.0) + slow;

	return out / (all->attached + out) * sqrt(slow / out);
}

static double error_of_ticks(const struct heap_estimate *e, const struct heap_stretch *all)
{
	double out = MAX(all->total - all->attached, 0.0) + e->price.tick_out, tick = e->price.tick;
	double in = out / (all->attached + out) * sqrt(MAX(all->chance, tick * tick)) / MAX(all->attached, tick);

	return hypot(in, error_out_of_ticks(e, all));
}

static double own_ns(const struct heap_stretch *s, double moved)
{
	return MAX(s->attached_ns - moved * COST_ERROR * s->cost_ns, OWN_FRACTION_MIN * (s->attached_ns + s->cost_ns));
}

static double error_of_time(const struct heap_stretch *all)
{
	double out = all->total_ns - all->attached_ns, own = own_ns(all, 0);

	return out > 0 ? out / (out + own) * COST_ERROR * all->cost_ns / own : 0;
}

static void sum_up(const struct heap_estimate *e, struct heap_stretch *ret)
{
	*ret = (struct heap_stretch){ 0 };
	for (unsigned i = 0; i < e->n; i++)
		add_stretch(ret, &e->stretches[i]);
}

/* Whether this window goes by CPU time. */
static bool is_by_time(const struct heap_estimate *e)
{
	struct heap_stretch all;

	sum_up(e, &all);
	return all.total <= 0 || (all.total_ns > 0 && error_of_time(&all) < error_of_ticks(e, &all));
}

/* Progress of the program's own with the probes in. */
static double own_progress(
        const struct heap_stretch *s, const struct pool *pool, const struct heap_estimate *e, double u, double moved)
{
	double attached = s->attached + (pool->own_part > 0 ? e->price.tick : 0), pooled, own;

	if (pool->by_call.is_known) {
		pooled = (pool->by_call.x + moved * sqrt(pool->by_call.variance)) * s->calls;
		attached = pooled + pool->own_part * (attached - pooled);
	}
	own = attached - u * s->hits;
	return MAX(own, OWN_FRACTION_MIN * attached);
}

static double total_progress(const struct heap_stretch *s, double own, bool by_time)
{
	if (by_time)
		return MAX(s->total_ns - s->attached_ns, 0.0) + own;
	return s->total - s->attached + own; /* what a hit added is not progress */
}

struct total {
	double estimate, estimate2, estimate_total, total, total2, own;
	double seen, seen2, seen_own, own2;
};

static void add_up(const struct heap_estimate *e, const struct pool *pools, const struct moves *m, struct total *ret)
{
	double u = user_ns(e, m);
	bool by_time = is_by_time(e);

	*ret = (struct total){ 0 };
	for (unsigned i = 0; i < e->n; i++) {
		const struct heap_stretch *s = &e->stretches[i];
		double own = by_time ? own_ns(s, m->guess) : own_progress(s, &pools[s->kind], e, u, m->x[s->kind]);
		double total = total_progress(s, own, by_time);
		double estimate = own > 0 ? s->bytes * MAX(total / own, 1.0) : s->bytes;

		ret->estimate += estimate;
		ret->estimate2 += estimate * estimate;
		ret->estimate_total += estimate * total;
		ret->total += total;
		ret->total2 += total * total;
		ret->own += MIN(own, total);
		ret->seen += s->bytes;
		ret->seen2 += s->bytes * s->bytes;
		ret->seen_own += s->bytes * own;
		ret->own2 += own * own;
	}
}

/* ---- stretches and windows ---- */

/* What those that are over stand for, on average; 0: too few to say. */
static double usual_scale(const struct heap_estimate *e)
{
	const struct pool pools[] = { pool_of(e, HEAP_STRETCH_WHOLE), pool_of(e, HEAP_STRETCH_CALLS) };
	struct total t;

	if (e->n < SHORT_OTHERS)
		return 0;
	add_up(e, pools, &(struct moves){ 0 }, &t);
	return t.own > 0 ? t.total / t.own : 0;
}

/* Of the last one of those that are over. */
static struct heap_scale scale_of_last(struct heap_estimate *e)
{
	const struct heap_stretch *s = &e->stretches[e->n - 1];
	const struct pool pool = pool_of(e, s->kind);
	bool by_time = is_by_time(e);
	double own, total;

	e->last_own = own_progress(s, &pool, e, heap_estimate_user_ns(e), 0);
	own = by_time ? own_ns(s, 0) : e->last_own;
	total = total_progress(s, own, by_time);
	if (own <= 0)
		return (struct heap_scale){ 1, 1 };
	return (struct heap_scale){
		.allocated = MAX(total / own, 1.0),
		.in_use = MAX((total + (by_time ? e->unfollowed_ns : e->unfollowed)) / own, 1.0),
	};
}

struct heap_scale heap_estimate_close_stretch(struct heap_estimate *e, bool is_last)
{
	struct heap_stretch *s = &e->now;
	const struct heap_kind learned = e->learned[s->kind];
	double usual = usual_scale(e);
	struct heap_scale scale;

	if (e->n == HEAP_STRETCHES_MAX || (s->attached_ns <= 0 && s->attached <= 0 && s->hits <= 0))
		return (struct heap_scale){ 1, 1 };
	e->stretches[e->n++] = *s;
	add_to_kind(&e->learned[s->kind], s);
	scale = scale_of_last(e);
	e->told[e->n - 1] = 0;
	if (usual > 0 && scale.allocated > SHORT_SCALE * usual) {
		e->learned[s->kind] = learned;
		e->n--;
		if (!is_last)
			return (struct heap_scale){ 0, 0 };
		add_stretch(&e->stretches[e->n - 1], s);
		scale = scale_of_last(e);
	}
	e->told[e->n - 1] += s->bytes * scale.allocated;
	e->unfollowed = s->kind == HEAP_STRETCH_WHOLE ? 0 : e->unfollowed + s->total;
	e->unfollowed_ns = s->kind == HEAP_STRETCH_WHOLE ? 0 : e->unfollowed_ns + s->total_ns;
	*s = (struct heap_stretch){ 0 };
	return scale;
}

bool heap_estimate_is_full(const struct heap_estimate *e)
{
	return e->n == HEAP_STRETCHES_MAX;
}

/* Of alike stretches a small one is nothing by itself. */
static double told_by(const struct total *t, bool is_alike)
{
	return is_alike && t->own > 0 ? t->seen * MAX(t->total / t->own, 1.0) : t->estimate;
}

/* How much the bytes by progress differ from stretch to stretch: one standard error of the total, relative. */
static double spread(const struct heap_estimate *e, const struct total *t, bool is_alike)
{
	double n = e->n, rate = is_alike ? t->seen / t->own : t->estimate / t->total, squares;

	if (is_alike)
		squares = t->seen2 - 2 * rate * t->seen_own + rate * rate * t->own2;
	else
		squares = t->estimate2 - 2 * rate * t->estimate_total + rate * rate * t->total2;
	return sqrt(MAX(squares, 0.0) * n / (n - 1) * (1 - t->own / t->total)) / (is_alike ? t->seen : t->estimate);
}

/* What the total moves, either way, when an input is moved by its standard error, and by how much it is more in the
 * mean of both: relative. */
struct moved {
	double error, more;
};

static struct moved moved(
        const struct heap_estimate *e, const struct pool *pools, bool is_alike, const struct moves *up)
{
	const struct moves down = { { -up->x[0], -up->x[1] }, -up->guess, -up->kinds_differ };
	double either_way, one_way, estimate, more, less;
	struct total t;

	add_up(e, pools, &(struct moves){ 0 }, &t);
	estimate = told_by(&t, is_alike);
	add_up(e, pools, up, &t);
	more = told_by(&t, is_alike);
	add_up(e, pools, &down, &t);
	less = told_by(&t, is_alike);
	either_way = fabs(more - less) / 2;
	one_way = MAX(estimate - more, estimate - less);
	return (struct moved){ MAX(either_way, one_way) / estimate, (more + less) / (2 * estimate) - 1 };
}

/* Of all that is wrong alike in all stretches. */
static struct moved moved_by_all(const struct heap_estimate *e, const struct pool *pools, bool is_alike)
{
	const struct moved whole = moved(e, pools, is_alike, &(struct moves){ .x = { [HEAP_STRETCH_WHOLE] = 1 } }),
	                   calls = moved(e, pools, is_alike, &(struct moves){ .x = { [HEAP_STRETCH_CALLS] = 1 } }),
	                   guess = moved(e, pools, is_alike, &(struct moves){ .guess = 1 }),
	                   differ = moved(e, pools, is_alike, &(struct moves){ .kinds_differ = 1 });

	return (struct moved){ hypot(hypot(whole.error, calls.error), hypot(guess.error, differ.error)),
		MAX(whole.more + calls.more, 0.0) };
}

/* Two standard errors hold for 95 of 100 windows when their variance is known; from n stretches it is itself a guess:
 * about Student's t for n - 1 degrees of freedom. */
static void judge(const struct heap_estimate *e, struct heap_window *ret)
{
	const struct pool pools[] = { pool_of(e, HEAP_STRETCH_WHOLE), pool_of(e, HEAP_STRETCH_CALLS) };
	double told = 0, common, student, out;
	struct moved by_all;
	bool is_alike;
	struct heap_stretch all;
	struct total t;

	for (unsigned i = 0; i < e->n; i++)
		told += e->told[i];
	add_up(e, pools, &(struct moves){ 0 }, &t);
	sum_up(e, &all);
	ret->is_by_time = is_by_time(e);
	out = ret->is_by_time || all.total_ns <= all.attached_ns ? 0 : error_out_of_ticks(e, &all);
	if (told <= 0 || t.estimate <= 0 || t.total <= t.own) {
		ret->error = 2 * out;
		return;
	}
	is_alike = !ret->is_by_time && e->n > 1 && pools[0].is_alike && pools[1].is_alike;
	by_all = moved_by_all(e, pools, is_alike);
	ret->factor = MAX(t.estimate / (1 + by_all.more), t.seen) / told;
	if (is_alike)
		ret->seen_factor = MAX(t.total / t.own / (1 + by_all.more), 1.0);
	common = hypot(by_all.error, out);
	if (!ret->is_by_time && e->price.error_ns > 0)
		common = hypot(common, OWN_DIFFERS * (1 - t.own / t.total));
	if (e->n <
	        2) { /* one look says nothing of its spread: nothing at all may have happened else, or as much again */
		ret->error = hypot(2 * common, t.total / t.own - 1);
		return;
	}
	student = 2 * (1 + 1.5 / (e->n - 1));
	ret->error = hypot(2 * common, student * spread(e, &t, is_alike));
}

void heap_estimate_close_window(struct heap_estimate *e, struct heap_window *ret)
{
	*ret = (struct heap_window){ .factor = 1 };
	judge(e, ret);
	e->n = 0;
	e->unfollowed = e->unfollowed_ns = 0;
	for (int k = 0; k < HEAP_STRETCH_KINDS; k++)
		fade(&e->learned[k]);
}
