/* What is known of one destination besides its queue: counters, the last error, the names put last. On disk beside the
 * spool, in one file of three slots that is as large from the beginning as it will ever be, so a full disk stops no
 * save. Each save writes one slot, whole, numbered and with a hash; the highest number that is whole counts. What was
 * synced last is never written over before something newer is synced, so neither a kill in the middle of a save nor a
 * power cut takes more than that save. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "daemon/upload_pause.h"
#include "export/protocol.h"

#define UPLOAD_RECENT_MAX 64 /* names of windows put last */
#define UPLOAD_STATE_SLOTS 3
#define UPLOAD_STATE_SLOT_BYTES 32768
#define UPLOAD_STATE_FILE "state"
#define UPLOAD_STATE_DAMAGED "state.damaged"

struct upload_counters {
	uint64_t sent, retried, dropped, rejected, refused, expired, failed_puts;
	uint64_t requests, bytes, samples, profiles_refused, crashes, failed_notes;
	uint64_t last_success_ns, last_error_ns, put_until_ns, cpu_ns;
};

struct upload_state {
	struct upload_counters c;
	/* Of the configuration, and of the token and certificate files, that windows were sent with; 0: none yet. */
	uint64_t config_stamp, files_stamp;
	struct upload_pause pause;
	char last_error[EXPORT_ERROR_MAX];
	char *recent[UPLOAD_RECENT_MAX];
	size_t n_recent; /* in all; the oldest is overwritten */

	uint64_t generations[UPLOAD_STATE_SLOTS]; /* 0: nothing whole is in it */
	size_t synced;                            /* the slot that survives a power cut */
};

/* dirfd: the spool's directory. Into a state that is all 0. *ret_damaged: slots that hold something that is not whole.
 * 0 also where there is no file. -EBADMSG: a file without one whole slot: it is now UPLOAD_STATE_DAMAGED, nothing is
 * known but that up to put_until_ns, when it was written last, windows were put. Other errors: it could not be read,
 * and is left alone. */
int upload_state_load(struct upload_state *s, int dirfd, unsigned *ret_damaged);
/* is_synced: it lasts over a power cut; else only over a kill. */
int upload_state_save(struct upload_state *s, int dirfd, bool is_synced);
void upload_state_done(struct upload_state *s);

json_t *upload_state_counters(const struct upload_state *s);
void upload_state_remember(struct upload_state *s, const char *name);
bool upload_state_is_recent(const struct upload_state *s, const char *name);
