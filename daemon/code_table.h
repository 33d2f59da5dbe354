/* The inside of struct code, shared by code.c (table and flow), code_idle.c (forgetting) and
 * code_preload.c (learning ahead) and code_mapping.c (by what a process has mapped). */
#pragma once
#include <stdbool.h>
#include <sys/queue.h>
#include "daemon/code.h"
#include "daemon/proc_maps.h"
#include "daemon/reach.h"
#include "daemon/rows.h"

struct identities;
struct unwind_bpf;

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
	int fd;              /* while it is worked on, and for files that their path no longer leads to */
	pid_t pid;           /* of a process that has it mapped, there: */
	uint64_t start, end; /* 0, 0: as its executable, or not known */
	bool is_exe;
	unsigned tries;
	bool is_sampled;
	bool is_filling;
	uint32_t fill_cursor;
	uint64_t leaving_ns;           /* taken out of the kernel's table then; 0: not */
	TAILQ_ENTRY(code_entry) queue; /* of those that wait for the symbolizer, or whose rows are being filled in */
};

TAILQ_HEAD(code_queue, code_entry);

/* A file that was met in an event or in /proc. */
struct code_meeting {
	struct reach reach;
	bool is_deleted;
	bool is_sampled; /* before those that are only expected */
};

#define INDEX_BITS 12
_Static_assert(FILES_MAX == 1 << INDEX_BITS, "an ID is an index and a generation");

#define HOLDS_MAX 64
#define FULL_MARK (FILES_MAX - FILES_MAX / 8) /* idle files are recycled above it */

struct hold {
	uint64_t token;
	uint32_t since; /* COARSE_SECONDS */
};

struct code {
	struct code_config config;
	struct unwind_bpf *maps;
	struct rows *rows;
	struct identities *identities; /* NULL without a cache directory */
	struct code_entry *entries[FILES_MAX];
	uint32_t generations[FILES_MAX];
	uint32_t n_entries, n_kept;
	struct code_queue sampled, expected, filling;
	sd_event_source *fill_timer;
	unsigned n_asked;
	struct hold holds[HOLDS_MAX];
	unsigned n_holds;
	uint64_t next_token;
	uint64_t page_misses, rows_from_cache, rows_made;
	uint32_t failed, recycled;
	sd_event_source *preload;
};

/* Notes a file under an index and sets out to learn about it. */
void code_meet(struct code *c, uint32_t index, const struct code_meeting *m);
/* Gives a file that no sample has met an index. 1: it is new; 0: it has one already. */
int code_allot(struct code *c, const struct file_key *key, uint32_t *ret_index);
/* The same for what a running process has mapped, and sets out to learn about it where it is new. -ENOENT and the like:
 * it cannot be reached. Where the key does not come out as the kernel has it (btrfs, overlay) the index is another one
 * than samples will have, of the same contents. */
int code_expect(struct code *c, pid_t pid, const struct proc_mapping *m, bool is_sampled, uint32_t *ret_index);
/* What unwinding needs to know of an offset of a file. CODE_RULE: *ret is set. -EAGAIN: its rows are on their way. */
enum code_rule {
	CODE_RULE,
	CODE_RULE_NONE,           /* no unwind information */
	CODE_RULE_FRAME_POINTERS, /* code that keeps frame pointers */
};
int code_rule(struct code *c, uint32_t index, uint64_t offset, struct unwind_rule *ret);
/* A memory file of the kernel's own image as it is mapped into us, which the symbolizer reads like any other; belongs
 * to the caller. -ENOENT: there is none. */
int code_vdso_copy(void);
/* COARSE_SECONDS of now. */
uint32_t code_now(void);
/* Tells the programs about a file; keeps what they write themselves. */
void code_entry_publish(struct code *c, uint32_t index, uint32_t flags, const struct rows_file *rows, uint32_t asked);
struct file_entry code_entry_told(struct code *c, uint32_t index); /* as the programs have it */
void code_entry_free(struct code *c, struct code_entry *e);

/* Begins learning ahead. The source belongs to the caller; preload_done is called at the end, from inside it. */
int preload_start(struct code *c, sd_event *event, sd_event_source **ret);
void preload_done(struct code *c);
