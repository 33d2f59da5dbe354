/* The store of one host or of a collector: profiles as files that any person can read, and an index beside them that
 * can be made again from the files. docs/store.md has the layout and what is promised.
 *
 *	STORE/<type>/<date>/<start>-<host>.pb.zst	one window	(store/name.h)
 *	STORE/<type>/<date>/<start>-<host>+hour.pb.zst	merged windows of one hour, +day likewise
 *	STORE/corrupt/...				what could not be read, set aside
 *	STORE/index.sqlite				the index (store/index.h)
 *
 * Several processes may have one store open for writing. No thread of its own, no logging, no globals: one struct
 * store belongs to one thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "profile/profile.h"

struct store;

#define STORE_DEFAULT_PATH "/var/lib/emberd"
#define STORE_MAX_PROFILE_SIZE_DEFAULT (50ull << 20)
#define STORE_HOST_MAX 128
#define STORE_TYPE_MAX 64

struct store_options {
	const char *path;
	const char *host;           /* names the files of store_put(); NULL: this host's name */
	uint64_t max_profile_bytes; /* of one file before compression, [Profile] MaxProfileSize; 0: default */
	bool read_only;             /* writes nothing at all, not even into the index */
};

/* Creates the directory and the index where they are missing (not where read_only). A missing or broken index is no
 * error: a reader then walks the directory, a writer starts an empty index that store_rebuild() (store/rebuild.h) must
 * fill; store_needs_rebuild() tells. -ENOENT: read_only and there is no such directory; -EACCES, -EROFS, -ENOSPC. */
int store_open(const struct store_options *options, struct store **ret);
struct store *store_close(struct store *s); /* NULL in, NULL out */
DEFINE_CLEANUP(struct store *, store_close)
bool store_needs_rebuild(const struct store *s);

struct store_put_result {
	uint32_t n_files;          /* more than one where the profile was over max_profile_bytes and had to be split */
	uint64_t bytes, raw_bytes; /* written, and before compression */
	bool is_indexed;           /* false: the files are safe, but the index could not be written; it is marked for
	                            * store_reconcile() */
	char path[256];            /* of the first file, below the store's directory */
};

/* Stores one finished window: the profile's time_ns and duration_ns place it, type ("cpu": lower-case letters, digits,
 * '_' and '-') is its profile type. When it returns 0 the files are on disk, synced and named. On failure (-ENOSPC,
 * -EDQUOT, -EROFS, -EIO...) nothing of it is left and nothing older was touched. host: NULL for the options' one.
 * ret may be NULL. Blocks on the disk. */
int store_put(
        struct store *s, const char *type, const char *host, const struct profile *p, struct store_put_result *ret);
