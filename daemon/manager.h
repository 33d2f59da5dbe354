/* The object that owns the rest of emberd: configuration, sources at work, windows on their way, store, control socket,
 * timers. Its fields are shared by the files that are its parts: manager.c (life), continuous.c (the continuous
 * profile), record.c (recordings on demand), status.c (what it tells of itself), methods.c (control methods). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/environment.h"
#include "daemon/gather.h"
#include "daemon/storekeeper.h"
#include "daemon/symbolizer.h"
#include "daemon/target_spec.h"
#include "daemon/uploads.h"
#include "store/store.h"

#define MANAGER_NEEDS "run it as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_SYSLOG"

/* Two children, so that rows of new code never wait for names, which can take seconds. */
enum { FOR_ROWS, FOR_NAMES, MANAGER_SYMBOLIZERS };

struct manager_options {
	const char *config_path; /* NULL: no file, defaults */
	bool config_must_exist;
	const char *store_path;      /* NULL: the configuration's */
	const char *runtime_path;    /* of the control socket */
	const char *symbolizer_path; /* executable */
	const char *export_path;     /* executable */
	/* A daemon for one client: no continuous profile, no store, no socket; ends with its client. */
	bool is_private;
	int control_fd; /* where is_private */
};

/* A source of the continuous profile. */
struct continuous {
	LIST_ENTRY(continuous) next;
	struct gather *gather;
};

/* A window on its way into the store. */
struct pending {
	LIST_ENTRY(pending) next;
	struct manager *manager;
	const struct source *source;
	struct assembly *assembly;
};

struct recording; /* record.c */

struct manager_stats {
	uint64_t windows_written, windows_failed, windows_empty;
	uint64_t bytes_written;
	int last_error;          /* of a write; 0: the last one succeeded */
	uint64_t last_window_ns; /* wall time of its start */
};

struct manager {
	struct manager_options options;
	struct config *config;
	sd_event *event;
	struct symbolizer *symbolizers[MANAGER_SYMBOLIZERS];
	struct code *code;
	struct symbols *symbols;
	struct cgroups *cgroups;
	struct environment *environment; /* of processes, for service names */
	struct store *store;             /* NULL where private */
	struct storekeeper *storekeeper; /* likewise */
	struct uploads *uploads;         /* NULL where private */
	struct control *control;
	struct gather_tools tools;
	struct target_set *targets; /* of the continuous profile */
	char host[256];
	int cache_dirfd, accounting_fd;
	uint64_t closed_bpf_ns; /* run time of programs that are gone */
	uint64_t start_ns;      /* wall */

	LIST_HEAD(, continuous) continuous;
	LIST_HEAD(, pending) pending;
	LIST_HEAD(, recording) recordings;
	sd_event_source *drain_timer, *tick_timer, *window_timer;
	bool is_stopping;
	struct manager_stats stats;
};

/* Logs what went wrong, in one line. */
int manager_new(const struct manager_options *options, struct manager **ret);
struct manager *manager_free(struct manager *m);
DEFINE_CLEANUP(struct manager *, manager_free)
/* Until a signal, the end of the private client, or an error. */
int manager_run(struct manager *m);

/* Reads the configuration again and applies it. On failure the old one stays and *ret_error says why (belongs to the
 * caller). */
int manager_reload(struct manager *m, char **ret_error);
/* Ends the windows under way now; they are written as soon as their names are there. */
void manager_flush(struct manager *m);
/* Whether windows of a flush are still on their way. */
bool manager_is_busy(const struct manager *m);
/* The store's directory, as in force. */
const char *manager_store_path(const struct manager *m);

/* Called by a part that has a gather of its own. */
void manager_gather_closed(struct manager *m, struct gather *g);                      /* frees it and keeps its cost */
void manager_symbolizer_stats(const struct manager *m, struct symbolizer_stats *ret); /* of all, added up */
void manager_went_idle(struct manager *m); /* something that stopping waits for has ended */

/* continuous.c */
int continuous_start(struct manager *m); /* the configuration's sources, in place of those that run */
void continuous_stop(struct manager *m); /* what is in their windows is lost: cut first */
void continuous_cut(struct manager *m, uint64_t timeout_ns);
uint64_t continuous_left_ns(const struct manager *m); /* until the window ends */
int continuous_arm_timer(struct manager *m);
int continuous_on_timer(sd_event_source *s, uint64_t usec, void *userdata);

/* record.c */
void record_handle(struct manager *m, struct control_call *call, const json_t *params);
void record_stop(struct manager *m, const void *client); /* NULL: all */
void record_drain(struct manager *m);
void record_tick(struct manager *m);
unsigned record_count(const struct manager *m);
uint64_t record_bpf_ns(const struct manager *m);

/* status.c */
json_t *status_json(struct manager *m);
json_t *features_json(void);

/* methods.c */
extern const struct control_method manager_methods[];
