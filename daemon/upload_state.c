#include "daemon/upload_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

#define FORMAT "EMBRUPL1"

struct slot_head {
	char format[8];
	uint64_t generation;
	uint64_t size; /* of the JSON behind it */
	uint64_t hash; /* of that, seeded with the generation */
};

static const struct {
	const char *key;
	size_t offset;
} counter_keys[] = {
	{ "sent", offsetof(struct upload_counters, sent) },
	{ "retried", offsetof(struct upload_counters, retried) },
	{ "dropped", offsetof(struct upload_counters, dropped) },
	{ "rejected", offsetof(struct upload_counters, rejected) },
	{ "refused", offsetof(struct upload_counters, refused) },
	{ "expired", offsetof(struct upload_counters, expired) },
	{ "failed_puts", offsetof(struct upload_counters, failed_puts) },
	{ "requests", offsetof(struct upload_counters, requests) },
	{ "bytes", offsetof(struct upload_counters, bytes) },
	{ "samples", offsetof(struct upload_counters, samples) },
	{ "profiles_refused", offsetof(struct upload_counters, profiles_refused) },
	{ "crashes", offsetof(struct upload_counters, crashes) },
	{ "failed_notes", offsetof(struct upload_counters, failed_notes) },
	{ "last_success_ns", offsetof(struct upload_counters, last_success_ns) },
	{ "last_error_ns", offsetof(struct upload_counters, last_error_ns) },
	{ "put_until_ns", offsetof(struct upload_counters, put_until_ns) },
	{ "cpu_ns", offsetof(struct upload_counters, cpu_ns) },
};

/* Numbers that are nobody's to look at. */
static const struct {
	const char *key;
	size_t offset;
} number_keys[] = {
	{ "config_stamp", offsetof(struct upload_state, config_stamp) },
	{ "files_stamp", offsetof(struct upload_state, files_stamp) },
	{ "pause_ns", offsetof(struct upload_state, pause.ns) },
	{ "pause_wall_ns", offsetof(struct upload_state, pause.begun.wall_ns) },
	{ "pause_boottime_ns", offsetof(struct upload_state, pause.begun.boottime_ns) },
	{ "pause_boot_id", offsetof(struct upload_state, pause.begun.boot_id) },
};

static uint64_t *counter(const struct upload_state *s, size_t i)
{
	return (uint64_t *)((char *)&s->c + counter_keys[i].offset);
}

static uint64_t *number(const struct upload_state *s, size_t i)
{
	return (uint64_t *)((char *)s + number_keys[i].offset);
}

json_t *upload_state_counters(const struct upload_state *s)
{
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(counter_keys); i++)
		(void)json_object_set_new(o, counter_keys[i].key, json_integer((json_int_t)*counter(s, i)));
	return o;
}

void upload_state_remember(struct upload_state *s, const char *name)
{
	size_t i = s->n_recent % UPLOAD_RECENT_MAX;

	free(s->recent[i]);
	s->recent[i] = strdup(name);
	s->n_recent++;
}

bool upload_state_is_recent(const struct upload_state *s, const char *name)
{
	for (size_t i = 0; i < UPLOAD_RECENT_MAX; i++)
		if (s->recent[i] && strcmp(s->recent[i], name) == 0)
			return true;
	return false;
}

/* With so many of the newest names as fit. */
static char *state_text(const struct upload_state *s, size_t n_names)
{
	json_t *o = upload_state_counters(s), *recent = json_array();
	char *text;

	for (size_t i = s->n_recent > n_names ? s->n_recent - n_names : 0; i < s->n_recent; i++)
		if (s->recent[i % UPLOAD_RECENT_MAX])
			(void)json_array_append_new(recent, json_string(s->recent[i % UPLOAD_RECENT_MAX]));
	(void)json_object_set_new(o, "recent", recent);
	for (size_t i = 0; i < ARRAY_SIZE(number_keys); i++)
		(void)json_object_set_new(o, number_keys[i].key, json_integer((json_int_t)*number(s, i)));
	(void)json_object_set_new(o, "last_error", json_string(s->last_error));
	text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	return text;
}

static int make_slot(const struct upload_state *s, uint64_t generation, char *slot, size_t *ret_size)
{
	struct slot_head head = { .format = FORMAT, .generation = generation };

	for (size_t names = UPLOAD_RECENT_MAX; names; names /= 2) {
		_cleanup_free_ char *text = state_text(s, names);

		if (!text)
			return -ENOMEM;
		head.size = strlen(text);
		if (head.size > UPLOAD_STATE_SLOT_BYTES - sizeof(head))
			continue;
		head.hash = XXH3_64bits_withSeed(text, head.size, generation);
		memcpy(slot, &head, sizeof(head));
		memcpy(slot + sizeof(head), text, head.size);
		*ret_size = sizeof(head) + head.size;
		return 0;
	}
	return -E2BIG;
}

/* The first save, and one after somebody has removed the file. */
static int create(struct upload_state *s, int dirfd)
{
	_cleanup_free_ char *all = calloc(UPLOAD_STATE_SLOTS, UPLOAD_STATE_SLOT_BYTES);
	uint64_t generation = s->generations[s->synced] + UPLOAD_STATE_SLOTS;
	size_t size;
	int r = all ? make_slot(s, generation, all, &size) : -ENOMEM;

	if (r >= 0)
		r = file_write_atomic(
		        dirfd, UPLOAD_STATE_FILE, all, UPLOAD_STATE_SLOTS * UPLOAD_STATE_SLOT_BYTES, 0600);
	if (r < 0)
		return r;
	memset(s->generations, 0, sizeof(s->generations));
	s->generations[0] = generation;
	s->synced = 0;
	return 0;
}

