/* Stacks that the programs could not unwind because rows were not there yet: the first moments of a program that was
 * never seen, and of every recording. The program sends the stack's memory along (struct stack_record); here the same
 * step goes on from there as soon as the rows are known, by the mappings that the process has. What cannot be finished
 * in time (the process is gone, the copy ends too early) is told as it was: cut. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "bpf/abi.h"

struct code;
struct unfinished;

#define UNFINISHED_BYTES_MAX (4u << 20) /* of samples that wait, with their copies of 16 to 64 KiB */

int unfinished_new(struct code *code, struct unfinished **ret);
struct unfinished *unfinished_free(struct unfinished *u);
DEFINE_CLEANUP(struct unfinished *, unfinished_free)

/* A copy from the ring; its sample comes next. -EBADMSG: malformed. */
int unfinished_copy(struct unfinished *u, const struct stack_record *r, size_t size);
/* Takes a checked sample of n frames whose copy is here. False: there is no copy or no room; it is to be told as it is.
 */
bool unfinished_keep(struct unfinished *u, const struct sample_record *r, size_t size);

/* Goes on with all that wait and tells those that are done; at_once: also those that are not. A record that is told is
 * borrowed for the call. */
typedef void (*unfinished_ready_t)(void *userdata, const struct sample_record *r, size_t size);
void unfinished_run(struct unfinished *u, bool at_once, unfinished_ready_t ready, void *userdata);

unsigned unfinished_count(const struct unfinished *u); /* that wait */
uint64_t unfinished_done(const struct unfinished *u);  /* that were finished, in all */
