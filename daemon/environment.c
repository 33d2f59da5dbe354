#include "daemon/environment.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include "base/buffer.h"
#include "base/fd.h"
#include "base/utf8.h"
#include "daemon/process.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct key {
	uint64_t start_ns;
	uint32_t pid, exe;
};

struct entry {
	struct key key;
	char *values[ENVIRONMENT_NAMES_MAX];
	UT_hash_handle hh;
};

struct environment {
	char *names[ENVIRONMENT_NAMES_MAX];
	size_t n_names;
	struct entry *entries;
};

static struct entry *entry_free(struct entry *e)
{
	if (!e)
		return NULL;
	for (size_t i = 0; i < ENVIRONMENT_NAMES_MAX; i++)
		free(e->values[i]);
	free(e);
	return NULL;
}
DEFINE_CLEANUP(struct entry *, entry_free)

static void forget_all(struct environment *e)
{
	struct entry *entry, *next;

	HASH_ITER (hh, e->entries, entry, next) {
		HASH_DEL(e->entries, entry);
		entry_free(entry);
	}
}

static void forget_names(struct environment *e)
{
	forget_all(e);
	for (size_t i = 0; i < e->n_names; i++)
		free(e->names[i]);
	e->n_names = 0;
}

/* Cut at a whole character; what is malformed or would move a cursor becomes U+FFFD. */
static char *clean(const char *value, size_t n)
{
	_cleanup_buffer_ struct buffer b = BUFFER(ENVIRONMENT_VALUE_MAX + 1);
	char utf8[4];

	for (size_t at = 0; at < n;) {
		uint32_t c;
		size_t k;

		at += utf8_decode(value + at, n - at, &c);
		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			c = UTF8_REPLACEMENT;
		k = utf8_encode(c, utf8);
		if (b.size + k > ENVIRONMENT_VALUE_MAX || buffer_append(&b, utf8, k) < 0)
			break;
	}
	return buffer_take_string(&b);
}

static int take_variable(const struct environment *e, const char *text, size_t n, struct entry *entry)
{
	for (size_t i = 0; i < e->n_names; i++) {
		size_t k = strlen(e->names[i]);

		if (entry->values[i] || n <= k || text[k] != '=' || memcmp(text, e->names[i], k) != 0)
			continue;
		entry->values[i] = clean(text + k + 1, n - k - 1);
		return entry->values[i] ? 0 : -ENOMEM;
	}
	return 0;
}

static size_t read_some(int fd, char *to, size_t max)
{
	size_t n = 0;

	while (n < max) {
		ssize_t k = read(fd, to + n, max - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	return n;
}

static int read_environment(const struct environment *e, struct entry *entry)
{
	_cleanup_close_ int proc_fd = process_open(AT_FDCWD, entry->key.pid, entry->key.start_ns);
	_cleanup_close_ int fd = proc_fd < 0 ? -1 : openat(proc_fd, "environ", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t n;
	int r = 0;

	if (fd < 0)
		return 0; /* gone, or not for us to see: it has none */
	text = malloc(ENVIRONMENT_BYTES_MAX);
	if (!text)
		return -ENOMEM;
	n = read_some(fd, text, ENVIRONMENT_BYTES_MAX);
	for (size_t at = 0; at < n && r == 0;) {
		const char *end = memchr(text + at, 0, n - at);
		size_t size = end ? (size_t)(end - text) - at : n - at;

		if (end || n < ENVIRONMENT_BYTES_MAX) /* never half a value */
			r = take_variable(e, text + at, size, entry);
		at += size + 1;
	}
	explicit_bzero(text, n);
	return r;
}

static int complete(const struct environment *e, struct entry *entry)
{
	for (size_t i = 0; i < e->n_names; i++)
		if (!entry->values[i] && !(entry->values[i] = strdup("")))
			return -ENOMEM;
	return 0;
}

const char *const *environment_get(struct environment *e, uint32_t pid, uint64_t start_ns, uint32_t exe)
{
	const struct key key = { .start_ns = start_ns, .pid = pid, .exe = exe };
	_cleanup_(entry_freep) struct entry *fresh = NULL;
	struct entry *entry;

	if (e->n_names == 0)
		return NULL;
	HASH_FIND(hh, e->entries, &key, sizeof(key), entry);
	if (entry)
		return (const char *const *)entry->values;
	if (HASH_COUNT(e->entries) >= ENVIRONMENT_PROCESSES_MAX)
		return NULL;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return NULL;
	fresh->key = key;
	if (read_environment(e, fresh) < 0 || complete(e, fresh) < 0)
		return NULL;
	HASH_ADD(hh, e->entries, key, sizeof(key), fresh);
	HASH_FIND(hh, e->entries, &key, sizeof(key), entry);
	if (!entry)
		return NULL; /* no memory for the table */
	fresh = NULL;
	return (const char *const *)entry->values;
}

void environment_trim(struct environment *e)
{
	if (HASH_COUNT(e->entries) > ENVIRONMENT_PROCESSES_MAX / 2)
		forget_all(e);
}

int environment_set_names(struct environment *e, const char *const *names, size_t n)
{
	forget_names(e);
	for (size_t i = 0; i < MIN(n, (size_t)ENVIRONMENT_NAMES_MAX); i++) {
		e->names[i] = strdup(names[i]);
		if (!e->names[i]) {
			forget_names(e);
			return -ENOMEM;
		}
		e->n_names = i + 1;
	}
	return 0;
}

size_t environment_n_names(const struct environment *e)
{
	return e->n_names;
}

const char *environment_name(const struct environment *e, size_t i)
{
	return e->names[i];
}

int environment_new(struct environment **ret)
{
	struct environment *e = calloc(1, sizeof(*e));

	assert(ret);

	if (!e)
		return -ENOMEM;
	*ret = e;
	return 0;
}

struct environment *environment_free(struct environment *e)
{
	if (!e)
		return NULL;
	forget_names(e);
	free(e);
	return NULL;
}
