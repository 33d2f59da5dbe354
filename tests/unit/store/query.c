#include "tests/unit/unit.h"
#include "tests/unit/store/scene.h"
#include "store/compact.h"
#include "store/handle.h"
#include "store/query.h"
#include "store/series.h"
#include "store/trailer.h"
#include "store/walk.h"

#include <fcntl.h>

static int set_up(void **state)
{
	*state = scene_directory();
	return 0;
}

static int tear_down(void **state)
{
	scene_remove(*state);
	free(*state);
	return 0;
}

static struct profile *ask(struct store *s, int from, int to, const char *match, struct query_report *report)
{
	_cleanup_(matchers_freep) struct matchers *m = NULL;
	struct selection sel = { .from_ns = SCENE_START_NS + from * SCENE_MINUTE_NS,
		.to_ns = SCENE_START_NS + to * SCENE_MINUTE_NS };
	struct profile *p = NULL;

	assert_int_equal(matchers_parse(match, &m, NULL), 0);
	sel.matchers = m;
	assert_int_equal(store_query(s, &sel, NULL, &p, report, NULL), 0);
	return p;
}

static int64_t total(struct store *s, int from, int to, const char *match)
{
	struct query_report report;
	_cleanup_(profile_freep) struct profile *p = ask(s, from, to, match, &report);

	return profile_total(p, 0);
}

static int64_t truth(int from, int to)
{
	int64_t sum = 0;

	for (int i = from; i < to; i++)
		sum += 10 + i % 7 + 1;
	return sum;
}

static void put_minutes(struct store *s, int n)
{
	for (int i = 0; i < n; i++)
		scene_put(s, i);
}

static void adds_up_what_lies_in_the_range(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);

	put_minutes(s, 12);
	assert_int_equal(total(s, 0, 12, ""), truth(0, 12));
	assert_int_equal(total(s, 3, 8, ""), truth(3, 8));
	assert_int_equal(total(s, 0, 12, "comm=redis"), 120);
	assert_int_equal(total(s, 0, 12, "comm=~\"ng.*\""), truth(0, 12) - 120);
	assert_int_equal(total(s, 0, 12, "comm!=redis"), truth(0, 12) - 120);
	assert_int_equal(total(s, 0, 12, "pid=200"), truth(0, 12) - 120);
	assert_int_equal(total(s, 0, 12, "tid=\"101\""), 40);
	assert_int_equal(total(s, 0, 12, "unit=\"\""), truth(0, 12));
	assert_int_equal(total(s, 0, 12, "unit=x"), 0);
	assert_int_equal(total(s, 50, 60, ""), 0);
}

static void passes_over_files_by_label(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct query_report report;

	put_minutes(s, 5);
	profile_free(ask(s, 0, 5, "comm=postgres", &report));
	assert_int_equal(report.n_passed_over, 5);
	assert_int_equal(report.n_files, 0);
	profile_free(ask(s, 0, 5, "comm!=postgres", &report));
	assert_int_equal(report.n_files, 5);
}

static void answers_without_an_index(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state), *reader = NULL;
	struct query_report report;

	put_minutes(s, 70);
	assert_int_equal(unlinkat(s->dir_fd, INDEX_FILE, 0), 0);
	assert_int_equal(store_open(&(struct store_options){ .path = *state, .read_only = true }, &reader), 0);
	profile_free(ask(reader, 5, 65, "comm=redis", &report));
	assert_false(report.has_index);
	assert_int_equal(total(reader, 5, 65, ""), truth(5, 65));
}

static void hours_and_days_hold_what_their_windows_held(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state), *reader = NULL;
	struct compact_options options = { .now_ns = SCENE_START_NS + 200 * SCENE_MINUTE_NS };
	struct compact_result result;
	struct query_report report;

	put_minutes(s, 190);
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(result.n_merged[STORE_HOUR], 3);
	assert_int_equal(result.n_files, 180);
	assert_int_equal(total(s, 0, 190, ""), truth(0, 190));
	assert_int_equal(total(s, 60, 120, ""), truth(60, 120));
	profile_free(ask(s, 0, 190, "", &report));
	assert_int_equal(report.n_of[STORE_HOUR], 3);
	assert_int_equal(report.n_of[STORE_WINDOW], 10);
	/* an hour counts where its middle is, or where it holds all that is asked for */
	assert_int_equal(total(s, 80, 130, ""), truth(60, 120));
	assert_int_equal(total(s, 65, 70, ""), truth(60, 120));
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(result.n_files, 0);

	options.now_ns += 5 * 86400000000000ll;
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(result.n_merged[STORE_HOUR], 1);
	assert_int_equal(result.n_merged[STORE_DAY], 0); /* an hour can be asked for by itself for two weeks */
	assert_int_equal(total(s, 60, 120, ""), truth(60, 120));
	options.is_short_of_room = true;
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(result.n_merged[STORE_DAY], 1);
	assert_int_equal(total(s, 0, 1440, ""), truth(0, 190));
	assert_int_equal(unlinkat(s->dir_fd, INDEX_FILE, 0), 0);
	assert_int_equal(store_open(&(struct store_options){ .path = *state, .read_only = true }, &reader), 0);
	assert_int_equal(total(reader, 0, 1440, ""), truth(0, 190));
}

