/* Byte strings to small dense numbers, each stored once. For hot paths: open addressing, one xxHash a look-up, keys in
 * one arena. Ids count from 0 in order of first sight; keys stay where they are until the table is freed. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct intern;

/* At most max_entries keys and max_bytes of key bytes: -ENOSPC beyond. */
int intern_new(uint32_t max_entries, size_t max_bytes, struct intern **ret);
struct intern *intern_free(struct intern *t);
DEFINE_CLEANUP(struct intern *, intern_free)

/* 1 where the key is new, 0 where it was known; *ret_id is set in both cases. */
int intern_put(struct intern *t, const void *key, size_t size, uint32_t *ret_id);
/* -ENOENT where it is not known. */
int intern_find(const struct intern *t, const void *key, size_t size, uint32_t *ret_id);
const void *intern_get(const struct intern *t, uint32_t id, size_t *ret_size);
uint32_t intern_count(const struct intern *t);
size_t intern_bytes(const struct intern *t); /* memory held */
