/* emberd's end of ember-symbolizer: starts the child when there is a request, ends it after a while of idleness, kills
 * it when it is late, and answers -EOWNERDEAD for the request that killed it (the caller marks that file). Never
 * blocks: completion comes from the event loop. Requests run one after the other; small kinds (IDENTIFY) go before
 * large ones. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"
#include "symbolizer/protocol.h"

struct symbolizer;

struct symbolizer_config {
	const char *executable; /* path of ember-symbolizer */
	uint64_t idle_ns;       /* end the child after this long without work */
	uint64_t timeout_ns;    /* CPU time of one request, and four times as much by the wall clock: kill beyond */
	uint64_t memory_max;    /* RLIMIT_AS of the child */
};

int symbolizer_new(sd_event *event, const struct symbolizer_config *config, struct symbolizer **ret);
struct symbolizer *symbolizer_free(struct symbolizer *s); /* pending requests complete with -ECANCELED */
DEFINE_CLEANUP(struct symbolizer *, symbolizer_free)

/* answer: on result 0 a mapping of the answer, read-only, valid during the call; NULL else. */
typedef void (*symbolizer_done_t)(void *userdata, int result, const void *answer, size_t answer_bytes);

/* fds in the order of protocol.h without the answer's (the client makes that memfd); they are duplicated. queries may
 * be NULL. done is called exactly once, never from inside this function. Where the child cannot even enter its sandbox
 * the result is -ECHILD, which says nothing about the file. */
int symbolizer_request(struct symbolizer *s, enum symbolizer_kind kind, uint32_t flags, const int *fds, size_t n_fds,
        const uint64_t *queries, uint32_t n_queries, symbolizer_done_t done, void *userdata);

struct symbolizer_stats {
	uint64_t requests, failures, kills, starts, cpu_ns;
	uint64_t rss_bytes; /* now */
	pid_t pid;          /* 0: no child now */
	uint32_t queued;
};
void symbolizer_stats(const struct symbolizer *s, struct symbolizer_stats *ret);
