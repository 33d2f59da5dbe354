/* Keeps the store in order: merges old windows, removes what retention says, makes a missing index again. The work is
 * done by a child (this executable with other arguments, at low priority), so neither a slow disk nor a large merge
 * ever holds the drain; a child killed at any moment leaves the store whole (docs/store.md). What it removed, merged or
 * set aside is in the log, and in the stats for `emberctl status`.
 *
 * It also looks for leaks (daemon/leak_watch.h), as reading windows is its work: each is logged once. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <jansson.h>
#include "base/cleanup.h"

struct storekeeper;

#define STOREKEEPER_INTERVAL_NS (300 * 1000000000ull)
/* Where windows are shorter than a minute it comes so much oftener, so that leaks are told while they are news. */
#define STOREKEEPER_WINDOWS_APART 5
#define STOREKEEPER_INTERVAL_MIN_NS (20 * 1000000000ull)
#define STOREKEEPER_RECONCILE_EVERY 12 /* runs */
#define STOREKEEPER_ARGUMENT "--storekeeper"

struct storekeeper_config {
	const char *store_path; /* borrowed until the call returns */
	uint64_t max_profile_bytes;
	uint64_t age_ns, max_bytes; /* 0: no limit */
	double min_free_disk;       /* fraction; 0: no limit */
	uint64_t window_ns;         /* of the continuous profile */
};

/* The first run begins at once. */
int storekeeper_new(sd_event *event, const struct storekeeper_config *config, struct storekeeper **ret);
struct storekeeper *storekeeper_free(struct storekeeper *k); /* ends the child */
DEFINE_CLEANUP(struct storekeeper *, storekeeper_free)
int storekeeper_set(struct storekeeper *k, const struct storekeeper_config *config);
/* Something is amiss (a window that could not be written or indexed): look now, unless it just did. */
void storekeeper_hurry(struct storekeeper *k);

uint64_t storekeeper_cpu_ns(const struct storekeeper *k); /* of its children that have ended */
/* Sums since the start: runs, removed and merged files, corrupt ones, last error, ... NULL without memory. */
json_t *storekeeper_json(const struct storekeeper *k);

/* main() of the child; argv[0] is STOREKEEPER_ARGUMENT. */
int storekeeper_main(int argc, char **argv);
