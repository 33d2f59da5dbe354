/* The parent's end of ember-export: starts the child, hands it descriptors, hears its replies. Blocks nowhere;
 * what runs when is the caller's matter (daemon/uploads.c, ctl/upload.c). */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"
#include "export/protocol.h"

struct export_child {
	pid_t pid;  /* 0: none */
	int socket; /* readable when there is a reply or the child is gone; non-blocking */
	int pidfd;
};

#define EXPORT_CHILD_NONE ((struct export_child){ .socket = -1, .pidfd = -1 })

/* Paths of the token and certificate files; NULL where there is none. Opened here, read by the child. */
struct export_files {
	const char *paths[EXPORT_FILES];
};

/* A number that changes when one of the files does: another file, another size, another time. */
uint64_t export_files_stamp(const struct export_files *files);

/* config: JSON as export/config.h has it. -EACCES, -ENOENT...: *ret_bad (may be NULL) is the file that cannot be
 * opened, or NULL where it is the program itself. */
int export_child_start(const char *executable, const char *config, const struct export_files *files,
        struct export_child *ret, const char **ret_bad);
/* output: -1 for none. Both stay the caller's. -EPIPE: the child is gone. */
int export_child_send(struct export_child *c, const struct export_job *job, int input, int output);
enum export_message {
	EXPORT_MESSAGE_NONE, /* not yet */
	EXPORT_MESSAGE_REPLY,
	EXPORT_MESSAGE_PROGRESS, /* a part is done: only the fields of struct export_progress are set, and the child
	                            waits for export_child_go_on() */
};

/* enum export_message; -EPIPE: the child is gone; -EBADMSG: it talks nonsense. */
int export_child_receive(struct export_child *c, struct export_reply *ret);
/* What was told is noted. -EPIPE: the child is gone. */
int export_child_go_on(struct export_child *c, uint64_t id);
/* Lets it end: closes the socket, kills where is_forced. Reaps where it is gone already; else the pidfd tells when to
 * call export_child_reap(). */
void export_child_close(struct export_child *c, int is_forced);
/* 1: reaped, *c is EXPORT_CHILD_NONE; 0: it still runs. cpu_ns (may be NULL) is what it used in all. */
int export_child_reap(struct export_child *c, int *ret_status, uint64_t *ret_cpu_ns);
