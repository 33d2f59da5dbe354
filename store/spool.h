/* What waits to be sent to one destination: a directory of hard links to finished window files, so that nothing is
 * copied and the store may remove its own name at any time. The directory is the queue: names start with a number that
 * only grows, the lowest is sent first, and what a kill -9 leaves behind is taken up again on opening. Bounded in
 * bytes: the oldest is dropped to make room. One process writes; no logging, no globals. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct spool;

#define SPOOL_ENTRIES_MAX 100000u
#define SPOOL_NAME_MAX 200u

struct spool_entry {
	uint64_t sequence;
	uint64_t size_bytes;
	uint64_t time_ns; /* when the window file was written (its modification time) */
	const char *name; /* as given to spool_put(); valid until the entry goes */
};

/* Makes dirfd/name where it is missing, removes nothing. At most bytes_max of files: what is over on opening is dropped
 * with the next put. */
int spool_open(int dirfd, const char *name, uint64_t bytes_max, struct spool **ret);
struct spool *spool_free(struct spool *s);
DEFINE_CLEANUP(struct spool *, spool_free)

/* Links dirfd/path into the queue under name (no slash, at most SPOOL_NAME_MAX bytes), on disk when it returns. Drops
 * the oldest entries to make room, and on a full disk one more before it gives up; *ret_dropped (may be NULL) is how
 * many, also on failure. -E2BIG: larger than the whole spool; -EINVAL: a bad name; -EEXIST never. */
int spool_put(struct spool *s, int dirfd, const char *path, const char *name, unsigned *ret_dropped);

/* The entry at position i from the oldest; -ENOENT beyond the last. */
int spool_get(const struct spool *s, size_t i, struct spool_entry *ret);
/* Opens an entry for reading. -ENOENT where somebody removed it. */
int spool_open_entry(const struct spool *s, uint64_t sequence, int *ret_fd);
/* Removes an entry: 0 also where its file is gone already. -ENOENT where the queue does not know it. */
int spool_remove(struct spool *s, uint64_t sequence);

size_t spool_count(const struct spool *s);
uint64_t spool_bytes(const struct spool *s);
/* A change of the limit; nothing is dropped before the next put. */
void spool_set_bytes_max(struct spool *s, uint64_t bytes_max);
/* The directory, borrowed: a place for what belongs to the destination. Names that do not start with a digit are not
 * entries. */
int spool_dirfd(const struct spool *s);
