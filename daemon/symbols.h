/* Names of addresses: from the cache on disk by file ID, and what is missing there from ember-symbolizer, once. Never
 * blocks on it; each answer joins the cache, so a restart or the next window asks for nothing twice. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/code.h"
#include "daemon/symbol_table.h"
#include "daemon/symbolizer.h"

struct symbols;

struct symbols_config {
	struct symbolizer *symbolizer; /* borrowed; NULL: only what the cache knows */
	int cache_dirfd;               /* STORE/cache, borrowed; symbols/ below it is ours; -1: no cache */
	bool inlines;
	const char *const *debug_directories; /* borrowed during symbols_set; where .build-id/ is looked for */
	size_t n_debug_directories;
	uint64_t cache_bytes; /* bounds all files below cache_dirfd */
};

int symbols_new(const struct symbols_config *config, struct symbols **ret);
struct symbols *symbols_free(struct symbols *s); /* after the symbolizer: nothing may be under way */
DEFINE_CLEANUP(struct symbols *, symbols_free)
/* Applies another configuration; the symbolizer and the directory stay. */
int symbols_set(struct symbols *s, const struct symbols_config *config);

/* Called exactly once, perhaps before the request returns. table is borrowed; NULL: nothing is known. */
typedef void (*symbols_done_t)(void *userdata, const struct symbol_table *table);

/* addresses: sorted, each once; borrowed during the call. On failure done is not called.
 * A file needs its file ID (CODE_IDENTIFIED): -ENODATA without. */
int symbols_of_file(struct symbols *s, struct code *code, uint32_t file, const uint64_t *addresses, uint32_t n,
        symbols_done_t done, void *userdata);
int symbols_of_kernel(struct symbols *s, const uint64_t *addresses, uint32_t n, symbols_done_t done, void *userdata);
/* fd of the map (daemon/perf_map.h), borrowed. Nothing is cached. */
int symbols_of_perf_map(
        struct symbols *s, int fd, const uint64_t *addresses, uint32_t n, symbols_done_t done, void *userdata);

/* Deletes the files used longest ago until the cache is below its bound. About once a minute. */
void symbols_prune(struct symbols *s);

struct symbols_stats {
	uint64_t from_cache, asked, unknown, failures; /* addresses; requests */
	uint64_t cache_bytes, cache_files;
};
void symbols_stats(const struct symbols *s, struct symbols_stats *ret);
