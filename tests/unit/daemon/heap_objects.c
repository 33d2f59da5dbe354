#include "tests/unit/unit.h"
#include "daemon/heap_room.h"

#include <math.h>
#include <stdlib.h>

static const struct user_frame frame_a = { .file = 20, .offset = 0x100 }, frame_b = { .file = 20, .offset = 0x200 };

static struct sample sample_of(const struct user_frame *frame)
{
	return (struct sample){ .pid = 7, .tid = 7, .comm = "unit", .thread = "unit", .user = frame, .n_user = 1 };
}

struct told {
	struct heap_objects_values a, b;
	int n;
};

static void tell(void *userdata, struct sample *s, const struct heap_objects_values *v)
{
	struct told *t = userdata;
	struct heap_objects_values *to = s->user[0].offset == frame_a.offset ? &t->a : &t->b;

	to->alloc_objects += v->alloc_objects;
	to->alloc_bytes += v->alloc_bytes;
	to->inuse_objects += v->inuse_objects;
	to->inuse_bytes += v->inuse_bytes;
	t->n++;
}

static struct told report(struct heap_objects *h, double scale)
{
	struct told t = { 0 };

	heap_objects_settle(h, 0, scale, 1);
	heap_objects_report(h, 0, 1, 0, tell, &t);
	return t;
}

/* The formula, run as the BPF program would: bytes counted down, an exponential draw after each sample. */
static void estimates_are_unbiased(void **state)
{
	static const uint64_t sizes[] = { 16, 512, 4096, 100000, 2000000 };
	const uint64_t interval = 512 << 10;
	uint64_t id = 0;
	double total = 0, expected = 0;

	(void)state;
	srand48(1);
	for (int run = 0; run < 30; run++) {
		_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
		struct sample s = sample_of(&frame_a);
		double left = -log(1 - drand48()) * (double)interval;
		struct told t;

		assert_int_equal(heap_objects_new(&HEAP_OBJECTS_LIMITS_DEFAULT, &h), 0);
		for (int i = 0; i < 20000; i++) {
			uint64_t size = sizes[lrand48() % 5];

			expected += (double)size;
			left -= (double)size;
			if (left > 0)
				continue;
			left = -log(1 - drand48()) * (double)interval;
			(void)heap_objects_add(h, ++id, &s, size, heap_objects_weight(size, interval));
		}
		t = report(h, 1);
		total += (double)t.a.alloc_bytes;
	}
	assert_true(fabs(total / expected - 1) < 0.01);
}

static void allocated_is_told_once_and_used_until_freed(void **state)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	struct sample a = sample_of(&frame_a), b = sample_of(&frame_b);
	struct told t;

	(void)state;
	assert_int_equal(heap_objects_new(&HEAP_OBJECTS_LIMITS_DEFAULT, &h), 0);
	assert_int_equal(heap_objects_add(h, 1, &a, 100, 2), 0);
	assert_int_equal(heap_objects_add(h, 2, &b, 10, 1), 0);
	assert_int_equal(heap_objects_add(h, 3, &b, 10, 1), 0);
	heap_objects_hold(h, 1, 0x1000);
	heap_objects_hold(h, 2, 0x2000);
	heap_objects_hold(h, 3, 0x3000);
	heap_objects_release(h, 3); /* at once: still allocated */
	t = report(h, 1);
	assert_int_equal(t.a.alloc_bytes, 200);
	assert_int_equal(t.a.inuse_objects, 2);
	assert_int_equal(t.b.alloc_bytes, 20);
	assert_int_equal(t.b.inuse_bytes, 10);
	assert_int_equal(heap_objects_compact(h), 0);
	heap_objects_release(h, 1);
	t = report(h, 1);
	assert_int_equal(t.a.alloc_bytes + t.a.inuse_bytes + t.b.alloc_bytes, 0);
	assert_int_equal(t.b.inuse_bytes, 10);
	heap_objects_forget(h, 7, NULL, NULL);
	assert_int_equal(report(h, 1).n, 0);
}