/* kill -9 after the merged file is in place, before the index knows: made again by keeping the old files. */
static void a_killed_merge_counts_once(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state), *reader = NULL;
	struct compact_options options = { .now_ns = SCENE_START_NS + 100 * SCENE_MINUTE_NS };
	struct compact_result result;
	struct rebuild_result found;
	char copy[600];

	put_minutes(s, 65);
	snprintf(copy, sizeof(copy), "cp -a %s/cpu %s/saved", (char *)*state, (char *)*state);
	assert_int_equal(system(copy), 0);
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(result.n_files, 60);
	snprintf(copy, sizeof(copy), "cp -an %s/saved/. %s/cpu/; rm -rf %s/saved", (char *)*state, (char *)*state,
	        (char *)*state);
	assert_int_equal(system(copy), 0);
	/* the index knows the hour only: what lies about is not asked */
	assert_int_equal(total(s, 0, 65, ""), truth(0, 65));
	/* by names alone: the hour's trailer tells what it holds */
	assert_int_equal(renameat(s->dir_fd, INDEX_FILE, s->dir_fd, "elsewhere"), 0);
	assert_int_equal(store_open(&(struct store_options){ .path = *state, .read_only = true }, &reader), 0);
	assert_int_equal(total(reader, 0, 65, ""), truth(0, 65));
	assert_int_equal(renameat(s->dir_fd, "elsewhere", s->dir_fd, INDEX_FILE), 0);
	assert_int_equal(store_reconcile(s, true, NULL, &found), 0);
	assert_int_equal(found.n_leftovers, 60);
	assert_int_equal(total(s, 0, 65, ""), truth(0, 65));
	assert_int_equal(store_rebuild(s, true, NULL, &found), 0);
	assert_int_equal(found.n_added, 6);
	assert_int_equal(total(s, 0, 65, ""), truth(0, 65));
}

/* The other half: the file is there, the index has the windows and the mark of a merge under way. */
static void a_merge_killed_before_its_row_is_found(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct compact_options options = { .now_ns = SCENE_START_NS + 100 * SCENE_MINUTE_NS };
	struct compact_result result;
	char command[600];

	put_minutes(s, 65);
	snprintf(command, sizeof(command), "cp -a %s %s.copy", (char *)*state, (char *)*state);
	assert_int_equal(system(command), 0);
	assert_int_equal(store_compact(s, &options, &result), 0);
	/* the copy is the store of before; it gets the merged file, as if the kill had come right after its name */
	snprintf(command, sizeof(command), "cp -a %s/cpu/2026-06-01/*+hour* %s.copy/cpu/2026-06-01/", (char *)*state,
	        (char *)*state);
	assert_int_equal(system(command), 0);
	s = store_close(s);
	snprintf(command, sizeof(command), "%s.copy", (char *)*state);
	s = scene_open(command);
	assert_int_equal(index_set_number(s->index, "merging", 1), 0);
	assert_int_equal(total(s, 0, 65, ""), truth(0, 65));
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(total(s, 0, 65, ""), truth(0, 65));
	assert_int_equal(system("true"), 0);
	scene_remove(command);
}

/* The clock was set back: the same names come again with other contents, after the first ones were merged away. */
static void a_name_taken_again_is_another_file(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct compact_options options = { .now_ns = SCENE_START_NS + 100 * SCENE_MINUTE_NS };
	struct compact_result result;
	struct rebuild_result found;

	put_minutes(s, 60);
	assert_int_equal(store_compact(s, &options, &result), 0);
	for (int i = 0; i < 60; i++) {
		_cleanup_(profile_freep) struct profile *p = scene_profile(SCENE_START_NS + i * SCENE_MINUTE_NS);

		scene_sample(p, "other", "perl", 5, 5, 1);
		assert_int_equal(store_put(s, "cpu", NULL, p, NULL), 0);
	}
	assert_int_equal(total(s, 0, 60, ""), truth(0, 60) + 60);
	assert_int_equal(store_rebuild(s, true, NULL, &found), 0);
	assert_int_equal(found.n_leftovers, 0);
	assert_int_equal(total(s, 0, 60, ""), truth(0, 60) + 60);
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(result.n_merged[STORE_HOUR], 1);
	assert_int_equal(total(s, 0, 60, ""), truth(0, 60) + 60);
}

static void corrupt_files_are_set_aside(void **state)
{
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct query_report report;
	int fd;

	put_minutes(s, 4);
	fd = openat(s->dir_fd, "cpu/2026-06-01/20260601T000200Z-web1.pb.zst", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 60), 0);
	close(fd);
	fd = openat(s->dir_fd, "cpu/2026-06-01/20260601T000100Z-web1.pb.zst", O_WRONLY);
	assert_int_equal(pwrite(fd, "garbage", 7, 20), 7);
	close(fd);
	profile_free(ask(s, 0, 4, "", &report));
	assert_int_equal(report.corrupt.n, 2);
	assert_string_equal(report.corrupt.named[0], "corrupt/cpu-20260601T000100Z-web1.pb.zst");
	assert_int_equal(faccessat(s->dir_fd, report.corrupt.named[1], F_OK, 0), 0);
	assert_int_equal(total(s, 0, 4, ""), truth(0, 1) + truth(3, 4));
}

