#include "profile/leak.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "profile/leak_unseen.h"
#include "profile/merge.h"
#include "profile/window_labels.h"

#define ONSET_SHARE 0.05 /* of the growth: as far above its start the floor may be at onset */
#define GIVEN_BACK_SHARE 0.5
#define REPLACED_SHARE 0.33
#define LAST_TO_FIRST 0.45
#define LAST_SHARE 0.15
#define STEP_SHARE 0.5
#define STANDARD_ERRORS 4.0

/* ---- one series ---- */

struct series {
	double times[TREND_POINTS_MAX]; /* seconds since the first */
	double values[TREND_POINTS_MAX];
	double floors[TREND_POINTS_MAX];
	size_t n;
};

/* Long series are thinned: each point is the mean of as many. */
static void thin(const uint64_t *times_ns, const int64_t *bytes, size_t n, struct series *s)
{
	const size_t per = (n + TREND_POINTS_MAX - 1) / TREND_POINTS_MAX;

	s->n = 0;
	for (size_t i = 0; i < n; i += per) {
		size_t k = MIN(per, n - i);
		double time = 0, value = 0;

		for (size_t j = i; j < i + k; j++) {
			time += (double)(times_ns[j] - times_ns[0]) / 1e9 / (double)k;
			value += (double)bytes[j] / (double)k;
		}
		s->times[s->n] = time;
		s->values[s->n++] = value;
	}
	for (size_t i = s->n; i-- > 0;)
		s->floors[i] = i + 1 < s->n ? fmin(s->values[i], s->floors[i + 1]) : s->values[i];
}

/* The deepest fall from a peak between two points. */
static double deepest_fall(const struct series *s, size_t from, size_t to)
{
	double peak = -INFINITY, fall = 0;

	for (size_t i = from; i <= to; i++) {
		peak = fmax(peak, s->values[i]);
		fall = fmax(fall, peak - s->values[i]);
	}
	return fall;
}

/* The floor at a time between two points. */
static double floor_at(const struct series *s, double time)
{
	size_t i = 1;

	while (i + 1 < s->n && s->times[i] < time)
		i++;
	return s->floors[i - 1] +
	       (s->floors[i] - s->floors[i - 1]) * (time - s->times[i - 1]) / (s->times[i] - s->times[i - 1]);
}

static enum leak_verdict verdict_by_shape(const struct series *s, size_t onset, double growth)
{
	const double start = s->times[onset], length = s->times[s->n - 1] - start;
	double at[4], step = 0;

	if (fmax(deepest_fall(s, 0, onset), deepest_fall(s, onset, s->n - 1)) > GIVEN_BACK_SHARE * growth)
		return LEAK_SAWTOOTH;
	if (s->n - onset < LEAK_POINTS_MIN)
		return LEAK_UNKNOWN;
	for (size_t i = onset + 1; i < s->n; i++)
		step = fmax(step, s->values[i] - s->values[i - 1]);
	if (step > STEP_SHARE * growth)
		return LEAK_STEP;
	for (int i = 0; i < 4; i++)
		at[i] = floor_at(s, start + length * i / 3);
	if (at[3] - at[2] < LAST_SHARE * growth || at[3] - at[2] < LAST_TO_FIRST * (at[1] - at[0]))
		return LEAK_WARM_UP;
	return LEAK_GROWING;
}

static int judge(const struct series *s, const struct leak_options *o, struct leak_result *ret)
{
	const double threshold = (double)(o->threshold ? o->threshold : LEAK_THRESHOLD_DEFAULT);
	const double base = fmax(s->floors[0], (double)o->baseline), last = s->values[s->n - 1], growth = last - base;
	const double error = sqrt((fmax(base, 0) + fmax(last, 0)) * o->sampling_period);
	struct trend t;
	size_t onset = 0;
	int r;

	ret->growth = (int64_t)fmax(growth, 0);
	if (growth < threshold || growth < STANDARD_ERRORS * error) {
		ret->verdict = deepest_fall(s, 0, s->n - 1) >= threshold ? LEAK_SAWTOOTH : LEAK_STEADY;
		return 0;
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->values[i] <= base + ONSET_SHARE * growth)
			onset = i;
	ret->age_ns = (uint64_t)((s->times[s->n - 1] - s->times[onset]) * 1e9);
	ret->verdict = o->replaced > REPLACED_SHARE ? LEAK_REPLACED : verdict_by_shape(s, onset, growth);
	if (s->n - onset < TREND_POINTS_MIN)
		return 0;
	r = trend_fit(s->times + onset, s->values + onset, s->n - onset, &t);
	if (r < 0)
		return r;
	ret->slope = t.slope;
	ret->slope_low = t.slope_low;
	ret->slope_high = t.slope_high;
	ret->confidence = 1 - t.probability;
	if (ret->verdict == LEAK_GROWING &&
	        t.probability > (o->probability > 0 ? o->probability : LEAK_PROBABILITY_DEFAULT))
		ret->verdict = LEAK_STEADY;
	return 0;
}

