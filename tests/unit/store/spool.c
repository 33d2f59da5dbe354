#include "tests/unit/place.h"
#include "store/spool.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/fd.h"

static void remove_tree(int fd)
{
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	struct dirent *e;

	while ((e = readdir(dir))) {
		int sub;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (sub >= 0)
			remove_tree(sub);
		(void)unlinkat(fd, e->d_name, sub >= 0 ? AT_REMOVEDIR : 0);
	}
}

static int remove_place(void **state)
{
	struct place *p = *state;

	remove_tree(TAKE_FD(p->fd));
	(void)rmdir(p->path);
	free(p);
	return 0;
}

static void put_file(const struct place *p, struct spool *s, const char *name, size_t size, unsigned dropped)
{
	char data[1000];
	unsigned n = 99;

	assert_true(size <= sizeof(data));
	memset(data, name[0], sizeof(data));
	assert_int_equal(file_write_atomic(p->fd, name, data, size, 0600), 0);
	assert_int_equal(spool_put(s, p->fd, name, name, &n), 0);
	assert_int_equal(n, dropped);
	assert_int_equal(unlinkat(p->fd, name, 0), 0); /* the store lets go; the spool's link stays */
}

static void assert_entry(const struct spool *s, size_t i, const char *name)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	struct spool_entry e;
	size_t size;

	assert_int_equal(spool_get(s, i, &e), 0);
	assert_string_equal(e.name, name);
	assert_int_equal(spool_open_entry(s, e.sequence, &fd), 0);
	assert_int_equal(fd_read_all(fd, 1 << 20, &text, &size), 0);
	assert_int_equal(size, e.size_bytes);
	assert_int_equal(text[0], name[0]);
}

static void order_survives_opening_again(void **state)
{
	const struct place *p = *state;
	_cleanup_(spool_freep) struct spool *s = NULL;
	struct spool_entry e;

	assert_int_equal(spool_open(p->fd, "spool/one", 10000, &s), 0);
	put_file(p, s, "c", 100, 0);
	put_file(p, s, "a", 200, 0);
	put_file(p, s, "b", 300, 0);
	assert_int_equal(file_write_atomic(spool_dirfd(s), "state.json", "{}", 2, 0600), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(spool_totals(s).n, 3);
		assert_int_equal(spool_totals(s).bytes, 600);
		assert_entry(s, 0, "c");
		assert_entry(s, 1, "a");
		assert_entry(s, 2, "b");
		assert_int_equal(spool_get(s, 3, &e), -ENOENT);
		s = spool_free(s);
		assert_int_equal(spool_open(p->fd, "spool/one", 10000, &s), 0);
	}
	assert_int_equal(spool_get(s, 1, &e), 0);
	assert_int_equal(spool_remove(s, e.sequence), 0);
	assert_int_equal(spool_remove(s, e.sequence), -ENOENT);
	assert_int_equal(spool_totals(s).bytes, 400);
	assert_entry(s, 0, "c");
	assert_entry(s, 1, "b");
	put_file(p, s, "d", 100, 0);
	assert_entry(s, 2, "d");
}

static void oldest_goes_first(void **state)
{
	const struct place *p = *state;
	_cleanup_(spool_freep) struct spool *s = NULL;
	unsigned dropped;

	assert_int_equal(spool_open(p->fd, "one", 1000, &s), 0);
	put_file(p, s, "a", 400, 0);
	put_file(p, s, "b", 400, 0);
	put_file(p, s, "c", 700, 2);
	assert_int_equal(spool_totals(s).n, 1);
	assert_entry(s, 0, "c");
	put_file(p, s, "d", 300, 0);
	assert_int_equal(file_write_atomic(p->fd, "big", (char[2000]){ 0 }, 2000, 0600), 0);
	assert_int_equal(spool_put(s, p->fd, "big", "big", &dropped), -E2BIG);
	assert_int_equal(dropped, 0);
	assert_int_equal(spool_totals(s).n, 2);
	spool_set_bytes_max(s, 500);
	put_file(p, s, "e", 100, 1);
	assert_entry(s, 0, "d");
}

static void bad_names_and_strangers(void **state)
{
	const struct place *p = *state;
	_cleanup_(spool_freep) struct spool *s = NULL;
	char name[SPOOL_NAME_MAX + 2];
	struct spool_entry e;
	int fd;

	assert_int_equal(spool_open(p->fd, "one", 1000, &s), 0);
	assert_int_equal(file_write_atomic(p->fd, "f", "x", 1, 0600), 0);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	assert_int_equal(spool_put(s, p->fd, "f", name, NULL), -EINVAL);
	assert_int_equal(spool_put(s, p->fd, "f", "a/b", NULL), -EINVAL);
	assert_int_equal(spool_put(s, p->fd, "f", "", NULL), -EINVAL);
	assert_int_equal(spool_put(s, p->fd, "missing", "m", NULL), -ENOENT);
	assert_int_equal(symlinkat("/etc/passwd", spool_dirfd(s), "0000000000000001-link"), 0);
	assert_int_equal(mkdirat(spool_dirfd(s), "0000000000000002-dir", 0700), 0);
	assert_int_equal(file_write_atomic(spool_dirfd(s), "000-short", "x", 1, 0600), 0);
	s = spool_free(s);
	assert_int_equal(spool_open(p->fd, "one", 1000, &s), 0);
	assert_int_equal(spool_totals(s).n, 0);
	put_file(p, s, "g", 1, 0);
	assert_int_equal(spool_get(s, 0, &e), 0);
	assert_int_equal(e.sequence, 3); /* numbers of strangers are left alone */
	assert_int_equal(spool_open_entry(s, 77, &fd), -ENOENT);
}

