#include "tests/unit/profile/sample_profile.h"
#include <math.h>
#include "profile/leak.h"
#include "profile/window_labels.h"

#define MIB 1048576.0
#define RATE 524288.0 /* bytes between samples */

static uint64_t random_state = 88172645463325252ull;

static double uniform(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

/* ---- shapes: bytes (MiB) at time t (seconds), judged every 5 s ---- */

static double leak_1_mib_s(double t)
{
	return t;
}

static double leak_beside_a_base(double t)
{
	return 500 + 0.3 * t;
}

static double late_leak(double t)
{
	return t < 200 ? 20 : 20 + (t - 200);
}

static double leak_by_night_slower(double t)
{
	return t + 20 * sin(t / 150);
}

static double constant(double t)
{
	(void)t;
	return 200;
}

static double cache_that_fills(double t)
{
	return 200 * (1 - exp(-t / 60));
}

static double cache_that_fills_evenly(double t)
{
	return fmin(2 * t, 200);
}

static double teeth(double t)
{
	return fmod(t, 90);
}

static double one_table(double t)
{
	return t < 150 ? 10 : 138;
}

static double table_that_doubles(double t)
{
	return exp2(floor(log2(t + 8)));
}

static double last_moment(double t)
{
	return t < 290 ? 50 : 250;
}

static double slow_wave(double t)
{
	return 200 + 60 * sin(t / 40);
}

static enum leak_verdict judge_shape(double (*shape)(double t), double seconds, struct leak_result *result)
{
	static uint64_t times[2048];
	static int64_t bytes[2048];
	const struct leak_options options = { .sampling_period = RATE };
	size_t n = 0;

	for (double t = 0; t <= seconds; t += 5) {
		times[n] = 1790000000000000000ull + (uint64_t)(t * 1e9);
		bytes[n++] = (int64_t)(shape(t) * MIB);
	}
	assert_int_equal(leak_judge(times, bytes, n, &options, result), 0);
	return result->verdict;
}

static void shapes_get_their_verdicts(void **state)
{
	static const struct {
		const char *name;
		double (*shape)(double t);
		double seconds;
		enum leak_verdict verdict;
	} cases[] = {
		{ "1 MiB/s after 60 s", leak_1_mib_s, 60, LEAK_GROWING },
		{ "1 MiB/s after 25 s", leak_1_mib_s, 25, LEAK_UNKNOWN },
		{ "1 MiB/s after 1 h", leak_1_mib_s, 3600, LEAK_GROWING },
		{ "beside a base", leak_beside_a_base, 600, LEAK_GROWING },
		{ "beside a base, too early to say", leak_beside_a_base, 100, LEAK_STEADY },
		{ "late", late_leak, 300, LEAK_GROWING },
		{ "now faster, now slower", leak_by_night_slower, 3600, LEAK_GROWING },
		{ "constant", constant, 600, LEAK_STEADY },
		{ "filling cache, full", cache_that_fills, 300, LEAK_WARM_UP },
		{ "filling cache, half way", cache_that_fills, 100, LEAK_WARM_UP },
		{ "evenly filling cache", cache_that_fills_evenly, 300, LEAK_WARM_UP },
		{ "teeth, at the top", teeth, 85, LEAK_GROWING }, /* nobody can know yet */
		{ "teeth, second top", teeth, 175, LEAK_SAWTOOTH },
		{ "teeth, later", teeth, 3680, LEAK_SAWTOOTH },
		{ "one table", one_table, 300, LEAK_STEP },
		{ "doubling table", table_that_doubles, 300, LEAK_STEP },
		{ "last moment", last_moment, 300, LEAK_UNKNOWN },
		{ "slow wave, rising", slow_wave, 300, LEAK_SAWTOOTH },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct leak_result result;
		enum leak_verdict v = judge_shape(cases[i].shape, cases[i].seconds, &result);

		if (v != cases[i].verdict)
			fail_msg("%s: %s where %s is expected", cases[i].name, leak_verdict_name(v),
			        leak_verdict_name(cases[i].verdict));
	}
}

static void a_leak_is_measured(void **state)
{
	struct leak_result r;

	(void)state;
	assert_int_equal(judge_shape(late_leak, 300, &r), LEAK_GROWING);
	assert_int_equal(r.first, 20 * 1048576);
	assert_int_equal(r.growth, 100 * 1048576);
	assert_true(fabs(r.slope / MIB - 1) < 0.01);
	assert_true(r.slope_low <= r.slope && r.slope <= r.slope_high);
	assert_true(r.confidence > 0.99);
	assert_in_range(r.age_ns / 1000000000, 90, 105);
}

static void a_baseline_counts_as_healthy(void **state)
{
	const struct leak_options options = { .baseline = 60 * 1048576 };
	uint64_t times[20];
	int64_t bytes[20];
	struct leak_result r;

	(void)state;
	for (int i = 0; i < 20; i++) {
		times[i] = (uint64_t)(i + 1) * 5000000000;
		bytes[i] = i * 3 * 1048576;
	}
	assert_int_equal(leak_judge(times, bytes, 20, NULL, &r), 0);
	assert_int_equal(r.verdict, LEAK_GROWING);
	assert_int_equal(leak_judge(times, bytes, 20, &options, &r), 0);
	assert_int_equal(r.verdict, LEAK_STEADY);
	times[7] = times[6];
	assert_int_equal(leak_judge(times, bytes, 20, NULL, &r), -EINVAL);
}

/* ---- a simulated program: a cache of 200 MB whose entries are replaced all the time, beside a leak of 1 MB/s, both
 * seen through Poisson sampling of one in 512 KiB; profiles every 5 s for a minute ---- */

#define ENTRIES 12000

/* By what samples stand for. */
struct sums {
	double held_objects, held, allocated; /* objects allocated since the last profile */
};

struct program {
	struct {
		uint32_t size;
		bool is_sampled;
	} cache[ENTRIES];
	struct sums sums[2]; /* of the cache, of the leak */
	/* Since the last profile: frees, and those that are known by samples. */
	double frees, freed, variance;
	double all, all_variance; /* of frees of what was not seen */
	bool tells_survivors;
};

static double samples_by_object(double size)
{
	return 1 - exp(-size / RATE);
}

static bool allocate(struct sums *s, double size)
{
	double n = 1 / samples_by_object(size);

	if (uniform() >= samples_by_object(size))
		return false;
	s->held_objects += n;
	s->held += n * size;
	s->allocated += n;
	return true;
}

static void replace(struct program *p, size_t i)
{
	double size = p->cache[i].size, n = 1 / samples_by_object(size);

	p->frees++;
	if (p->cache[i].is_sampled) {
		p->sums[0].held_objects -= n;
		p->sums[0].held -= n * size;
		p->freed += n;
		p->variance += n * (n - 1);
	}
	p->cache[i].size = 1024 + (uint32_t)(uniform() * 32768); /* 17 KB on average: 200 MB in all */
	p->cache[i].is_sampled = allocate(&p->sums[0], p->cache[i].size);
}

static void run_for_5_s(struct program *p, double turnover)
{
	for (size_t i = 0; i < (size_t)(ENTRIES * turnover); i++)
		replace(p, (size_t)(uniform() * ENTRIES));
	for (int i = 0; i < 5000; i++)
		(void)allocate(&p->sums[1], 1000);
}

/* So much of the cache was there before anything could be seen. */
static void start(struct program *p, double unseen)
{
	*p = (struct program){ 0 };
	for (size_t i = 0; i < ENTRIES; i++)
		replace(p, i);
	p->sums[0] = (struct sums){ 0 };
	for (size_t i = 0; i < ENTRIES; i++) {
		double n = 1 / samples_by_object(p->cache[i].size);

		p->cache[i].is_sampled &= (double)i >= ENTRIES * unseen;
		p->sums[0].held_objects += p->cache[i].is_sampled ? n : 0;
		p->sums[0].held += p->cache[i].is_sampled ? n * p->cache[i].size : 0;
	}
	p->frees = p->freed = p->variance = 0;
}

static void put_row(struct profile *p, uint32_t location, int64_t tid, const struct program *from, const struct sums *s)
{
	const struct profile_label survivors = number_label(p, WINDOW_LABEL_SURVIVORS, 1);
	const struct profile_label labels[] = { text_label(p, "comm", "app"), number_label(p, "tid", tid),
		from->tells_survivors
		        ? survivors
		        : number_label(p, WINDOW_LABEL_UNSEEN_FREES, (int64_t)(from->frees - from->freed)),
		number_label(p, WINDOW_LABEL_UNSEEN_ERROR, (int64_t)sqrt(from->variance)) };
	bool is_told = from->all > 2 * sqrt(from->all_variance); /* daemon/heap_unseen.h */
	double part = from->tells_survivors ? 0.01 : 1;
	const int64_t values[] = { (int64_t)s->allocated / 2, (int64_t)(part * s->held_objects / 2),
		(int64_t)(part * s->held / 2) };
	uint32_t stack, set;

	assert_int_equal(profile_add_stack(p, &location, 1, &stack), 0);
	assert_int_equal(profile_add_label_set(p, labels, from->tells_survivors ? 3 : is_told ? 4 : 2, &set), 0);
	assert_int_equal(profile_add_sample(p, stack, set, values, NULL), 0);
}

static struct profile *observe(struct program *p)
{
	const uint64_t addresses[] = { 0x1000, 0x2000 };
	struct profile *profile = NULL;
	struct profile_header *h;

	p->all += p->frees - p->freed;
	p->all_variance += p->variance;
	assert_int_equal(profile_new(NULL, &profile), 0);
	h = profile_header(profile);
	h->n_sample_types = 3;
	h->sample_types[0] =
	        (struct profile_value_type){ put_string(profile, "alloc_objects"), put_string(profile, "count") };
	h->sample_types[1] =
	        (struct profile_value_type){ put_string(profile, "inuse_objects"), put_string(profile, "count") };
	h->sample_types[2] =
	        (struct profile_value_type){ put_string(profile, "inuse_space"), put_string(profile, "bytes") };
	h->period_type = h->sample_types[2];
	h->period = (int64_t)RATE;
	for (int i = 0; i < 2; i++) {
		uint32_t l = put_location(profile, PROFILE_NONE, addresses[i], i ? "leak" : "cache_insert");

		/* two threads share the stack */
		put_row(profile, l, 1, p, &p->sums[i]);
		put_row(profile, l, 2, p, &p->sums[i]);
		p->sums[i].allocated = 0;
	}
	p->frees = p->freed = p->variance = 0;
	return profile;
}

static const char *leaf_name(const struct profile *p, uint32_t stack)
{
	size_t n;
	const uint32_t *locations = profile_stack(p, stack, &n);

	return profile_string(p, profile_function(p, profile_location(p, locations[0]).lines[0].function)->name, NULL);
}

/* Says when the leak was named first, and how often the cache was, looking at each profile from the first eight on. */
static void one_run(double turnover, double unseen, unsigned *ret_named, unsigned *ret_false)
{
	static const char *const drop[] = { "tid", NULL };
	static struct program program;
	_cleanup_(leaks_freep) struct leaks *l = NULL;

	*ret_named = *ret_false = 0;
	start(&program, unseen);
	assert_int_equal(leaks_new(NULL, drop, NULL, &l), 0);
	for (unsigned window = 0; window <= 12; window++) {
		_cleanup_(profile_freep) struct profile *p = observe(&program);
		_cleanup_free_ struct leak_suspect *suspects = NULL;
		size_t n;

		assert_int_equal(leaks_add(l, p, 1000 + window * 5000000000), 0);
		run_for_5_s(&program, turnover);
		assert_int_equal(leaks_judge(l, NULL, &suspects, &n), 0);
		for (size_t i = 0; i < n; i++) {
			bool is_leak = strcmp(leaf_name(leaks_profile(l), suspects[i].key.stack), "leak") == 0;

			if (suspects[i].result.verdict != LEAK_GROWING)
				continue;
			if (is_leak && *ret_named == 0)
				*ret_named = window;
			*ret_false += !is_leak;
		}
	}
}

static void expect_leaks_named_and_caches_not(double unseen, unsigned runs, double wrong_share)
{
	static const double turnovers[] = { 0.02, 0.1, 0.5, 1 };

	for (size_t k = 0; k < ARRAY_SIZE(turnovers); k++) {
		unsigned missed = 0, wrong = 0;

		for (unsigned run = 0; run < runs; run++) {
			unsigned named, false_alarms;

			one_run(turnovers[k], unseen, &named, &false_alarms);
			missed += named == 0;
			wrong += false_alarms > 0;
		}
		if (missed > 0 || wrong > runs * wrong_share)
			fail_msg("unseen %g, turnover %g: %u of %u missed, %u caches called leaks", unseen,
			        turnovers[k], missed, runs, wrong);
	}
}

static void a_leak_is_named_beside_a_cache_that_turns_over(void **state)
{
	(void)state;
	expect_leaks_named_and_caches_not(0, 50, 0);
}

/* As it is replaced it comes into view. */
static void a_cache_that_was_there_before_is_no_leak(void **state)
{
	static const double unseen[] = { 0.1, 0.35, 0.7, 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unseen); i++)
		expect_leaks_named_and_caches_not(unseen[i], 50, 0.04);
}

