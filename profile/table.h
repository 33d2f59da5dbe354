/* Hash index over an array that its owner keeps: open addressing, 8 bytes a slot, the hash beside the index so that a
 * miss or a growth never touches the entities. Inline: each owner's comparison is compiled into its look-up. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_NONE UINT32_MAX

struct table_slot {
	uint32_t hash;
	uint32_t index; /* TABLE_NONE: free */
};

struct table {
	struct table_slot *slots;
	uint32_t n_slots; /* a power of two, or 0 */
	uint32_t n;
};

typedef bool (*table_equal_t)(const void *owner, uint32_t index, const void *key);

/* The upper half of a 64-bit hash: the low bits of short keys mix less. */
static inline uint32_t table_hash(uint64_t hash)
{
	return (uint32_t)(hash >> 32) ^ (uint32_t)hash;
}

__attribute__((always_inline)) static inline uint32_t table_find(
        const struct table *t, uint32_t hash, table_equal_t equal, const void *owner, const void *key)
{
	if (!t->n_slots)
		return TABLE_NONE;
	for (uint32_t i = hash & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
		const struct table_slot *s = &t->slots[i];

		if (s->index == TABLE_NONE)
			return TABLE_NONE;
		if (s->hash == hash && equal(owner, s->index, key))
			return s->index;
	}
}

static inline void table_prefetch(const struct table *t, uint32_t hash)
{
	if (t->n_slots)
		__builtin_prefetch(&t->slots[hash & (t->n_slots - 1)]);
}

/* The entry that table_find() will look at first; TABLE_NONE where there is none. */
static inline uint32_t table_guess(const struct table *t, uint32_t hash)
{
	if (!t->n_slots)
		return TABLE_NONE;
	for (uint32_t i = hash & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
		if (t->slots[i].index == TABLE_NONE || t->slots[i].hash == hash)
			return t->slots[i].index;
	}
}

/* Slots that n entries need: at most two thirds are taken. */
static inline uint64_t table_slots_for(uint64_t n)
{
	uint64_t slots = 32;

	while (n + n / 2 >= slots)
		slots *= 2;
	return slots;
}

/* Room for it must be there: table_resize(). */
static inline void table_insert(struct table *t, uint32_t hash, uint32_t index)
{
	uint32_t i = hash & (t->n_slots - 1);

	while (t->slots[i].index != TABLE_NONE)
		i = (i + 1) & (t->n_slots - 1);
	t->slots[i] = (struct table_slot){ .hash = hash, .index = index };
	t->n++;
}

/* -ENOMEM leaves the table as it was. All slots are written at once: pages that were only read first would cost a
 * second fault each, and the other threads an interrupt. */
static inline int table_resize(struct table *t, uint64_t n_slots)
{
	struct table bigger = { .n_slots = (uint32_t)n_slots };

	if (n_slots > 1u << 31)
		return -ENOMEM;
	bigger.slots = malloc(n_slots * sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	memset(bigger.slots, 0xff, n_slots * sizeof(*bigger.slots));
	for (uint32_t i = 0; i < t->n_slots; i++)
		if (t->slots[i].index != TABLE_NONE)
			table_insert(&bigger, t->slots[i].hash, t->slots[i].index);
	free(t->slots);
	*t = bigger;
	return 0;
}

/* Frees slot i and moves later entries of its run back, so that every look-up still ends at the right place. */
static inline void table_remove_slot(struct table *t, uint32_t i)
{
	const uint32_t mask = t->n_slots - 1;

	for (uint32_t j = (i + 1) & mask; t->slots[j].index != TABLE_NONE; j = (j + 1) & mask) {
		uint32_t home = t->slots[j].hash & mask;

		if (((j - home) & mask) >= ((j - i) & mask)) {
			t->slots[i] = t->slots[j];
			i = j;
		}
	}
	t->slots[i].index = TABLE_NONE;
	t->n--;
}

/* Takes out every entry whose index is n_keep or more. Cannot fail. */
static inline void table_forget(struct table *t, uint32_t n_keep)
{
	if (t->n <= n_keep)
		return;
	for (uint32_t i = 0; i < t->n_slots; i++)
		while (t->slots[i].index != TABLE_NONE && t->slots[i].index >= n_keep)
			table_remove_slot(t, i);
}