static void many_entries(void **state)
{
	const struct place *p = *state;
	_cleanup_(spool_freep) struct spool *s = NULL;
	struct spool_entry e;
	char name[32];

	assert_int_equal(spool_open(p->fd, "one", 100, &s), 0);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		put_file(p, s, name, 1, i >= 100);
		if (i % 7 == 0) {
			assert_int_equal(spool_get(s, spool_totals(s).n / 2, &e), 0);
			assert_int_equal(spool_open_entry(s, e.sequence, &(int){ -1 }) < 0, 0);
		}
	}
	assert_int_equal(spool_totals(s).n, 100);
	assert_entry(s, 0, "n400");
	assert_entry(s, 99, "n499");
}

static void assert_next(const struct spool *s, const char *name, enum spool_state state, uint64_t parts_done)
{
	struct spool_entry e;

	if (!name) {
		assert_int_equal(spool_next(s, &e), -ENOENT);
		return;
	}
	assert_int_equal(spool_next(s, &e), 0);
	assert_string_equal(e.name, name);
	assert_int_equal(e.state, state);
	assert_int_equal(e.parts_done, parts_done);
}

static uint64_t sequence_at(const struct spool *s, size_t i)
{
	struct spool_entry e;

	assert_int_equal(spool_get(s, i, &e), 0);
	return e.sequence;
}

static void set_aside_and_taken_back(void **state)
{
	const struct place *p = *state;
	_cleanup_(spool_freep) struct spool *s = NULL;

	assert_int_equal(spool_open(p->fd, "one", 1000, &s), 0);
	put_file(p, s, "a", 100, 0);
	put_file(p, s, "b-with=dashes@", 200, 0);
	put_file(p, s, "c", 300, 0);
	assert_int_equal(spool_set(s, sequence_at(s, 0), SPOOL_REFUSED, 3), 0);
	assert_int_equal(spool_set(s, sequence_at(s, 1), SPOOL_DENIED, 0), 0);
	assert_int_equal(spool_set(s, sequence_at(s, 2), SPOOL_WAITING, 0x1f), 0);
	assert_int_equal(spool_set(s, 77, SPOOL_WAITING, 0), -ENOENT);
	for (int i = 0; i < 2; i++) { /* as noted, and as found again after a kill */
		assert_int_equal(spool_totals(s).n, 3);
		assert_int_equal(spool_totals(s).n_aside, 2);
		assert_int_equal(spool_totals(s).bytes, 600);
		assert_int_equal(spool_totals(s).bytes_aside, 300);
		assert_entry(s, 0, "a");
		assert_entry(s, 1, "b-with=dashes@");
		assert_next(s, "c", SPOOL_WAITING, 0x1f);
		s = spool_free(s);
		assert_int_equal(spool_open(p->fd, "one", 1000, &s), 0);
	}
	assert_int_equal(spool_remove(s, sequence_at(s, 2)), 0);
	assert_next(s, NULL, SPOOL_WAITING, 0);
	assert_int_equal(spool_take_back(s, 1), 1);
	assert_next(s, "b-with=dashes@", SPOOL_WAITING, 0);
	assert_int_equal(spool_take_back(s, 0), 1);
	assert_next(s, "a", SPOOL_WAITING, 3); /* at its old place, and not from its start */
	spool_forget_parts(s);
	assert_next(s, "a", SPOOL_WAITING, 0);
	assert_int_equal(spool_totals(s).n_aside, 0);
	assert_int_equal(spool_totals(s).bytes_aside, 0);
}

static void what_is_set_aside_counts_for_the_limit(void **state)
{
	const struct place *p = *state;
	_cleanup_(spool_freep) struct spool *s = NULL;

	assert_int_equal(spool_open(p->fd, "one", 1000, &s), 0);
	put_file(p, s, "a", 400, 0);
	put_file(p, s, "b", 400, 0);
	assert_int_equal(spool_set(s, sequence_at(s, 0), SPOOL_REFUSED, 0), 0);
	put_file(p, s, "c", 300, 1);
	assert_int_equal(spool_totals(s).n_aside, 0);
	assert_int_equal(spool_totals(s).bytes, 700);
	assert_next(s, "b", SPOOL_WAITING, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(set_aside_and_taken_back, make_place, remove_place),
	cmocka_unit_test_setup_teardown(what_is_set_aside_counts_for_the_limit, make_place, remove_place),
	cmocka_unit_test_setup_teardown(order_survives_opening_again, make_place, remove_place),
	cmocka_unit_test_setup_teardown(oldest_goes_first, make_place, remove_place),
	cmocka_unit_test_setup_teardown(bad_names_and_strangers, make_place, remove_place),
	cmocka_unit_test_setup_teardown(many_entries, make_place, remove_place),
};

UNIT_MAIN(tests)