static void what_is_settled_waits_and_is_mended(void **state)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	struct sample a = sample_of(&frame_a), other = a;
	struct told t = { 0 };

	(void)state;
	other.pid = 8;
	assert_int_equal(heap_objects_new(&HEAP_OBJECTS_LIMITS_DEFAULT, &h), 0);
	assert_int_equal(heap_objects_add(h, 1, &a, 100, 2), 0);
	heap_objects_hold(h, 1, 0x1000);
	heap_objects_settle(h, 7, 10, 5);
	heap_objects_forget(h, 7, NULL, NULL);
	assert_int_equal(heap_objects_add(h, 2, &a, 100, 1), 0);
	assert_int_equal(heap_objects_add(h, 3, &other, 100, 1), 0);
	heap_objects_settle(h, 7, 4, 1);
	heap_objects_settle(h, 8, 1, 1);
	heap_objects_report(h, 7, 0.5, 0, tell, &t);
	assert_int_equal(t.a.alloc_bytes, (2000 + 400) / 2);
	assert_int_equal(t.a.alloc_objects, (20 + 4) / 2);
	assert_int_equal(t.a.inuse_bytes, 1000 / 2);
	heap_objects_report(h, 0, 1, 0, tell, &t);
	assert_int_equal(t.a.alloc_bytes, 1200 + 100);
	assert_int_equal(report(h, 1).n, 0);
}

/* A stretch that saw little stands for as much time, but not for more of a mixture that is the same all the time. */
static void what_was_seen_weighs_alike_where_it_is_asked_for(void **state)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	struct sample a = sample_of(&frame_a), b = sample_of(&frame_b);
	struct told t = { 0 };

	(void)state;
	assert_int_equal(heap_objects_new(&HEAP_OBJECTS_LIMITS_DEFAULT, &h), 0);
	assert_int_equal(heap_objects_add(h, 1, &a, 100, 1), 0);
	heap_objects_hold(h, 1, 0x1000);
	heap_objects_settle(h, 7, 300, 300);
	heap_objects_forget(h, 7, NULL, NULL);
	assert_int_equal(heap_objects_add(h, 2, &a, 100, 2), 0);
	assert_int_equal(heap_objects_add(h, 3, &b, 100, 3), 0);
	heap_objects_settle(h, 7, 60, 60);
	heap_objects_report(h, 7, 0.5, 100, tell, &t);
	assert_int_equal(t.a.alloc_bytes, 30000);
	assert_int_equal(t.b.alloc_bytes, 30000);
	assert_int_equal(t.b.alloc_objects, 300);
	assert_int_equal(t.a.inuse_bytes, 15000);
	/* w (w - 1) size^2 of the two that stand for more than themselves */
	assert_true(fabs(heap_objects_error(h) - sqrt(2 * 1 + 3 * 2) / 6) < 0.001);
}

static void fractions_are_carried(void **state)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	struct sample a = sample_of(&frame_a);
	int64_t objects = 0;

	(void)state;
	assert_int_equal(heap_objects_new(&HEAP_OBJECTS_LIMITS_DEFAULT, &h), 0);
	for (uint64_t i = 1; i <= 100; i++) {
		assert_int_equal(heap_objects_add(h, i, &a, 1 << 20, 1.3), 0);
		objects += report(h, 1).a.alloc_objects;
	}
	assert_int_equal(objects, 130);
}

/* However many come and go, only what is in use takes a place. */
static void what_is_freed_takes_no_place(void **state)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	struct heap_objects_limits limits = { .objects = 4, .stacks = 2, .stack_bytes = 1000 };
	struct sample a = sample_of(&frame_a), b = sample_of(&frame_b);
	struct heap_objects_stats stats;
	struct told t;

	(void)state;
	assert_int_equal(heap_objects_new(&limits, &h), 0);
	for (uint64_t id = 1; id <= 1000; id++) {
		assert_int_equal(heap_objects_add(h, id, id % 2 ? &a : &b, 100, 3), 0);
		heap_objects_hold(h, id, id << 4);
		if (id > 2)
			assert_true(fabs(heap_objects_release(h, id) - 3) < 0.001);
		if (id == 500) /* a window ends, nothing is settled */
			assert_int_equal(heap_objects_compact(h), 0);
	}
	t = report(h, 2);
	assert_int_equal(t.a.alloc_objects + t.b.alloc_objects, 6000);
	assert_int_equal(t.a.alloc_bytes, 300000);
	assert_int_equal(t.a.inuse_bytes + t.b.inuse_bytes, 600);
	heap_objects_stats(h, &stats);
	assert_int_equal(stats.dropped, 0);
}

