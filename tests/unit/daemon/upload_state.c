#include "tests/unit/place.h"
#include "daemon/upload_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/fd.h"

#define FILE_BYTES (UPLOAD_STATE_SLOTS * UPLOAD_STATE_SLOT_BYTES)

static int remove_place(void **state)
{
	struct place *p = *state;

	(void)unlinkat(p->fd, UPLOAD_STATE_FILE, 0);
	(void)unlinkat(p->fd, UPLOAD_STATE_DAMAGED, 0);
	(void)close(p->fd);
	assert_int_equal(rmdir(p->path), 0); /* nothing else was left behind */
	free(p);
	return 0;
}

static char *read_file(const struct place *p)
{
	char *data;
	size_t n;

	assert_int_equal(file_read_all(p->fd, UPLOAD_STATE_FILE, FILE_BYTES, &data, &n), 0);
	assert_int_equal(n, FILE_BYTES);
	return data;
}

static void write_file(const struct place *p, const char *data, size_t n)
{
	assert_int_equal(file_write_atomic(p->fd, UPLOAD_STATE_FILE, data, n, 0600), 0);
}

static void save(struct upload_state *s, const struct place *p, uint64_t sent, bool is_synced)
{
	s->c.sent = sent;
	assert_int_equal(upload_state_save(s, p->fd, is_synced), 0);
}

static void assert_loaded(const struct place *p, int want, uint64_t sent, unsigned damaged)
{
	struct upload_state s = { 0 };
	unsigned n = 99;

	assert_int_equal(upload_state_load(&s, p->fd, &n), want);
	assert_int_equal(n, damaged);
	assert_int_equal(s.c.sent, sent);
	upload_state_done(&s);
}

static void assert_torn(const struct place *p, uint64_t sent)
{
	struct upload_state s = { 0 };
	unsigned damaged;

	assert_int_equal(upload_state_load(&s, p->fd, &damaged), 0);
	assert_true(damaged <= 1);
	assert_int_equal(s.c.sent, sent);
	upload_state_done(&s);
}

static void what_is_saved_is_loaded(void **state)
{
	const struct place *p = *state;
	struct upload_state s = { 0 }, t = { 0 };
	char name[32];
	unsigned damaged;

	assert_loaded(p, 0, 0, 0); /* a new destination */
	s.c.put_until_ns = 123456789012345;
	s.c.failed_notes = 7;
	s.config_stamp = UINT64_MAX - 5;
	s.pause = (struct upload_pause){ 1, { 2, 3, INT64_MAX } };
	strcpy(s.last_error, "a \"quoted\"\nerror");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		upload_state_remember(&s, name);
		save(&s, p, (uint64_t)i, i % 3 == 0);
		assert_loaded(p, 0, (uint64_t)i, 0);
	}
	assert_int_equal(upload_state_load(&t, p->fd, &damaged), 0);
	assert_int_equal(t.c.put_until_ns, 123456789012345);
	assert_int_equal(t.c.failed_notes, 7);
	assert_true(t.config_stamp == UINT64_MAX - 5);
	assert_memory_equal(&t.pause, &s.pause, sizeof(s.pause));
	assert_string_equal(t.last_error, s.last_error);
	assert_true(upload_state_is_recent(&t, "w99") && upload_state_is_recent(&t, "w36"));
	assert_false(upload_state_is_recent(&t, "w35"));
	save(&t, p, 1000, false); /* goes on where the other ended */
	assert_loaded(p, 0, 1000, 0);
	upload_state_done(&s);
	upload_state_done(&t);
}

/* A save that was torn at any byte: what was saved before it counts. And a power cut: of saves since the last synced
 * one nothing may have come to the disk, or half of it. */
static void a_torn_save_takes_only_itself(void **state)
{
	const struct place *p = *state;
	struct upload_state s = { 0 };
	size_t changed = 0;

	for (uint64_t i = 1; i <= 12; i++) {
		_cleanup_free_ char *before = i == 1 ? NULL : read_file(p), *after = NULL;

		save(&s, p, i, i % 4 == 1);
		after = read_file(p);
		for (size_t at = 0; before && at < FILE_BYTES; at++) {
			if (before[at] == after[at])
				continue;
			if (changed++ % 7 == 0) { /* up to here it was written */
				write_file(p, before, FILE_BYTES);
				assert_torn(p, i - 1);
			}
			before[at] = after[at];
		}
		write_file(p, after, FILE_BYTES);
		assert_loaded(p, 0, i, 0);
	}
	assert_true(changed > 100);
	upload_state_done(&s);
}

