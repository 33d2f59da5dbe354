#include "base/intern.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#define CHUNK_BYTES (64u << 10)
#define EMPTY UINT32_MAX

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(8) char bytes[];
};

struct entry {
	const char *key;
	uint32_t size;
	uint32_t hash;
};

struct intern {
	struct chunk *chunks;
	struct entry *entries;
	uint32_t *slots; /* entry index or EMPTY; a power of two of them */
	uint32_t n_entries, room_entries, n_slots, max_entries;
	size_t key_bytes, max_bytes, held_bytes;
};

int intern_new(uint32_t max_entries, size_t max_bytes, struct intern **ret)
{
	struct intern *t;

	assert(ret);
	assert(max_entries < EMPTY / 4);

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->max_entries = max_entries;
	t->max_bytes = max_bytes;
	*ret = t;
	return 0;
}

struct intern *intern_free(struct intern *t)
{
	if (!t)
		return NULL;
	while (t->chunks) {
		struct chunk *c = t->chunks;

		t->chunks = c->next;
		free(c);
	}
	free(t->entries);
	free(t->slots);
	free(t);
	return NULL;
}

static uint32_t *find_slot(const struct intern *t, const void *key, size_t size, uint32_t hash)
{
	for (uint32_t i = hash & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
		const struct entry *e;

		if (t->slots[i] == EMPTY)
			return &t->slots[i];
		e = &t->entries[t->slots[i]];
		if (e->hash == hash && e->size == size && memcmp(e->key, key, size) == 0)
			return &t->slots[i];
	}
}

static int grow_slots(struct intern *t)
{
	uint32_t n = t->n_slots ? t->n_slots * 2 : 64;
	uint32_t *slots = malloc(n * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	memset(slots, 0xff, n * sizeof(*slots));
	for (uint32_t id = 0; id < t->n_entries; id++) {
		uint32_t i = t->entries[id].hash & (n - 1);

		while (slots[i] != EMPTY)
			i = (i + 1) & (n - 1);
		slots[i] = id;
	}
	t->held_bytes += (n - t->n_slots) * sizeof(*slots);
	free(t->slots);
	t->slots = slots;
	t->n_slots = n;
	return 0;
}

static int grow_entries(struct intern *t)
{
	uint32_t room = t->room_entries ? t->room_entries * 2 : 32;
	struct entry *entries = realloc(t->entries, room * sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	t->held_bytes += (room - t->room_entries) * sizeof(*entries);
	t->entries = entries;
	t->room_entries = room;
	return 0;
}

/* Keys are aligned to 8 bytes, so a caller may store structs. */
static char *arena_room(struct intern *t, size_t size)
{
	size_t need = (size + 7) & ~(size_t)7;
	struct chunk *c = t->chunks;

	if (!c || c->size - c->used < need) {
		/* Small tables stay small: chunks double up to CHUNK_BYTES. */
		size_t bytes = MAX(c ? MIN(c->size * 2, (size_t)CHUNK_BYTES) : (size_t)1024, need);

		c = malloc(sizeof(*c) + bytes);
		if (!c)
			return NULL;
		*c = (struct chunk){ .next = t->chunks, .size = bytes };
		t->chunks = c;
		t->held_bytes += sizeof(*c) + bytes;
	}
	c->used += need;
	return c->bytes + c->used - need;
}

int intern_put(struct intern *t, const void *key, size_t size, uint32_t *ret_id)
{
	uint32_t hash, *slot;
	char *copy;
	int r;

	assert(t);
	assert(ret_id);

	if (size > UINT32_MAX)
		return -ENOSPC;
	if (t->n_entries >= t->n_slots / 2) {
		r = grow_slots(t);
		if (r < 0)
			return r;
	}
	hash = (uint32_t)XXH3_64bits(key, size);
	slot = find_slot(t, key, size, hash);
	if (*slot != EMPTY) {
		*ret_id = *slot;
		return 0;
	}
	if (t->n_entries >= t->max_entries || size > t->max_bytes || t->key_bytes > t->max_bytes - size)
		return -ENOSPC;
	if (t->n_entries == t->room_entries) {
		r = grow_entries(t);
		if (r < 0)
			return r;
	}
	copy = arena_room(t, size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, key, size);
	t->entries[t->n_entries] = (struct entry){ .key = copy, .size = (uint32_t)size, .hash = hash };
	t->key_bytes += size;
	*slot = t->n_entries;
	*ret_id = t->n_entries++;
	return 1;
}

int intern_find(const struct intern *t, const void *key, size_t size, uint32_t *ret_id)
{
	const uint32_t *slot;

	if (!t->n_slots)
		return -ENOENT;
	slot = find_slot(t, key, size, (uint32_t)XXH3_64bits(key, size));
	if (*slot == EMPTY)
		return -ENOENT;
	*ret_id = *slot;
	return 0;
}

const void *intern_get(const struct intern *t, uint32_t id, size_t *ret_size)
{
	assert(id < t->n_entries);
	if (ret_size)
		*ret_size = t->entries[id].size;
	return t->entries[id].key;
}

uint32_t intern_count(const struct intern *t)
{
	return t->n_entries;
}

size_t intern_bytes(const struct intern *t)
{
	return sizeof(*t) + t->held_bytes;
}
