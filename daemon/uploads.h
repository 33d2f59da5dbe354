/* All destinations: every finished window is put into the spool of each. */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"
#include "daemon/config.h"
#include "store/store.h"

struct uploads;

/* store_path: the store's directory; the spools are STORE/spool/<name>. host: this host's name. config and
 * store are borrowed until the end. A destination that cannot be opened is logged and left out. Windows that were
 * stored but not yet queued when an emberd before this one ended are queued now; a destination that is new gets nothing
 * of the past. */
int uploads_new(sd_event *event, const char *executable, const char *store_path, const char *host,
        const struct config *config, struct store *store, struct uploads **ret);
struct uploads *uploads_free(struct uploads *u);
DEFINE_CLEANUP(struct uploads *, uploads_free)

/* path: of a stored window, below the store's directory. NULL in: nothing to do. What could not be queued before, as on
 * a full disk, is queued now. */
void uploads_put(struct uploads *u, const char *path);

/* Lets the refused windows of that destination wait again; NULL: of all. *ret_n: how many. -ENOENT: no such
 * destination. */
int uploads_take_back(struct uploads *u, const char *name, unsigned *ret_n);

json_t *uploads_status(const struct uploads *u); /* an array; of NULL an empty one */
uint64_t uploads_children_cpu_ns(const struct uploads *u);
uint64_t uploads_children_rss_bytes(const struct uploads *u);
