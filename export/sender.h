/* A protocol: one file and one row of the table in sender.c. A sender takes a whole window and says what became of it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "export/config.h"
#include "export/http.h"
#include "export/protocol.h"
#include "profile/profile.h"

struct window {
	const struct export_job *job;
	int input, output;         /* output: -1, or the file to fill where the destination is a directory */
	uint8_t id[OTLP_ID_BYTES]; /* of the bytes of the file: the same at every try */
	struct profile *profile;   /* NULL where the sender reads the file itself (needs_profile) */
	/* Says to the parent how far we are, and waits until it has noted that. -EPIPE: it is gone. */
	int (*tell)(const struct export_reply *reply);
	int (*await)(uint64_t id);
};

struct sender {
	const char *name; /* Protocol= */
	bool needs_network, needs_profile;
	uint64_t bytes_max; /* of one request before compression, and samples of one profile, where nothing else is set
	                     */
	uint32_t samples_max;
	/* Fills outcome, status, retry_after_ns, requests, bytes, samples, rejected and error of reply. */
	void (*send)(
	        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply);
};

extern const struct sender otlp_http_sender, otlp_grpc_sender, pyroscope_sender, pyroscope_ingest_sender,
        pprof_dir_sender;

const struct sender *sender_find(const char *name);

/* Sets an outcome with its sentence. */
_printf_(3, 4) void reply_set(struct export_reply *r, enum export_outcome outcome, const char *format, ...);
/* -EIO, -EREMOTEIO: a request got no answer (http.h) and may be sent again. -E2BIG: it cannot be made. What else may
 * fail here (memory: the limit is ours) would fail at every try, so it must not stand in the way of the windows behind.
 */
void reply_set_failure(struct export_reply *reply, struct http *http, int r);
