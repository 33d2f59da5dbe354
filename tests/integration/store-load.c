/* Load for the fault tests of the store: windows whose contents are known by their number.
 *
 *	store-load put DIR FIRST COUNT [HOST]	window ID: 60 s from 2026-06-01 plus ID minutes, one sample of label
 *window=wID, value ID % 97 + 1; prints "ID VALUE" when it is safe, "ID error TEXT" when not store-load many DIR FIRST
 *COUNT	the same files without the store: fast, for a directory of very many
 *	store-load keep DIR ROUNDS		reconciles and merges everything that is there, again and again
 *	store-load retain DIR MAX_BYTES AGE_DAYS
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "profile/profile.h"
#include "store/compact.h"
#include "store/name.h"
#include "store/rebuild.h"
#include "store/retention.h"
#include "store/store.h"
#include "store/trailer.h"
#include "store/write.h"

#define START_NS (1780272000 * (int64_t)NS_PER_SEC)
#define MINUTE_NS (60 * (int64_t)NS_PER_SEC)
#define YEAR_NS (366 * 24 * 60 * MINUTE_NS)

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "store-load: %s: %s\n", what, strerror(-r));
	exit(1);
}

static uint32_t text(struct profile *p, const char *s)
{
	uint32_t i;

	must(profile_add_cstring(p, s, &i), "string");
	return i;
}

static struct profile *make(int64_t id)
{
	char name[32], filler[4096];
	struct profile_function f;
	struct profile_line line = { .line = 1 };
	uint32_t location, stack, labels;
	struct profile_header *h;
	struct profile *p;

	must(profile_new(NULL, &p), "profile");
	h = profile_header(p);
	h->n_sample_types = 1;
	h->sample_types[0] = (struct profile_value_type){ text(p, "samples"), text(p, "count") };
	h->time_ns = START_NS + id * MINUTE_NS;
	h->duration_ns = MINUTE_NS;
	/* some bytes that do not compress away, so that a disk can fill */
	for (size_t i = 0; i < sizeof(filler) - 1; i++)
		filler[i] = (char)('a' + (id * 7919 + (int64_t)i * (int64_t)i * 31 + (int64_t)(i >> 3) * id) % 26);
	filler[sizeof(filler) - 1] = 0;
	f = (struct profile_function){ .name = text(p, "f"), .filename = text(p, filler) };
	must(profile_add_function(p, &f, &line.function), "function");
	must(profile_add_location(p,
	             &(struct profile_location){ .address = 1, .mapping = PROFILE_NONE, .n_lines = 1, .lines = &line },
	             &location),
	        "location");
	must(profile_add_stack(p, &location, 1, &stack), "stack");
	(void)snprintf(name, sizeof(name), "w%" PRId64, id);
	must(profile_add_label_set(p,
	             &(struct profile_label){ .key = text(p, "window"), .unit = PROFILE_NONE, .value = text(p, name) },
	             1, &labels),
	        "labels");
	must(profile_add_sample(p, stack, labels, &(int64_t){ id % 97 + 1 }, NULL), "sample");
	return p;
}

static int put(const char *directory, int64_t first, int64_t n, const char *host)
{
	_cleanup_(store_closep) struct store *s = NULL;
	int failed = 0;

	must(store_open(&(struct store_options){ .path = directory, .host = host }, &s), directory);
	for (int64_t id = first; id < first + n; id++) {
		_cleanup_(profile_freep) struct profile *p = make(id);
		struct store_put_result result;
		int r = store_put(s, "cpu", NULL, p, &result);

		if (r < 0)
			printf("%" PRId64 " error %s\n", id, strerror(-r));
		else
			printf("%" PRId64 " %" PRId64 "\n", id, id % 97 + 1);
		if (r >= 0 && !result.is_indexed)
			(void)fprintf(stderr, "%" PRId64 " is safe, but not in the index\n", id);
		(void)fflush(stdout);
		failed |= r < 0;
	}
	return failed;
}

/* One profile under very many names. */
static int many(const char *directory, int64_t first, int64_t n)
{
	_cleanup_buffer_ struct buffer data = BUFFER(1u << 20);
	_cleanup_(profile_freep) struct profile *p = make(first);
	const struct trailer trailer = TRAILER_INIT;
	uint64_t raw;

	must(write_encode(p, &trailer, WRITE_LEVEL_WINDOW, 1u << 20, &data, &raw), "encode");
	for (int64_t id = first; id < first + n; id++) {
		struct store_name name = { .start_s = START_NS / (int64_t)NS_PER_SEC, .serial = (uint32_t)(id + 1) };
		char path[STORE_PATH_MAX], whole[STORE_PATH_MAX + 512];
		int fd;

		store_name_set_host(&name, "many");
		store_name_format(&name, "cpu", path);
		(void)snprintf(whole, sizeof(whole), "%s/%s", directory, path);
		if (id == first) {
			*strrchr(whole, '/') = 0;
			must(dir_make(AT_FDCWD, whole, 0755), whole);
			(void)snprintf(whole, sizeof(whole), "%s/%s", directory, path);
		}
		fd = open(whole, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		must(fd < 0 ? -errno : fd_write_full(fd, data.data, data.size), whole);
		(void)close(fd);
	}
	return 0;
}

static int keep(const char *directory, int64_t rounds)
{
	_cleanup_(store_closep) struct store *s = NULL;
	struct compact_options options = { .now_ns = START_NS + YEAR_NS };
	uint64_t merged = 0, leftovers = 0;

	must(store_open(&(struct store_options){ .path = directory }, &s), directory);
	for (int64_t i = 0; i < rounds; i++) {
		struct rebuild_result found;
		struct compact_result result;
		int r = store_reconcile(s, false, NULL, &found);

		if (r != -EAGAIN && r != -EBUSY)
			must(r, "reconcile");
		options.no_days = i % 2 == 0;
		r = store_compact(s, &options, &result);
		if (r != -EAGAIN && r != -EBUSY && r != -ENOSPC && r != -ENODATA)
			must(r, "compact");
		merged += result.n_files;
		leftovers += found.n_leftovers;
	}
	printf("merged %" PRIu64 " leftovers %" PRIu64 "\n", merged, leftovers);
	return 0;
}

static int retain(const char *directory, uint64_t max_bytes, uint64_t days)
{
	_cleanup_(store_closep) struct store *s = NULL;
	struct retention_result removed;

	must(store_open(&(struct store_options){ .path = directory }, &s), directory);
	must(store_retain(s, &(struct retention_options){ .max_bytes = max_bytes, .age_ns = days * 86400 * NS_PER_SEC },
	             &removed),
	        "retain");
	printf("removed %" PRIu64 "\n", removed.n_old + removed.n_over + removed.n_full);
	return 0;
}

int main(int argc, char **argv)
{
	int64_t a = argc > 3 ? strtoll(argv[3], NULL, 10) : 0, b = argc > 4 ? strtoll(argv[4], NULL, 10) : 0;

	if (argc >= 5 && strcmp(argv[1], "put") == 0)
		return put(argv[2], a, b, argc > 5 ? argv[5] : "load");
	if (argc == 5 && strcmp(argv[1], "many") == 0)
		return many(argv[2], a, b);
	if (argc == 4 && strcmp(argv[1], "keep") == 0)
		return keep(argv[2], a);
	if (argc == 5 && strcmp(argv[1], "retain") == 0)
		return retain(argv[2], (uint64_t)a, (uint64_t)b);
	(void)fprintf(stderr, "Usage: store-load put|many|keep|retain DIR ...\n");
	return 2;
}
