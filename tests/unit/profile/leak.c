#include "tests/unit/profile/sample_profile.h"
#include <math.h>
#include "profile/leak.h"

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

struct program {
	struct {
		uint32_t size;
		bool is_sampled;
	} cache[ENTRIES];
	double sampled_leak; /* bytes, already weighted */
};

static bool is_sampled(double size)
{
	return uniform() < 1 - exp(-size / RATE);
}

static double weight(double size)
{
	return size / (1 - exp(-size / RATE));
}

static void replace(struct program *p, size_t i)
{
	p->cache[i].size = 1024 + (uint32_t)(uniform() * 32768); /* 17 KB on average: 200 MB in all */
	p->cache[i].is_sampled = is_sampled(p->cache[i].size);
}

static void run_for_5_s(struct program *p, double turnover)
{
	for (size_t i = 0; i < (size_t)(ENTRIES * turnover); i++)
		replace(p, (size_t)(uniform() * ENTRIES));
	for (int i = 0; i < 5000; i++)
		p->sampled_leak += is_sampled(1000) ? weight(1000) : 0;
}

static struct profile *observe(const struct program *p)
{
	struct profile *profile = NULL;
	struct profile_header *h;
	const uint64_t addresses[] = { 0x1000, 0x2000 };
	double bytes[2] = { 0, p->sampled_leak };

	for (size_t i = 0; i < ENTRIES; i++)
		bytes[0] += p->cache[i].is_sampled ? weight(p->cache[i].size) : 0;
	assert_int_equal(profile_new(NULL, &profile), 0);
	h = profile_header(profile);
	h->n_sample_types = 2;
	h->sample_types[0] =
	        (struct profile_value_type){ put_string(profile, "inuse_objects"), put_string(profile, "count") };
	h->sample_types[1] =
	        (struct profile_value_type){ put_string(profile, "inuse_space"), put_string(profile, "bytes") };
	h->period_type = h->sample_types[1];
	h->period = (int64_t)RATE;
	for (int i = 0; i < 2; i++) {
		uint32_t l = put_location(profile, PROFILE_NONE, addresses[i], i ? "leak" : "cache_insert");

		/* two threads share the stack */
		put_sample(profile, &l, 1, "app", 1, 1, (int64_t)(bytes[i] / 2));
		put_sample(profile, &l, 1, "app", 2, 1, (int64_t)(bytes[i] / 2));
	}
	return profile;
}

static const char *leaf_name(const struct profile *p, uint32_t stack)
{
	size_t n;
	const uint32_t *locations = profile_stack(p, stack, &n);

	return profile_string(p, profile_function(p, profile_location(p, locations[0]).lines[0].function)->name, NULL);
}

static void one_run(double turnover, unsigned *ret_named, unsigned *ret_false)
{
	static const char *const drop[] = { "tid", NULL };
	static struct program program;
	_cleanup_(leaks_freep) struct leaks *l = NULL;
	_cleanup_free_ struct leak_suspect *suspects = NULL;
	size_t n;

	program.sampled_leak = 0;
	for (size_t i = 0; i < ENTRIES; i++)
		replace(&program, i);
	assert_int_equal(leaks_new(NULL, drop, NULL, &l), 0);
	for (uint64_t window = 0; window <= 12; window++) {
		_cleanup_(profile_freep) struct profile *p = observe(&program);

		assert_int_equal(leaks_add(l, p, 1000 + window * 5000000000), 0);
		run_for_5_s(&program, turnover);
	}
	assert_int_equal(leaks_judge(l, NULL, &suspects, &n), 0);
	*ret_named = *ret_false = 0;
	for (size_t i = 0; i < n; i++)
		if (suspects[i].result.verdict == LEAK_GROWING) {
			const char *name = leaf_name(leaks_profile(l), suspects[i].key.stack);

			*ret_named += strcmp(name, "leak") == 0;
			*ret_false += strcmp(name, "leak") != 0;
		}
}

static void a_leak_is_named_beside_a_cache_that_turns_over(void **state)
{
	static const double turnovers[] = { 0.02, 0.1, 0.5, 1 };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(turnovers); k++) {
		unsigned missed = 0, wrong = 0;

		for (int run = 0; run < 25; run++) {
			unsigned named, false_alarms;

			one_run(turnovers[k], &named, &false_alarms);
			missed += named != 1;
			wrong += false_alarms;
		}
		if (missed > 0 || wrong > 0)
			fail_msg("turnover %g: %u of 25 missed, %u caches called leaks", turnovers[k], missed, wrong);
	}
}

static void a_baseline_window_takes_a_stack_out(void **state)
{
	_cleanup_(leaks_freep) struct leaks *l = NULL;
	_cleanup_free_ struct leak_suspect *suspects = NULL, *before = NULL;
	static struct program program;
	size_t n;

	(void)state;
	program.sampled_leak = 0;
	assert_int_equal(leaks_new("inuse_space", NULL, NULL, &l), 0);
	for (uint64_t window = 0; window <= 12; window++) {
		_cleanup_(profile_freep) struct profile *p = observe(&program);

		program.sampled_leak += 5e6;
		assert_int_equal(leaks_add(l, p, 1000 + window * 5000000000), 0);
		assert_int_equal(leaks_add(l, p, 1000 + window * 5000000000), -EINVAL);
	}
	assert_int_equal(leaks_judge(l, NULL, &before, &n), 0);
	assert_int_equal(n, 2); /* by thread: tid was kept */
	assert_int_equal(before[0].result.verdict, LEAK_GROWING);
	program.sampled_leak = 80e6;
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
	cmocka_unit_test(a_baseline_window_takes_a_stack_out),
};

UNIT_MAIN(tests)
