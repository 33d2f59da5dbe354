/* What the symbolizer said of files, kept across restarts: one file of fixed size in the cache directory, a place for
 * each key by its hash, the newer one wins. A key that is not found costs a request, nothing else. */
#pragma once
#include "base/cleanup.h"
#include "bpf/abi.h"
#include "symbolizer/protocol.h"

struct identities;

/* -errno where the file cannot be made. */
int identities_open(int cache_dirfd, struct identities **ret);
struct identities *identities_close(struct identities *t);
DEFINE_CLEANUP(struct identities *, identities_close)

/* -ENOENT: not known. */
int identities_get(struct identities *t, const struct file_key *key, struct symbolizer_identity *ret);
void identities_put(struct identities *t, const struct file_key *key, const struct symbolizer_identity *identity);