int upload_state_save(struct upload_state *s, int dirfd, bool is_synced)
{
	_cleanup_close_ int fd = openat(dirfd, UPLOAD_STATE_FILE, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_free_ char *slot = malloc(UPLOAD_STATE_SLOT_BYTES);
	size_t size, to = s->synced == 0;
	uint64_t generation = 0;
	int r;

	if (fd < 0 && errno == ENOENT)
		return create(s, dirfd);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < UPLOAD_STATE_SLOTS; i++) {
		generation = MAX(generation, s->generations[i]);
		if (i != s->synced && s->generations[i] < s->generations[to])
			to = i;
	}
	r = slot ? make_slot(s, ++generation, slot, &size) : -ENOMEM;
	if (r < 0)
		return r;
	s->generations[to] = 0; /* whatever becomes of it */
	r = fd_pwrite_full(fd, slot, size, to * UPLOAD_STATE_SLOT_BYTES);
	if (r < 0)
		return r;
	s->generations[to] = generation;
	if (!is_synced)
		return 0;
	if (fdatasync(fd) < 0)
		return -errno;
	s->synced = to;
	return 0;
}

/* The JSON of a slot that is whole, and its number; NULL and 0 where it is not, or was never written. */
static const char *check_slot(const char *slot, size_t n, uint64_t *ret_generation, size_t *ret_size)
{
	struct slot_head head;

	*ret_generation = 0;
	if (n < sizeof(head))
		return NULL;
	memcpy(&head, slot, sizeof(head));
	if (memcmp(head.format, FORMAT, sizeof(head.format)) != 0 || !head.generation || head.size > n - sizeof(head) ||
	        XXH3_64bits_withSeed(slot + sizeof(head), head.size, head.generation) != head.hash)
		return NULL;
	*ret_generation = head.generation;
	*ret_size = head.size;
	return slot + sizeof(head);
}

static bool is_blank(const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (data[i])
			return false;
	return true;
}

static int take_text(struct upload_state *s, const char *text, size_t n)
{
	json_t *o = json_loadb(text, n, 0, NULL), *name;
	const char *error;
	size_t i;

	if (!o)
		return -EBADMSG;
	for (i = 0; i < ARRAY_SIZE(counter_keys); i++)
		*counter(s, i) = (uint64_t)MAX(json_integer_value(json_object_get(o, counter_keys[i].key)), 0);
	json_array_foreach (json_object_get(o, "recent"), i, name)
		if (json_string_value(name))
			upload_state_remember(s, json_string_value(name));
	for (i = 0; i < ARRAY_SIZE(number_keys); i++)
		*number(s, i) = (uint64_t)json_integer_value(json_object_get(o, number_keys[i].key));
	error = json_string_value(json_object_get(o, "last_error"));
	if (error)
		(void)snprintf(s->last_error, sizeof(s->last_error), "%s", error);
	json_decref(o);
	return 0;
}

static int take_slots(struct upload_state *s, const char *data, size_t n, unsigned *damaged)
{
	const char *newest = NULL;
	size_t newest_size = 0;

	for (size_t i = 0; i < UPLOAD_STATE_SLOTS; i++) {
		size_t at = MIN(i * UPLOAD_STATE_SLOT_BYTES, n), size = 0;
		size_t room = MIN(n - at, (size_t)UPLOAD_STATE_SLOT_BYTES);
		const char *text = check_slot(data + at, room, &s->generations[i], &size);

		*damaged += !text && (room < UPLOAD_STATE_SLOT_BYTES || !is_blank(data + at, room));
		if (s->generations[i] > s->generations[s->synced] || (text && !newest)) {
			s->synced = i;
			newest = text;
			newest_size = size;
		}
	}
	return newest ? take_text(s, newest, newest_size) : -EBADMSG;
}

/* Nothing of it counts: it is kept for whoever wants to look. */
static int set_aside(struct upload_state *s, int dirfd)
{
	struct stat st;

	if (fstatat(dirfd, UPLOAD_STATE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		s->c.put_until_ns = MIN(clock_timespec_ns(st.st_mtim), clock_now_ns(CLOCK_REALTIME));
	if (renameat(dirfd, UPLOAD_STATE_FILE, dirfd, UPLOAD_STATE_DAMAGED) < 0)
		return -errno;
	return -EBADMSG;
}

static void sync_file(int dirfd)
{
	_cleanup_close_ int fd = openat(dirfd, UPLOAD_STATE_FILE, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		(void)fdatasync(fd);
}

int upload_state_load(struct upload_state *s, int dirfd, unsigned *ret_damaged)
{
	_cleanup_free_ char *data = NULL;
	unsigned damaged = 0;
	size_t n;
	int r = file_read_all(dirfd, UPLOAD_STATE_FILE, UPLOAD_STATE_SLOTS * UPLOAD_STATE_SLOT_BYTES, &data, &n);

	*ret_damaged = 0;
	if (r == -ENOENT)
		return 0;
	if (r < 0 && r != -E2BIG)
		return r;
	if (r == 0)
		r = take_slots(s, data, n, &damaged);
	if (r == 0)
		sync_file(dirfd); /* after a kill, what was read may be on no disk yet */
	*ret_damaged = damaged;
	return r < 0 ? set_aside(s, dirfd) : 0;
}

void upload_state_done(struct upload_state *s)
{
	for (size_t i = 0; i < UPLOAD_RECENT_MAX; i++)
		free(s->recent[i]);
	*s = (struct upload_state){ 0 };
}
