/* Children that were forked a moment ago. A moment later most are gone, so whoever copies for a child what its parent
 * has waits that long, and asks then who is still there.
 *
 * No logging. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct forks;

int forks_new(size_t n_max, struct forks **ret);
struct forks *forks_free(struct forks *f);
DEFINE_CLEANUP(struct forks *, forks_free)

/* -ENOSPC: settle first. child_start_ns: task_struct.start_boottime. */
int forks_add(struct forks *f, uint32_t parent, uint32_t child, uint64_t child_start_ns);

/* Calls each for every child that is still there, in the order in which they began, and forgets all. proc_dirfd: an
 * open /proc. */
typedef void (*forks_each_t)(void *userdata, uint32_t parent, uint32_t child, uint64_t child_start_ns);
void forks_settle(struct forks *f, int proc_dirfd, forks_each_t each, void *userdata);