int leak_judge(const uint64_t *times_ns, const int64_t *bytes, size_t n, const struct leak_options *options,
        struct leak_result *ret)
{
	const struct leak_options defaults = { 0 };
	struct leak_result result = { .verdict = LEAK_UNKNOWN };
	struct series s;
	int r = 0;

	for (size_t i = 1; i < n; i++)
		if (times_ns[i] <= times_ns[i - 1])
			return -EINVAL;
	if (n > 0) {
		result.first = bytes[0];
		result.last = bytes[n - 1];
	}
	if (n >= LEAK_POINTS_MIN) {
		thin(times_ns, bytes, n, &s);
		r = judge(&s, options ? options : &defaults, &result);
	}
	if (r < 0)
		return r;
	*ret = result;
	return 0;
}

const char *leak_verdict_name(enum leak_verdict v)
{
	static const char *const names[] = { "unknown", "steady", "replaced", "sawtooth", "warm-up", "step",
		"growing" };

	return names[v];
}

/* ---- a series of profiles ---- */

#define DROP_LABELS_MAX 8
static const char *const window_labels[] = { WINDOW_LABELS };

#define BASELINE (1u << 31) /* set in the numbers of windows that are a baseline */

struct observation {
	uint32_t series; /* sample in all */
	uint32_t window;
	int64_t value;
};

struct leaks {
	struct profile *all; /* every stack and label set that was ever seen */
	char *value;
	const char *drop_labels[DROP_LABELS_MAX + ARRAY_SIZE(window_labels) + 1];
	struct leak_unseen *unseen;
	struct observation *observations;
	size_t n_observations, room_observations;
	uint64_t *times;
	size_t n_windows, room_windows;
	uint32_t n_baselines;
	double sum_of_periods; /* of the windows, where they are in bytes */
};

int leaks_new(
        const char *value, const char *const *drop_labels, const struct profile_limits *limits, struct leaks **ret)
{
	_cleanup_(leaks_freep) struct leaks *l = calloc(1, sizeof(*l));
	size_t n;
	int r;

	if (!l)
		return -ENOMEM;
	memcpy(l->drop_labels, window_labels, sizeof(window_labels));
	n = ARRAY_SIZE(window_labels);
	for (; drop_labels && *drop_labels; drop_labels++) {
		assert(n < ARRAY_SIZE(l->drop_labels) - 1);
		l->drop_labels[n++] = *drop_labels;
	}
	if (value) {
		l->value = strdup(value);
		if (!l->value)
			return -ENOMEM;
	}
	r = profile_new(limits, &l->all);
	if (r >= 0)
		r = leak_unseen_new(&l->unseen);
	if (r < 0)
		return r;
	profile_header(l->all)->n_sample_types = 1;
	*ret = TAKE_PTR(l);
	return 0;
}

struct leaks *leaks_free(struct leaks *l)
{
	if (!l)
		return NULL;
	(void)profile_free(l->all);
	(void)leak_unseen_free(l->unseen);
	free(l->value);
	free(l->observations);
	free(l->times);
	free(l);
	return NULL;
}

const struct profile *leaks_profile(const struct leaks *l)
{
	return l->all;
}

static int find_value(const struct leaks *l, const struct profile *p, uint32_t *ret)
{
	if (l->value)
		return profile_find_sample_type(p, l->value, ret);
	if (profile_find_sample_type(p, "inuse_space", ret) >= 0)
		return 0;
	return profile_find_sample_type(p, "resident", ret);
}

