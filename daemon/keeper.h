/* Samples that are kept beyond the call that delivered them, each distinct one once: a source that tells at a window's
 * end what still holds memory needs the stacks of long ago. Values and time are not kept. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/sample.h"

struct keeper;

int keeper_new(uint32_t samples_max, size_t bytes_max, struct keeper **ret);
struct keeper *keeper_free(struct keeper *k);
DEFINE_CLEANUP(struct keeper *, keeper_free)

/* Ids count from 0. -ENOSPC: a limit; -ENOMEM. The kernel's part of the stack is not kept. */
int keeper_put(struct keeper *k, const struct sample *s, uint32_t *ret_id);
/* *ret borrows from the keeper. */
void keeper_get(const struct keeper *k, uint32_t id, struct sample *ret);
/* Puts a sample of one keeper into another. */
int keeper_copy(struct keeper *to, const struct keeper *from, uint32_t id, uint32_t *ret_id);
uint32_t keeper_count(const struct keeper *k);
size_t keeper_bytes(const struct keeper *k);
