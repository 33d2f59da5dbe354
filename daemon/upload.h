/* One destination: its spool, its ember-export while there is something to send, the pauses between tries, the
 * counters. A window leaves the spool when the destination has taken it; what was refused in a way that must not be
 * tried again is set aside there until the configuration or, where they were what was missing, the credentials are new,
 * or somebody says so. Order is kept. Blocks for nothing but the disk. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"
#include "daemon/config.h"

struct upload;

struct upload_options {
	const char *executable;             /* ember-export */
	int spool_dirfd;                    /* STORE/spool; borrowed */
	const struct config_upload *config; /* borrowed until the end */
	json_t *common;                     /* resource and services: what all destinations say; borrowed */
};

/* Opens the spool and begins with what is in it. */
int upload_new(sd_event *event, const struct upload_options *options, struct upload **ret);
struct upload *upload_free(struct upload *u); /* ends the child; what is in the spool stays there */
DEFINE_CLEANUP(struct upload *, upload_free)

/* Puts dirfd/path (a window file that is whole) into the spool and sends when it is its turn. time_ns: its modification
 * time. A window that was put before, also by an emberd before this one, is left out. Failures are counted and logged.
 */
void upload_put(struct upload *u, int dirfd, const char *path, uint64_t time_ns);
/* True where a window could not be put (a full disk): the caller puts all again that the store has from
 * upload_put_until_ns() on, oldest first. */
bool upload_catch_up(struct upload *u);
/* Windows up to this time were put: what is younger was not, if it is not known by name. 0: the destination is new. */
uint64_t upload_put_until_ns(const struct upload *u);

/* What was set aside waits again. Returns how many windows. */
unsigned upload_take_back(struct upload *u);

const char *upload_name(const struct upload *u);
json_t *upload_status(const struct upload *u);
pid_t upload_child(const struct upload *u); /* 0: none now */
uint64_t upload_child_cpu_ns(const struct upload *u);