/* Of a process whose probes were out for a while: what survived a stretch is not what it held. */
static void windows_of_survivors_are_left_out(void **state)
{
	static struct program program;
	_cleanup_(leaks_freep) struct leaks *l = NULL;
	_cleanup_free_ struct leak_suspect *suspects = NULL;
	size_t n;

	(void)state;
	start(&program, 0);
	assert_int_equal(leaks_new(NULL, (const char *const[]){ "tid", NULL }, NULL, &l), 0);
	for (unsigned window = 0; window <= 15; window++) {
		_cleanup_(profile_freep) struct profile *p = NULL;

		program.tells_survivors = window % 5 == 0; /* of the first and the last one, too */
		p = observe(&program);
		assert_int_equal(leaks_add(l, p, 1000 + window * 5000000000), 0);
		run_for_5_s(&program, 0.1);
	}
	assert_int_equal(leaks_judge(l, NULL, &suspects, &n), 0);
	assert_true(n >= 1);
	assert_string_equal(leaf_name(leaks_profile(l), suspects[0].key.stack), "leak");
	assert_int_equal(suspects[0].result.verdict, LEAK_GROWING);
	assert_true(suspects[0].result.growth > 40e6 && suspects[0].result.growth < 90e6);
	for (size_t i = 1; i < n; i++)
		assert_int_not_equal(suspects[i].result.verdict, LEAK_GROWING);
}

