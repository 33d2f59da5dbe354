#include "daemon/heap_turns.h"

#include <assert.h>

void heap_turns_init(struct heap_turns *t, size_t places, uint64_t turn_ns)
{
	assert(places > 0);

	*t = (struct heap_turns){ .places = places, .turn_ns = turn_ns };
	TAILQ_INIT(&t->waiting);
}

static void stop_waiting(struct heap_turns *t, struct heap_turn *p)
{
	if (!p->is_waiting)
		return;
	TAILQ_REMOVE(&t->waiting, p, link);
	p->is_waiting = false;
}

void heap_turns_next_round(struct heap_turns *t, size_t leaving)
{
	struct heap_turn *p = TAILQ_FIRST(&t->waiting);

	t->round++;
	t->leaving = leaving;
	while (p) {
		struct heap_turn *next = TAILQ_NEXT(p, link);

		if (t->round - p->asked > HEAP_TURNS_ROUNDS)
			stop_waiting(t, p);
		p = next;
	}
}

/* Whether there is a place left when all that have waited longer have got theirs. */
static bool is_its_turn(const struct heap_turns *t, const struct heap_turn *p)
{
	const struct heap_turn *q;
	size_t used = t->taken + t->leaving;

	TAILQ_FOREACH (q, &t->waiting, link) {
		if (q == p || used >= t->places)
			break;
		used++;
	}
	return used < t->places;
}

bool heap_turns_ask(struct heap_turns *t, struct heap_turn *p, uint64_t now_ns)
{
	if (p->has_place)
		return true;
	if (!p->is_waiting) {
		TAILQ_INSERT_TAIL(&t->waiting, p, link);
		p->is_waiting = true;
	}
	p->asked = t->round;
	if (!is_its_turn(t, p)) {
		p->has_waited = true;
		return false;
	}
	stop_waiting(t, p);
	t->taken++;
	p->has_place = p->was_in = true;
	p->since_ns = now_ns;
	return true;
}

bool heap_turns_is_over(const struct heap_turns *t, const struct heap_turn *p, uint64_t now_ns)
{
	return p->has_place && !TAILQ_EMPTY(&t->waiting) && now_ns - p->since_ns >= t->turn_ns;
}

void heap_turns_leave(struct heap_turns *t, struct heap_turn *p)
{
	stop_waiting(t, p);
	t->taken -= p->has_place;
	p->has_place = false;
}

bool heap_turn_was_left_out(struct heap_turn *p)
{
	bool was_left_out = p->has_waited && !p->was_in;

	p->has_waited = p->is_waiting;
	p->was_in = p->has_place;
	return was_left_out;
}
