/* The child of daemon/storekeeper.c: one round of keeping order, one line of JSON on standard output. */
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/units.h"
#include "daemon/leak_watch.h"
#include "daemon/storekeeper.h"
#include "store/compact.h"
#include "store/rebuild.h"
#include "store/retention.h"
#include "store/selection.h"

#define NUMBER(x) ((json_int_t)(x))
/* linux/ioprio.h is not on every build host. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE (3 << 13)

struct round {
	struct store *store;
	struct retention_options retention;
	bool reconcile;
	bool is_short_of_room; /* half of MaxBytes is full, or the disk is */
	json_t *told;
};

static void tell(struct round *k, const char *name, uint64_t value)
{
	(void)json_object_set_new(k->told, name, json_integer(NUMBER(value)));
}

static void log_corrupt(const struct corrupt *list)
{
	for (uint64_t i = 0; i < MIN(list->n, (uint64_t)CORRUPT_NAMED_MAX); i++)
		(void)log_warning(0, "store: %s is corrupt and was set aside", list->named[i]);
	if (list->n > CORRUPT_NAMED_MAX)
		(void)log_warning(
		        0, "store: %" PRIu64 " more files are corrupt and were set aside", list->n - CORRUPT_NAMED_MAX);
}

static int reconcile(struct round *k)
{
	bool rebuild = store_needs_rebuild(k->store);
	struct rebuild_result found;
	int r;

	if (!rebuild && !k->reconcile)
		return 0;
	r = store_reconcile(k->store, false, NULL, &found);
	if (r < 0)
		return r;
	if (rebuild)
		log_notice("store: the index was missing or broken and has been made again: %" PRIu64 " files",
		        found.n_files);
	else if (found.n_added + found.n_gone + found.n_leftovers)
		log_notice("store: %" PRIu64 " files came into the index, %" PRIu64 " went out of it, %" PRIu64
		           " leftovers of a merge were removed",
		        found.n_added, found.n_gone, found.n_leftovers);
	log_corrupt(&found.corrupt);
	tell(k, "corrupt", found.corrupt.n);
	tell(k, "indexed", found.n_added);
	return 0;
}

static void log_removed(uint64_t n, const char *why)
{
	if (n)
		log_notice("store: removed %" PRIu64 " profiles: %s", n, why);
}

static int retain(struct round *k)
{
	char size[UNITS_TEXT_MAX], first[SELECTION_TIME_MAX], last[SELECTION_TIME_MAX];
	struct retention_result removed;
	int r = store_retain(k->store, &k->retention, &removed);

	if (r < 0)
		return r;
	log_removed(removed.n_old, "older than RetentionDays");
	log_removed(removed.n_over, "the store was over MaxBytes");
	log_removed(removed.n_full, "the disk had less than MinFreeDisk");
	if (removed.bytes)
		log_notice("store: %s are gone, of %s to %s", units_format_size(size, removed.bytes),
		        selection_format_time(first, removed.first_ns), selection_format_time(last, removed.last_ns));
	k->is_short_of_room = removed.n_over || removed.n_full || removed.is_short_of_disk ||
	                      (k->retention.max_bytes && removed.bytes_kept > k->retention.max_bytes / 2);
	tell(k, "removed_old", removed.n_old);
	tell(k, "removed_over_bytes", removed.n_over);
	tell(k, "removed_for_free_disk", removed.n_full);
	tell(k, "removed_bytes", removed.bytes);
	tell(k, "bytes", removed.bytes_kept);
	(void)json_object_set_new(k->told, "short_of_disk", json_boolean(removed.is_short_of_disk));
	return 0;
}

static int merge(struct round *k)
{
	char before[UNITS_TEXT_MAX], after[UNITS_TEXT_MAX];
	struct compact_result merged;
	int r = store_compact(k->store, &(struct compact_options){ .is_short_of_room = k->is_short_of_room }, &merged);

	if (merged.n_files)
		log_info("store: merged %" PRIu64 " profiles into %" PRIu64 " hours and %" PRIu64 " days, %s into %s",
		        merged.n_files, merged.n_merged[STORE_HOUR], merged.n_merged[STORE_DAY],
		        units_format_size(before, merged.bytes_before), units_format_size(after, merged.bytes_after));
	log_corrupt(&merged.corrupt);
	tell(k, "merged_files", merged.n_files);
	tell(k, "merged_hours", merged.n_merged[STORE_HOUR]);
	tell(k, "merged_days", merged.n_merged[STORE_DAY]);
	if (merged.corrupt.n)
		tell(k, "corrupt", merged.corrupt.n);
	return r;
}

/* Retention even where nothing else works: it is what makes room. -EAGAIN: another daemon keeps this store. */
static int run(struct round *k)
{
	int r = reconcile(k), retained, merged;

	if (r == -EAGAIN)
		return 0;
	retained = retain(k);
	merged = merge(k);
	(void)json_object_set_new(k->told, "leaks", leak_watch_look(k->store));
	r = r < 0 ? r : retained < 0 ? retained : merged;
	return r == -EAGAIN ? 0 : r;
}

static void lower_priority(void)
{
	(void)setpriority(PRIO_PROCESS, 0, 10);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE);
}

static int parse(int argc, char **argv, struct store_options *store, struct round *k)
{
	if (argc != 7)
		return -EINVAL;
	store->path = argv[1];
	store->max_profile_bytes = strtoull(argv[2], NULL, 10);
	k->retention.age_ns = strtoull(argv[3], NULL, 10);
	k->retention.max_bytes = strtoull(argv[4], NULL, 10);
	k->retention.min_free_disk = strtod(argv[5], NULL);
	k->reconcile = strcmp(argv[6], "1") == 0;
	return 0;
}

int storekeeper_main(int argc, char **argv)
{
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_options options = { 0 };
	struct round k = { 0 };
	char *line;
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	lower_priority();
	k.told = json_object();
	r = k.told ? parse(argc, argv, &options, &k) : -ENOMEM;
	if (r >= 0)
		r = store_open(&options, &s);
	if (r >= 0) {
		k.store = s;
		r = run(&k);
	}
	(void)json_object_set_new(k.told, "error", json_string(r < 0 ? strerror(-r) : ""));
	line = json_dumps(k.told, JSON_COMPACT);
	if (line)
		(void)printf("%s\n", line);
	free(line);
	json_decref(k.told);
	return r < 0;
}
