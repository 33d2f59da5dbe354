/* What is known of one destination besides its queue: counters, the last error, the names put last. On disk beside the
 * spool; what is missing or damaged there counts from 0 again. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "export/protocol.h"

#define UPLOAD_RECENT_MAX 64 /* names of windows put last */

struct upload_counters {
	uint64_t sent, retried, dropped, rejected, refused, expired, failed_puts;
	uint64_t requests, bytes, samples, profiles_refused, crashes;
	uint64_t last_success_ns, last_error_ns, put_until_ns, cpu_ns;
};

struct upload_state {
	struct upload_counters c;
	/* Of the configuration, and of the token and certificate files, that windows were sent with; 0: none yet. */
	uint64_t config_stamp, files_stamp;
	char last_error[EXPORT_ERROR_MAX];
	char *recent[UPLOAD_RECENT_MAX];
	size_t n_recent; /* in all; the oldest is overwritten */
};

/* dirfd: the spool's directory. */
void upload_state_load(struct upload_state *s, int dirfd);
int upload_state_save(const struct upload_state *s, int dirfd);
void upload_state_done(struct upload_state *s);

json_t *upload_state_counters(const struct upload_state *s);
void upload_state_remember(struct upload_state *s, const char *name);
bool upload_state_is_recent(const struct upload_state *s, const char *name);