static void what_was_synced_is_not_written_over(void **state)
{
	const struct place *p = *state;
	struct upload_state s = { 0 };
	_cleanup_free_ char *synced = NULL, *now = NULL;
	unsigned same = 0;

	for (uint64_t i = 1; i <= 10; i++)
		save(&s, p, i, true);
	synced = read_file(p);
	for (uint64_t i = 11; i <= 40; i++)
		save(&s, p, i, false);
	now = read_file(p);
	for (size_t i = 0; i < UPLOAD_STATE_SLOTS; i++)
		if (memcmp(now + i * UPLOAD_STATE_SLOT_BYTES, synced + i * UPLOAD_STATE_SLOT_BYTES,
		            UPLOAD_STATE_SLOT_BYTES) == 0) {
			memset(now, 'x', i * UPLOAD_STATE_SLOT_BYTES);
			memset(now + (i + 1) * UPLOAD_STATE_SLOT_BYTES, 'x',
			        FILE_BYTES - (i + 1) * UPLOAD_STATE_SLOT_BYTES);
			same++;
		}
	assert_int_equal(same, 1);
	write_file(p, now, FILE_BYTES); /* the worst that a power cut can leave */
	assert_loaded(p, 0, 10, 2);
	upload_state_done(&s);
}

static void damage_is_told_and_mended(void **state)
{
	const struct place *p = *state;
	struct upload_state s = { 0 };
	_cleanup_free_ char *data = NULL;

	for (uint64_t i = 1; i <= 7; i++)
		save(&s, p, i, true);
	upload_state_done(&s);
	data = read_file(p);
	for (size_t i = 0; i < UPLOAD_STATE_SLOTS; i++)
		for (size_t at = 0; at < 60; at++) { /* of the head and of the text: any byte */
			char *byte = data + i * UPLOAD_STATE_SLOT_BYTES + at;
			struct upload_state t = { 0 };
			unsigned damaged;

			*byte ^= 1;
			write_file(p, data, FILE_BYTES);
			*byte ^= 1;
			assert_int_equal(upload_state_load(&t, p->fd, &damaged), 0);
			assert_int_equal(damaged, 1);
			assert_true(t.c.sent >= 6 && t.c.sent <= 7);
			save(&t, p, 8, false); /* where the damage was */
			assert_loaded(p, 0, 8, 0);
			upload_state_done(&t);
		}
}

static void without_a_whole_slot_the_file_is_set_aside(void **state)
{
	const struct place *p = *state;
	static const size_t sizes[] = { 0, 1, 40, FILE_BYTES - 1, FILE_BYTES, FILE_BYTES + 1 };
	_cleanup_free_ char *noise = malloc(FILE_BYTES + 1);
	uint64_t now;

	assert_non_null(noise);
	memset(noise, '{', FILE_BYTES + 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct upload_state s = { 0 };
		unsigned damaged;

		write_file(p, noise, sizes[i]);
		now = clock_now_ns(CLOCK_REALTIME);
		assert_int_equal(upload_state_load(&s, p->fd, &damaged), -EBADMSG);
		/* File times are those of the last tick. */
		assert_true(s.c.put_until_ns <= clock_now_ns(CLOCK_REALTIME) &&
		            s.c.put_until_ns + NS_PER_SEC > now - 60 * NS_PER_SEC);
		assert_int_equal(faccessat(p->fd, UPLOAD_STATE_DAMAGED, F_OK, 0), 0);
		assert_int_equal(faccessat(p->fd, UPLOAD_STATE_FILE, F_OK, 0), -1);
		save(&s, p, 5, false);
		assert_loaded(p, 0, 5, 0);
		upload_state_done(&s);
	}
}

static void long_names_leave_the_oldest_out(void **state)
{
	const struct place *p = *state;
	struct upload_state s = { 0 }, t = { 0 };
	char name[201];
	unsigned damaged;

	for (int i = 0; i < UPLOAD_RECENT_MAX; i++) { /* six bytes of JSON each */
		memset(name, 1, sizeof(name) - 1);
		snprintf(name + 190, 11, "%010d", i);
		upload_state_remember(&s, name);
	}
	memset(s.last_error, 1, sizeof(s.last_error) - 1);
	save(&s, p, 1, true);
	assert_int_equal(upload_state_load(&t, p->fd, &damaged), 0);
	assert_true(upload_state_is_recent(&t, name));
	assert_int_equal(t.n_recent, UPLOAD_RECENT_MAX / 4);
	upload_state_done(&s);
	upload_state_done(&t);
}

static void a_removed_file_is_made_again(void **state)
{
	const struct place *p = *state;
	struct upload_state s = { 0 };

	save(&s, p, 1, true);
	assert_int_equal(unlinkat(p->fd, UPLOAD_STATE_FILE, 0), 0);
	save(&s, p, 2, false);
	assert_loaded(p, 0, 2, 0);
	save(&s, p, 3, false);
	assert_loaded(p, 0, 3, 0);
	upload_state_done(&s);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(what_is_saved_is_loaded, make_place, remove_place),
	cmocka_unit_test_setup_teardown(a_torn_save_takes_only_itself, make_place, remove_place),
	cmocka_unit_test_setup_teardown(what_was_synced_is_not_written_over, make_place, remove_place),
	cmocka_unit_test_setup_teardown(damage_is_told_and_mended, make_place, remove_place),
	cmocka_unit_test_setup_teardown(without_a_whole_slot_the_file_is_set_aside, make_place, remove_place),
	cmocka_unit_test_setup_teardown(long_names_leave_the_oldest_out, make_place, remove_place),
	cmocka_unit_test_setup_teardown(a_removed_file_is_made_again, make_place, remove_place),
};

UNIT_MAIN(tests)
