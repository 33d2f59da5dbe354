/* Which files hold an allocator, and where its functions are probed: asked of ember-symbolizer once a file, remembered
 * by inode, size and time of change. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "symbolizer/protocol.h"

struct heap_sites;
struct symbolizer;

#define HEAP_SITES_FILES_MAX 4096

/* ready is called from the event loop whenever an answer came in. symbolizer is borrowed. */
int heap_sites_new(
        struct symbolizer *symbolizer, void (*ready)(void *userdata), void *userdata, struct heap_sites **ret);
struct heap_sites *heap_sites_free(struct heap_sites *h);
DEFINE_CLEANUP(struct heap_sites *, heap_sites_free)

/* A file that holds an allocator. Lives as long as the heap_sites. */
struct heap_allocator {
	int fd; /* borrowed */
	uint32_t n_sites;
	const struct site *sites;
};

/* 0: *ret is the file's allocator, NULL where it has none; -EAGAIN: asked, ready() will tell. fd is borrowed. */
int heap_sites_get(struct heap_sites *h, int fd, const struct stat *st, const struct heap_allocator **ret);

/* Kinds of sites, as bits. */
enum { HEAP_KIND_FREE = 1, HEAP_KIND_CALL = 2, HEAP_KIND_USDT = 4, HEAP_KIND_LOADER = 8 };
unsigned heap_site_kind(const struct site *s);
/* Whether a probe there costs what probes should, or may cost more. */
bool heap_site_may_probe(const struct site *s, bool may_step);
unsigned heap_allocator_kinds(const struct heap_allocator *a);
/* Those that tell of allocations and frees: an allocator that tells its own samples by USDT is asked nothing else. */
unsigned heap_allocator_kinds_wanted(const struct heap_allocator *a);
