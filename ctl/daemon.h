/* The other end of emberd's control socket (JSON, one request a line): of the emberd that runs, or of one that is
 * started for this command alone and ends with it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>
#include "base/cleanup.h"

#define DAEMON_SOCKET "/run/emberd/control.sock"

struct daemon;

/* The emberd that listens at path. -ENOENT, -ECONNREFUSED: none does. */
int daemon_connect(const char *path, struct daemon **ret);
/* The same for a command that needs a running one. Logs. */
int daemon_reach(const char *path, struct daemon **ret);
/* A private one: no continuous profile, no store. Fails later, with the first answer, where it cannot work; it has then
 * said why on stderr. */
int daemon_spawn(struct daemon **ret);
/* The running one, else a private one. Logs. */
int daemon_open(const char *path, struct daemon **ret);
struct daemon *daemon_free(struct daemon *d); /* waits for the end of a private one */
DEFINE_CLEANUP(struct daemon *, daemon_free)

int daemon_fd(const struct daemon *d); /* to poll */

enum daemon_kind {
	DAEMON_EVENT,
	DAEMON_RESULT,
	DAEMON_ERROR,
};

struct daemon_message {
	enum daemon_kind kind;
	uint64_t id;
	json_t *body; /* of the event or the result */
	char *error;  /* of DAEMON_ERROR */
	int fd;       /* -1: none */
};
void daemon_message_done(struct daemon_message *m);
#define _cleanup_message_ _cleanup_(daemon_message_done)
#define DAEMON_MESSAGE ((struct daemon_message){ .fd = -1 })

/* params is stolen, may be NULL. *ret_id names the call. */
int daemon_send(struct daemon *d, const char *method, json_t *params, uint64_t *ret_id);
/* Waits for the next message. -ECONNRESET: emberd has gone. */
int daemon_receive(struct daemon *d, struct daemon_message *ret);
/* Whether one has come already, without waiting. */
bool daemon_has_message(struct daemon *d);

/* One call and its answer; logs what emberd refuses. *ret (may be NULL) belongs to the caller. */
int daemon_call(struct daemon *d, const char *method, json_t *params, json_t **ret);
/* "emberd has gone" where nobody has said why yet. Returns r. */
int daemon_log_gone(const struct daemon *d, int r);
