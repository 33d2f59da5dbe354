/* The control socket: JSON, one request a line, answers in any order, a file as a passed descriptor.
 *
 *	-> {"id": 7, "method": "status", "params": {...}}
 *	<- {"id": 7, "result": {...}}
 *	<- {"id": 7, "result": {...}, "fd": true}    a descriptor comes with it; several come in the order of their
 *lines
 *	<- {"id": 7, "error": "one sentence", "errno": 22}
 *	<- {"id": 7, "event": {...}}           zero or more before the result of a long call
 *
 * Hostile input is bounded: clients, line length, nesting, calls under way, unsent answers; who goes over is cut off. A
 * call may be answered later, from the event loop. */
#pragma once
#include <stddef.h>
#include <jansson.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_LINE_MAX (64u << 10)
#define CONTROL_DEPTH_MAX 8
#define CONTROL_CALLS_MAX 8           /* under way, a client */
#define CONTROL_UNSENT_MAX (2u << 20) /* bytes of answers that a client does not read */

struct control;
struct control_call;

struct control_method {
	const char *name;
	/* Answers the call now or later, exactly once. params is borrowed: an object, perhaps empty. */
	void (*handle)(void *userdata, struct control_call *call, const json_t *params);
};

/* methods (ended by a NULL name) and userdata are borrowed. */
int control_new(sd_event *event, const struct control_method *methods, void *userdata, struct control **ret);
/* Calls still under way are gone (control_gone_t). The socket file is removed. */
struct control *control_free(struct control *c);
DEFINE_CLEANUP(struct control *, control_free)

/* Listens at path with mode 0600; a dead socket there is replaced, a living one is -EADDRINUSE. */
int control_listen(struct control *c, const char *path);
/* Serves one more client on a connected socket, which it owns from now on. closed, if not NULL, is called when that
 * client has gone. */
int control_serve(struct control *c, int fd, void (*closed)(void *userdata), void *userdata);

/* result is stolen, NULL is {}; fd (-1: none) is borrowed and duplicated. The call is freed. */
void control_reply(struct control_call *call, json_t *result, int fd);
_printf_(3, 4) void control_fail(struct control_call *call, int r, const char *format, ...);
/* event is stolen; the call goes on. */
void control_event(struct control_call *call, json_t *event);

/* Called once if the client goes away before the answer; the call must not be touched from then on. */
typedef void (*control_gone_t)(void *userdata);
void control_on_gone(struct control_call *call, control_gone_t gone, void *userdata);
/* Tells which client a call belongs to: equal for calls of the same connection. */
const void *control_client(const struct control_call *call);
