#include "tests/unit/unit.h"
#include "base/clock.h"
#include "daemon/heap_turns.h"

#define N 10
#define PLACES 3
#define TURN_NS NS_PER_SEC
#define STEP_NS (10 * NS_PER_MS)

struct all {
	struct heap_turns turns;
	struct heap_turn of[N];
	uint64_t now_ns, had_ns[N];
};

static void all_init(struct all *a)
{
	*a = (struct all){ .now_ns = NS_PER_SEC };
	heap_turns_init(&a->turns, PLACES, TURN_NS);
}

/* As the source does: who has had its turn leaves, who has none asks. Returns how many have a place. */
static size_t step(struct all *a, size_t n)
{
	size_t in = 0;

	a->now_ns += STEP_NS;
	heap_turns_next_round(&a->turns, 0);
	for (size_t i = 0; i < n; i++) {
		if (heap_turns_is_over(&a->turns, &a->of[i], a->now_ns))
			heap_turns_leave(&a->turns, &a->of[i]);
		(void)heap_turns_ask(&a->turns, &a->of[i], a->now_ns);
	}
	for (size_t i = 0; i < n; i++) {
		in += a->of[i].has_place;
		a->had_ns[i] += a->of[i].has_place ? STEP_NS : 0;
	}
	return in;
}

static void all_have_places_where_there_are_enough(void **state)
{
	struct all a;

	(void)state;
	all_init(&a);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(step(&a, PLACES), PLACES);
	for (int i = 0; i < PLACES; i++) {
		assert_int_equal(a.had_ns[i], 1000 * STEP_NS);
		assert_false(heap_turn_was_left_out(&a.of[i]));
	}
}

static void each_has_its_turn(void **state)
{
	struct all a;

	(void)state;
	all_init(&a);
	for (int i = 0; i < 3000; i++)
		assert_true(step(&a, N) <= PLACES);
	for (int i = 0; i < N; i++) {
		double share = (double)a.had_ns[i] / (3000.0 * STEP_NS);

		assert_true(share > 0.8 * PLACES / N && share < 1.2 * PLACES / N);
	}
}

static void who_had_no_turn_is_told(void **state)
{
	size_t left_out = 0;
	struct all a;

	(void)state;
	all_init(&a);
	for (int i = 0; i < 150; i++)
		(void)step(&a, N);
	for (int i = 0; i < N; i++)
		left_out += heap_turn_was_left_out(&a.of[i]);
	assert_int_equal(left_out, N - 2 * PLACES);
	/* of the next window: those that have a place now were in */
	left_out = 0;
	for (int i = 0; i < N; i++)
		left_out += heap_turn_was_left_out(&a.of[i]);
	assert_int_equal(left_out, N - PLACES);
}

static void who_no_longer_asks_is_passed_over(void **state)
{
	struct all a;

	(void)state;
	all_init(&a);
	for (int i = 0; i < 50; i++)
		(void)step(&a, N);
	/* only the last one still asks */
	for (int i = 0; i < 200; i++) {
		a.now_ns += STEP_NS;
		heap_turns_next_round(&a.turns, 0);
		for (int k = 0; k < N; k++)
			if (heap_turns_is_over(&a.turns, &a.of[k], a.now_ns))
				heap_turns_leave(&a.turns, &a.of[k]);
		(void)heap_turns_ask(&a.turns, &a.of[N - 1], a.now_ns);
	}
	assert_true(a.of[N - 1].has_place);
	assert_true(TAILQ_EMPTY(&a.turns.waiting));
}

static void those_on_their_way_out_hold_places(void **state)
{
	struct all a;

	(void)state;
	all_init(&a);
	heap_turns_next_round(&a.turns, PLACES - 1);
	assert_true(heap_turns_ask(&a.turns, &a.of[0], a.now_ns));
	assert_false(heap_turns_ask(&a.turns, &a.of[1], a.now_ns));
	heap_turns_next_round(&a.turns, 0);
	assert_true(heap_turns_ask(&a.turns, &a.of[1], a.now_ns));
	heap_turns_leave(&a.turns, &a.of[0]);
	heap_turns_leave(&a.turns, &a.of[1]);
	heap_turns_leave(&a.turns, &a.of[1]);
	assert_int_equal(a.turns.taken, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(all_have_places_where_there_are_enough),
	cmocka_unit_test(each_has_its_turn),
	cmocka_unit_test(who_had_no_turn_is_told),
	cmocka_unit_test(who_no_longer_asks_is_passed_over),
	cmocka_unit_test(those_on_their_way_out_hold_places),
};

UNIT_MAIN(tests)
