/* Work that takes the kernel tens of milliseconds, such as probes in and out, done by threads of their own so that the
 * event loop never waits for it. A job is a piece of its owner, who gets it back on the loop. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"

struct uprobe_queue;

/* From push to done it belongs to the queue, and so does all that work looks at. */
struct uprobe_job {
	void (*work)(void *userdata); /* in a thread of the queue */
	void (*done)(void *userdata); /* on the loop, after work; may push the job again */
	void *userdata;
	STAILQ_ENTRY(uprobe_job) link;
};

/* At most max_jobs are on their way at a time. loop is borrowed for the queue's life. */
int uprobe_queue_new(sd_event *loop, unsigned n_threads, size_t max_jobs, struct uprobe_queue **ret);
/* -EAGAIN: max_jobs are on their way. */
int uprobe_queue_push(struct uprobe_queue *q, struct uprobe_job *job);
size_t uprobe_queue_waiting(const struct uprobe_queue *q); /* pushed and not done */
/* Works off everything, with all that done pushes: when it returns nothing is on its way. */
void uprobe_queue_finish(struct uprobe_queue *q);
/* Finishes first; NULL in, NULL out. */
struct uprobe_queue *uprobe_queue_free(struct uprobe_queue *q);
DEFINE_CLEANUP(struct uprobe_queue *, uprobe_queue_free)
