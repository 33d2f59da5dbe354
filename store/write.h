/* Files of the store as they come into being: whole, synced, under a name that nobody had. */
#pragma once
#include "base/buffer.h"
#include "base/cleanup.h"
#include "profile/profile.h"
#include "store/handle.h"
#include "store/name.h"
#include "store/trailer.h"

/* Profile to bytes: pprof under zstd, the trailer behind. -E2BIG: over raw_max before compression. */
#define WRITE_LEVEL_WINDOW 3 /* zstd's; every minute */
#define WRITE_LEVEL_MERGED 6 /* read more often than written: a tenth smaller, no slower to read */
int write_encode(const struct profile *p, const struct trailer *t, int level, uint64_t raw_max, struct buffer *out,
        uint64_t *ret_raw_bytes);

/* A temporary file that is not yet there for readers. Its lock is held while it is written, so that who finds one
 * without a lock knows that its writer is dead. */
struct write_file {
	int fd, dir_fd; /* of the date's directory */
	char temporary[64];
	char path[STORE_PATH_MAX]; /* as it got named */
};
#define WRITE_FILE_INIT ((struct write_file){ .fd = -1, .dir_fd = -1 })
/* Writes and syncs under a temporary name in the directory that name asks for. */
int write_prepare(struct store *s, const char *type, const struct store_name *name, const struct buffer *data,
        struct write_file *ret);
/* Gives it its name; counts name->serial up while names are taken. The directory is synced. */
int write_commit(struct write_file *w, const char *type, struct store_name *name);
/* What was not committed is removed. */
void write_done(struct write_file *w);
#define _cleanup_write_ _cleanup_(write_done)

/* Removes a temporary file whose writer is gone; 1 where it did. */
int write_remove_stale(int dir_fd, const char *filename);
