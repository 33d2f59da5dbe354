/* The index made true again from the files, after somebody deleted or broke it, copied files in or out, or was killed
 * between a file and its row. Files that a merged file holds (store/trailer.h) are leftovers of a killed merge:
 * removed. */
#pragma once
#include "store/corrupt.h"
#include "store/store.h"

struct store_progress {
	void (*f)(void *userdata, uint64_t done, uint64_t total); /* NULL: nobody wants to know; total 0: not known */
	void *userdata;
};

struct rebuild_result {
	uint64_t n_files;       /* names of ours that were seen */
	uint64_t n_added;       /* read and put into the index */
	uint64_t n_gone;        /* rows whose file was not there */
	uint64_t n_leftovers;   /* removed: a merged file holds them */
	uint64_t n_temporaries; /* removed: their writer is dead */
	uint64_t n_strangers;   /* left alone: no names of ours */
	struct corrupt corrupt; /* set aside */
};

/* Compares names with rows and reads what has none. Cheap where all is well: one look-up a name.
 * -EAGAIN: another process is at it (or merging), and wait is false. */
int store_reconcile(struct store *s, bool wait, const struct store_progress *progress, struct rebuild_result *ret);
/* Forgets all rows first. Readers walk the directory until it is done. */
int store_rebuild(struct store *s, bool wait, const struct store_progress *progress, struct rebuild_result *ret);

struct index;
struct trailer;
/* For who holds the keeper's lock. */
int rebuild_locked(struct store *s, struct index *x, bool from_nothing, const struct store_progress *progress,
        struct rebuild_result *ret);
/* Takes away what a merged file holds: rows, in the caller's transaction, and then (rebuild_unlink_covered, after it)
 * the files, each only where its bytes are the ones that were merged. */
int rebuild_remove_covered_rows(struct store *s, struct index *x, const struct trailer *t);
int rebuild_unlink_covered(struct store *s, const struct trailer *t, uint64_t *n_removed);
