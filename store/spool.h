/* What waits to be sent to one destination: a directory of hard links to finished window files, so that nothing is
 * copied and the store may remove its own name at any time. The directory is the queue: names start with a number that
 * only grows, the lowest is sent first, and what a kill -9 leaves behind is taken up again on opening. Bounded in
 * bytes: the oldest is dropped to make room. What the destination refused is set aside: it stays under its number,
 * counts for the limit, and is no longer next until it is taken back. How far an entry was sent and whether it is set
 * aside stands in its file's name, so a kill forgets neither. One process writes; no logging, no globals. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct spool;

#define SPOOL_ENTRIES_MAX 100000u
#define SPOOL_NAME_MAX 200u

enum spool_state {
	SPOOL_WAITING,
	SPOOL_REFUSED, /* set aside */
	SPOOL_DENIED,  /* set aside for want of credentials */
};

struct spool_entry {
	uint64_t sequence;
	uint64_t size_bytes;
	uint64_t time_ns;    /* when the window file was written (its modification time) */
	uint64_t parts_done; /* requests of it that were brought to an end */
	enum spool_state state;
	const char *name; /* as given to spool_put(); valid until the entry changes or goes */
};

/* Makes dirfd/name where it is missing, removes nothing. At most bytes_max of files: what is over on opening is dropped
 * with the next put. */
int spool_open(int dirfd, const char *name, uint64_t bytes_max, struct spool **ret);
struct spool *spool_free(struct spool *s);
DEFINE_CLEANUP(struct spool *, spool_free)

/* Links dirfd/path into the queue under name (no slash, at most SPOOL_NAME_MAX bytes), on disk when it returns. Drops
 * the oldest entries to make room below the limit; *ret_dropped (may be NULL) is how many, also on failure. -ENOSPC:
 * the disk is full, and dropping links would free nothing of it: to be tried again. -E2BIG: larger than the whole
 * spool; -EINVAL: a bad name; -EEXIST never. */
int spool_put(struct spool *s, int dirfd, const char *path, const char *name, unsigned *ret_dropped);

/* The entry at position i from the oldest, set aside or not; -ENOENT beyond the last. */
int spool_get(const struct spool *s, size_t i, struct spool_entry *ret);
/* The oldest that waits; -ENOENT where none does. */
int spool_next(const struct spool *s, struct spool_entry *ret);
/* Opens an entry for reading. -ENOENT where somebody removed it. */
int spool_open_entry(const struct spool *s, uint64_t sequence, int *ret_fd);
/* Removes an entry, on disk when it returns 0: so also where its file is gone already. -ENOENT where the queue does not
 * know it. On any other failure the queue has forgotten it all the same, as what was sent must not be next again; its
 * file may be there when the spool is opened next. */
int spool_remove(struct spool *s, uint64_t sequence);

/* Notes how far an entry was sent, and whether it waits on. -ENOENT where the queue does not know it; on any other
 * failure the entry is as it was. */
int spool_set(struct spool *s, uint64_t sequence, enum spool_state state, uint64_t parts_done);
/* What was set aside waits again, each at its old place: all of it, or only what was denied. Returns how many. */
unsigned spool_take_back(struct spool *s, int only_denied);
/* No entry was sent in part any more: how windows are cut has changed. */
void spool_forget_parts(struct spool *s);

/* Of all entries, and of those that are set aside. */
struct spool_totals {
	size_t n, n_aside;
	uint64_t bytes, bytes_aside;
};
struct spool_totals spool_totals(const struct spool *s);
/* A change of the limit; nothing is dropped before the next put. */
void spool_set_bytes_max(struct spool *s, uint64_t bytes_max);
/* The directory, borrowed: a place for what belongs to the destination. Names that do not start with a digit are not
 * entries. */
int spool_dirfd(const struct spool *s);