static void count_let_go(void *userdata, uint32_t pid, uint64_t address)
{
	unsigned *n = userdata;

	assert_int_equal(pid, 7);
	assert_true(address > 0);
	(*n)++;
}

/* Far more in use than has room: none is dropped, and the sums stay what they are. */
static void room_is_made_for_what_is_in_use(void **state)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	struct heap_objects_limits limits = { .objects = 4000, .stacks = 2, .stack_bytes = 1000 };
	struct sample a = sample_of(&frame_a), b = sample_of(&frame_b);
	struct heap_objects_stats stats;
	struct heap_room room = { 0 };
	unsigned let_go = 0;
	uint64_t id = 0;
	struct told t;

	(void)state;
	assert_int_equal(heap_objects_new(&limits, &h), 0);
	for (unsigned i = 0; i < 40000; i++) { /* each stands for two: so finely at first */
		if (i % (1u << room.halvings))
			continue;
		id++;
		assert_int_equal(heap_objects_add(h, id, id % 4 ? &a : &b, 100, 2u << room.halvings), 0);
		heap_objects_hold(h, id, id << 4);
		(void)heap_room_make(&room, h, count_let_go, &let_go);
	}
	heap_objects_stats(h, &stats);
	assert_int_equal(stats.dropped, 0);
	assert_in_range(stats.objects, 1500, 3001);
	assert_int_equal(stats.objects, id - let_go);
	assert_in_range(room.halvings, 3, 5);
	t = report(h, 1);
	assert_true(fabs((double)t.a.inuse_objects / 60000 - 1) < 0.06);
	assert_true(fabs((double)t.b.inuse_objects / 20000 - 1) < 0.1);
	/* what is passed over where the steps become larger is all that is missing */
	assert_true(fabs((double)(t.a.alloc_objects + t.b.alloc_objects) / 80000 - 1) < 0.002);

	heap_objects_forget(h, 7, NULL, NULL);
	for (unsigned second = 0, was = room.halvings; was > 0 && second < 1000; second++)
		heap_room_follow(&room, h);
	assert_int_equal(room.halvings, 0);
}

static void limits_are_counted(void **state)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	struct heap_objects_limits limits = { .objects = 2, .stacks = 1, .stack_bytes = 1000 };
	struct sample a = sample_of(&frame_a), b = sample_of(&frame_b);
	struct heap_objects_stats stats;

	(void)state;
	assert_int_equal(heap_objects_new(&limits, &h), 0);
	assert_int_equal(heap_objects_add(h, 1, &a, 1, 1), 0);
	assert_int_equal(heap_objects_add(h, 2, &b, 1, 1), -ENOSPC);
	assert_int_equal(heap_objects_add(h, 3, &a, 1, 1), 0);
	assert_int_equal(heap_objects_add(h, 4, &a, 1, 1), -ENOSPC);
	heap_objects_stats(h, &stats);
	assert_int_equal(stats.dropped, 2);
	assert_int_equal(stats.objects, 2);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(estimates_are_unbiased),
	cmocka_unit_test(allocated_is_told_once_and_used_until_freed),
	cmocka_unit_test(what_is_settled_waits_and_is_mended),
	cmocka_unit_test(what_was_seen_weighs_alike_where_it_is_asked_for),
	cmocka_unit_test(fractions_are_carried),
	cmocka_unit_test(what_is_freed_takes_no_place),
	cmocka_unit_test(room_is_made_for_what_is_in_use),
	cmocka_unit_test(limits_are_counted),
};

UNIT_MAIN(tests)
