/* The inside of struct code, shared by code.c (table and flow) and code_preload.c. */
#pragma once
#include <stdbool.h>
#include <sys/queue.h>
#include "daemon/code.h"
#include "daemon/reach.h"
#include "daemon/rows.h"

enum code_state {
	CODE_STATE_UNREACHED = 0, /* could not be opened; asked again at its next event */
	CODE_STATE_QUEUED,
	CODE_STATE_ASKED, /* the symbolizer works on it */
	CODE_STATE_DONE,
};

struct code_entry {
	struct code_file file;
	struct file_key key;
	enum code_state state;
	char *path;
	char file_id[2 * BUILD_ID_BYTES_MAX + 1];
	struct rows_file *rows;
	int fd; /* while it is worked on, and for files that their path no longer leads to */
	pid_t pid;
	unsigned tries;
	uint64_t leaving_ns; /* taken out of the kernel's table then; 0: not */
	TAILQ_ENTRY(code_entry) queue;
};

TAILQ_HEAD(code_queue, code_entry);

/* A file that was met in an event or in /proc. */
struct code_meeting {
	struct reach reach;
	bool is_deleted;
	bool is_sampled; /* before those that are only expected */
};

/* Notes a file under an index and sets out to learn about it. */
void code_meet(struct code *c, uint32_t index, const struct code_meeting *m);
/* Gives a file that no sample has met an index. 1: it is new; 0: it has one already. */
int code_allot(struct code *c, const struct file_key *key, uint32_t *ret_index);
/* Begins learning ahead. The source belongs to the caller; preload_done is called at the end, from inside it. */
int preload_start(struct code *c, sd_event *event, sd_event_source **ret);
void preload_done(struct code *c);