static void a_baseline_window_takes_a_stack_out(void **state)
{
	_cleanup_(leaks_freep) struct leaks *l = NULL;
	_cleanup_free_ struct leak_suspect *suspects = NULL, *before = NULL;
	static struct program program;
	size_t n;

	(void)state;
	start(&program, 0);
	assert_int_equal(leaks_new("inuse_space", NULL, NULL, &l), 0);
	for (uint64_t window = 0; window <= 12; window++) {
		_cleanup_(profile_freep) struct profile *p = observe(&program);

		program.sums[1].held += 5e6;
		assert_int_equal(leaks_add(l, p, 1000 + window * 5000000000), 0);
		assert_int_equal(leaks_add(l, p, 1000 + window * 5000000000), -EINVAL);
	}
	assert_int_equal(leaks_judge(l, NULL, &before, &n), 0);
	assert_int_equal(n, 2); /* by thread: tid was kept */
	assert_int_equal(before[0].result.verdict, LEAK_GROWING);
	program.sums[1].held = 80e6;
	{
		_cleanup_(profile_freep) struct profile *p = observe(&program);

		assert_int_equal(leaks_add_baseline(l, p), 0);
	}
	assert_int_equal(leaks_judge(l, NULL, &suspects, &n), 0);
	assert_int_equal(n, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(shapes_get_their_verdicts),
	cmocka_unit_test(a_leak_is_measured),
	cmocka_unit_test(a_baseline_counts_as_healthy),
	cmocka_unit_test(a_leak_is_named_beside_a_cache_that_turns_over),
	cmocka_unit_test(a_cache_that_was_there_before_is_no_leak),
	cmocka_unit_test(windows_of_survivors_are_left_out),
	cmocka_unit_test(a_baseline_window_takes_a_stack_out),
};

UNIT_MAIN(tests)