/* Files over the limit are not merged with others, and the attempt is not made each time anew. */
static void too_large_hours_stay_apart(void **state)
{
	_cleanup_(store_closep) struct store *s = NULL;
	struct compact_options options = { .now_ns = SCENE_START_NS + 100 * SCENE_MINUTE_NS, .no_days = true };
	struct compact_result result;

	assert_int_equal(
	        store_open(&(struct store_options){ .path = *state, .host = "web1", .max_profile_bytes = 4000 }, &s),
	        0);
	for (int i = 0; i < 8; i++) {
		_cleanup_(profile_freep) struct profile *p = scene_profile(SCENE_START_NS + i * SCENE_MINUTE_NS);

		for (int j = 0; j < 20; j++) {
			char name[32];

			snprintf(name, sizeof(name), "function_%d_%d", i / 2, j);
			scene_sample(p, name, "redis", 1, 2, 1);
		}
		assert_int_equal(store_put(s, "cpu", NULL, p, NULL), 0);
	}
	assert_int_equal(total(s, 0, 60, ""), 160);
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_true(result.n_merged[STORE_HOUR] > 1);
	assert_int_equal(total(s, 0, 60, ""), 160);
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(store_compact(s, &options, &result), 0);
	assert_int_equal(result.n_files, 0);
}

struct seen {
	int64_t redis, all;
	int points;
};

static int on_point(void *data, const struct series_point *p)
{
	struct seen *seen = data;

	assert_int_equal(p->end_ns - p->start_ns, SCENE_MINUTE_NS);
	assert_string_equal(p->unit, "count");
	seen->points++;
	seen->all += p->value;
	if (strcmp(p->key, "redis") == 0)
		seen->redis += p->value;
	return 0;
}

static void on_progress(void *userdata, uint64_t done, uint64_t total)
{
	uint64_t *last = userdata;

	assert_int_equal(done, *last + 1);
	assert_int_equal(total, 5);
	*last = done;
}

static void series_add_up(void **state)
{
	uint64_t files_done = 0;
	const struct store_progress progress = { on_progress, &files_done };
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct selection sel = { .from_ns = SCENE_START_NS, .to_ns = SCENE_START_NS + 5 * SCENE_MINUTE_NS };
	struct query_report report;
	struct seen seen = { 0 };

	put_minutes(s, 10);
	assert_int_equal(
	        store_series(s, &sel,
	                &(struct series_options){ .by = "comm", .sample_type = "samples", .progress = &progress },
	                on_point, &seen, &report, NULL),
	        0);
	assert_int_equal(seen.points, 10);
	assert_int_equal(files_done, 5);
	assert_int_equal(seen.redis, 50);
	assert_int_equal(seen.all, truth(0, 5));
	assert_int_equal(store_series(s, &sel, &(struct series_options){ .sample_type = "heap" }, on_point, &seen,
	                         &report, NULL),
	        -ENOENT);
}

static int on_extreme(void *data, const struct series_point *p)
{
	*(int64_t *)data = p->value;
	return 0;
}

static void series_stays_at_the_ends_of_the_range(void **state)
{
	_cleanup_(profile_freep) struct profile *p = scene_profile(SCENE_START_NS);
	_cleanup_(store_closep) struct store *s = scene_open(*state);
	struct selection sel = { .from_ns = SCENE_START_NS, .to_ns = SCENE_START_NS + SCENE_MINUTE_NS };
	struct query_report report;
	int64_t value = 0;

	scene_sample(p, "a", "redis", 1, 2, 1);
	scene_sample(p, "b", "redis", 1, 2, 1);
	profile_values(p, 0)[0] = profile_values(p, 1)[0] = INT64_MIN / 2 - 1;
	assert_int_equal(store_put(s, "cpu", NULL, p, NULL), 0);
	assert_int_equal(store_series(s, &sel, &(struct series_options){ .sample_type = "samples" }, on_extreme, &value,
	                         &report, NULL),
	        0);
	assert_true(value == INT64_MIN);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static const struct CMUnitTest tests[] = {
	CASE(adds_up_what_lies_in_the_range),
	CASE(passes_over_files_by_label),
	CASE(answers_without_an_index),
	CASE(hours_and_days_hold_what_their_windows_held),
	CASE(a_killed_merge_counts_once),
	CASE(a_merge_killed_before_its_row_is_found),
	CASE(a_name_taken_again_is_another_file),
	CASE(corrupt_files_are_set_aside),
	CASE(too_large_hours_stay_apart),
	CASE(series_add_up),
	CASE(series_stays_at_the_ends_of_the_range),
};

UNIT_MAIN(tests)