static int reserve(struct leaks *l, size_t n)
{
	size_t room = l->room_observations;
	struct observation *bigger;

	if (l->n_observations + n > LEAK_OBSERVATIONS_MAX)
		return -ENOSPC;
	if (l->n_observations + n <= room)
		return 0;
	room = MAX(room * 2, l->n_observations + n);
	bigger = realloc(l->observations, room * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->observations = bigger;
	l->room_observations = room;
	return 0;
}

/* 0 where there is none. */
static int64_t label_number(const struct profile *p, uint32_t labels, const char *key)
{
	size_t n;
	const struct profile_label *l = profile_label_set(p, labels, &n);

	for (size_t i = 0; i < n; i++)
		if (l[i].unit != PROFILE_NONE && strcmp(profile_string(p, l[i].key, NULL), key) == 0)
			return l[i].value;
	return 0;
}

/* Where a profile counts objects: its values. */
struct objects {
	bool are_counted;
	uint32_t held, allocated;
};

static struct objects find_objects(const struct profile *p)
{
	struct objects o = { 0 };

	o.are_counted = profile_find_sample_type(p, "inuse_objects", &o.held) >= 0 &&
	                profile_find_sample_type(p, "alloc_objects", &o.allocated) >= 0;
	return o;
}

/* Of a sample; process: its labels, as series have them. */
static int add_objects(struct leaks *l, const struct profile *p, uint32_t sample, const struct objects *o,
        uint32_t process, uint32_t window, uint32_t series)
{
	const uint32_t labels = profile_sample(p, sample)->labels;
	const int64_t *values = profile_values_const(p, sample),
	              frees = label_number(p, labels, WINDOW_LABEL_UNSEEN_FREES);
	int r = 0;

	if (frees)
		r = leak_unseen_note(
		        l->unseen, process, window, frees, label_number(p, labels, WINDOW_LABEL_UNSEEN_ERROR));
	return r < 0 ? r : leak_unseen_add(l->unseen, process, window, series, values[o->held], values[o->allocated]);
}

static int add_window(struct leaks *l, const struct profile *p, uint32_t window)
{
	const uint32_t n = profile_n_samples(p);
	_cleanup_free_ struct profile_sample *where = calloc(MAX(n, 1u), sizeof(*where));
	struct merge_options options = MERGE_OPTIONS_DEFAULT;
	const struct objects objects = find_objects(p);
	const size_t before = l->n_observations;
	const int64_t zero = 0;
	uint32_t value;
	int r = find_value(l, p, &value);

	if (r < 0)
		return r;
	if (!where)
		return -ENOMEM;
	r = reserve(l, n);
	if (r < 0)
		return r;
	options.drop_labels = l->drop_labels;
	r = merge_map_samples(l->all, p, &options, where);
	for (uint32_t i = 0; r >= 0 && i < n; i++) {
		struct observation o = { .window = window, .value = profile_values_const(p, i)[value] };

		if (objects.are_counted && label_number(p, profile_sample(p, i)->labels, WINDOW_LABEL_SURVIVORS)) {
			r = window & BASELINE ? 0 : leak_unseen_add_gap(l->unseen, where[i].labels, window);
			continue;
		}
		if (o.value == 0)
			continue;
		r = profile_add_sample(l->all, where[i].stack, where[i].labels, &zero, &o.series);
		if (r >= 0 && objects.are_counted && !(window & BASELINE))
			r = add_objects(l, p, i, &objects, where[i].labels, window, o.series);
		if (r >= 0)
			l->observations[l->n_observations++] = o;
	}
	if (r < 0)
		l->n_observations = before;
	return r;
}

static bool is_bytes(const struct profile *p, uint32_t unit)
{
	return strcmp(profile_string(p, unit, NULL), "bytes") == 0;
}

int leaks_add(struct leaks *l, const struct profile *p, uint64_t time_ns)
{
	const struct profile_header *h = profile_header_const(p);
	int r;

	if (l->n_windows && time_ns <= l->times[l->n_windows - 1])
		return -EINVAL;
	if (l->n_windows == l->room_windows) {
		size_t room = MAX(l->room_windows * 2, (size_t)64);
		uint64_t *bigger = realloc(l->times, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		l->times = bigger;
		l->room_windows = room;
	}
	r = add_window(l, p, (uint32_t)l->n_windows);
	if (r < 0)
		return r;
	if (is_bytes(p, h->period_type.unit) && h->period > 1)
		l->sum_of_periods += (double)h->period;
	l->times[l->n_windows++] = time_ns;
	return 0;
}

int leaks_add_baseline(struct leaks *l, const struct profile *p)
{
	int r = add_window(l, p, BASELINE | l->n_baselines);

	l->n_baselines += r >= 0;
	return r;
}

static int compare_observations(const void *a, const void *b)
{
	const struct observation *x = a, *y = b;

	if (x->series != y->series)
		return x->series < y->series ? -1 : 1;
	return (x->window > y->window) - (x->window < y->window);
}

/* Several threads may have one stack once their labels are dropped: in one window their bytes are one value. */
static void fill_series(const struct observation *o, size_t n, int64_t *bytes, size_t n_windows, int64_t *ret_baseline)
{
	memset(bytes, 0, n_windows * sizeof(*bytes));
	*ret_baseline = 0;
	for (size_t i = 0; i < n;) {
		const uint32_t window = o[i].window;
		int64_t sum = 0;

		for (; i < n && o[i].window == window; i++)
			if (__builtin_add_overflow(sum, o[i].value, &sum))
				sum = INT64_MAX;
		if (window & BASELINE)
			*ret_baseline = MAX(*ret_baseline, sum);
		else
			bytes[window] = sum;
	}
}

/* The points of a process's series that are known: in place, from all. Returns how many. */
static size_t leave_out_gaps(const struct leaks *l, uint32_t process, uint64_t *times, int64_t *bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_windows; i++) {
		if (leak_unseen_is_gap(l->unseen, process, (uint32_t)i))
			continue;
		times[n] = l->times[i];
		bytes[n++] = bytes[i];
	}
	return n;
}

static int compare_suspects(const void *a, const void *b)
{
	const struct leak_result *x = &((const struct leak_suspect *)a)->result,
	                         *y = &((const struct leak_suspect *)b)->result;

	if ((x->verdict == LEAK_GROWING) != (y->verdict == LEAK_GROWING))
		return x->verdict == LEAK_GROWING ? -1 : 1;
	return (x->growth < y->growth) - (x->growth > y->growth);
}

static size_t run_length(const struct leaks *l, size_t at)
{
	size_t n = 1;

	while (at + n < l->n_observations && l->observations[at + n].series == l->observations[at].series)
		n++;
	return n;
}

int leaks_judge(struct leaks *l, const struct leak_options *options, struct leak_suspect **ret, size_t *ret_n)
{
	_cleanup_free_ int64_t *bytes = calloc(MAX(l->n_windows, (size_t)1), sizeof(*bytes));
	const uint32_t n_series = profile_n_samples(l->all);
	_cleanup_free_ struct leak_suspect *suspects = calloc(MAX(n_series, 1u), sizeof(*suspects));
	_cleanup_free_ uint64_t *times = calloc(MAX(l->n_windows, (size_t)1), sizeof(*times));
	_cleanup_free_ double *replaced = calloc(MAX(n_series, 1u), sizeof(*replaced));
	struct leak_options o = options ? *options : (struct leak_options){ 0 };
	const int64_t threshold = o.threshold ? o.threshold : LEAK_THRESHOLD_DEFAULT;
	size_t n_suspects = 0;
	int r;

	if (!bytes || !suspects || !times || !replaced)
		return -ENOMEM;
	r = leak_unseen_explain(l->unseen, (uint32_t)MAX(l->n_windows, (size_t)1) - 1, replaced, n_series);
	if (r < 0)
		return r;
	if (o.sampling_period <= 0)
		o.sampling_period = l->n_windows ? l->sum_of_periods / (double)l->n_windows : 0;
	if (l->n_observations)
		qsort(l->observations, l->n_observations, sizeof(*l->observations), compare_observations);
	for (size_t at = 0; at < l->n_observations;) {
		struct leak_suspect *s = &suspects[n_suspects];
		size_t n = run_length(l, at), n_points;

		s->key = *profile_sample(l->all, l->observations[at].series);
		fill_series(&l->observations[at], n, bytes, l->n_windows, &o.baseline);
		o.replaced = replaced[l->observations[at].series];
		n_points = leave_out_gaps(l, s->key.labels, times, bytes);
		r = leak_judge(times, bytes, n_points, &o, &s->result);
		if (r < 0)
			return r;
		n_suspects += s->result.growth >= threshold;
		at += n;
	}
	if (n_suspects)
		qsort(suspects, n_suspects, sizeof(*suspects), compare_suspects);
	*ret = TAKE_PTR(suspects);
	*ret_n = n_suspects;
	return 0;
}
