/* Forgetting: the table of files is finite, so the longest idle ones make room. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include "base/clock.h"
#include "bpf/abi.h"
#include "bpf/unwind.skel.h"
#include "daemon/code_table.h"

#define LEAVE_NS (2 * NS_PER_SEC) /* rings are drained many times in it */
#define IDLE_SECONDS 120          /* a file idle for less is not recycled */

static uint32_t earliest_hold(const struct code *c)
{
	uint32_t since = UINT32_MAX;

	for (unsigned i = 0; i < c->n_holds; i++)
		since = MIN(since, c->holds[i].since);
	return since;
}

uint64_t code_hold(struct code *c)
{
	if (c->n_holds == HOLDS_MAX) /* the newest may share the place of the one before it */
		return c->holds[HOLDS_MAX - 1].token;
	c->holds[c->n_holds++] = (struct hold){ .token = ++c->next_token, .since = code_now() };
	return c->next_token;
}

void code_release(struct code *c, uint64_t hold)
{
	for (unsigned i = 0; i < c->n_holds; i++) {
		if (c->holds[i].token != hold)
			continue;
		memmove(&c->holds[i], &c->holds[i + 1], (--c->n_holds - i) * sizeof(c->holds[0]));
		return;
	}
}

struct idle {
	uint32_t used, index;
};

static int by_used(const void *a, const void *b)
{
	const struct idle *x = a, *y = b;

	return x->used < y->used ? -1 : x->used > y->used;
}

/* Takes the longest idle files out of the kernel's table. Their indices return a little later, when no record that
 * carries them can be in a ring any more. */
static void recycle(struct code *c)
{
	uint32_t before = MIN(earliest_hold(c), code_now() - IDLE_SECONDS), n = 0;
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
	_cleanup_free_ struct idle *list = calloc(FILES_MAX, sizeof(*list));

	if (!list)
		return;
	for (uint32_t i = FILE_FIRST; i < FILES_MAX; i++) {
		struct code_entry *e = c->entries[i];
		uint32_t used;

		if (!e || e->leaving_ns || e->state == CODE_STATE_ASKED)
			continue;
		used = code_entry_told(c, i).used;
		if (used < before)
			list[n++] = (struct idle){ .used = used, .index = i };
	}
	qsort(list, n, sizeof(*list), by_used);
	for (uint32_t i = 0; i < n && i < FILES_MAX / 8; i++) {
		struct code_entry *e = c->entries[list[i].index];

		(void)bpf_map_delete_elem(bpf_map__fd(c->maps->maps.files), &e->key);
		e->leaving_ns = now_ns;
	}
}

static void entry_leave(struct code *c, uint32_t index)
{
	code_entry_publish(c, index, 0, NULL, 0);
	code_entry_free(c, c->entries[index]);
	c->generations[index] = (c->generations[index] + 1) & ((1u << (32 - INDEX_BITS)) - 1);
	c->recycled++;
	(void)bpf_map_update_elem(bpf_map__fd(c->maps->maps.free_files), NULL, &index, BPF_ANY);
}

void code_tick(struct code *c)
{
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);

	rows_tick(c->rows, now_ns);
	if (c->n_entries < FULL_MARK)
		return;
	recycle(c);
	for (uint32_t i = FILE_FIRST; i < FILES_MAX; i++) {
		struct code_entry *e = c->entries[i];

		if (e && e->leaving_ns && e->leaving_ns + LEAVE_NS <= now_ns && e->state != CODE_STATE_ASKED)
			entry_leave(c, i);
	}
}
