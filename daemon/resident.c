#include "daemon/resident.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daemon/keeper.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, size, value) ((value) = (unsigned)XXH3_64bits((key), (size)))
#include <uthash.h>

#define PAGES_PER_BLOCK 16
#define PAGE_BYTES (1ull << MEMORY_PAGE_SHIFT)
#define PAGEMAP_PRESENT (1ull << 63) /* Documentation/admin-guide/mm/pagemap.rst */
#define NO_STACK UINT32_MAX

struct owner {
	uint32_t stack; /* NO_STACK: came in with a neighbour */
	uint32_t shift;
};

struct block_key {
	uint64_t start_ns;
	uint64_t block; /* address >> MEMORY_BLOCK_SHIFT */
	uint32_t pid, padding;
};

struct block {
	struct block_key key;
	struct owner last; /* of the last fault in the block, or of its region */
	struct owner pages[PAGES_PER_BLOCK];
	UT_hash_handle hh;
};

struct resident {
	struct resident_limits limits;
	struct keeper *stacks;
	struct block *blocks;
	uint64_t dropped;
};

int resident_new(const struct resident_limits *limits, struct resident **ret)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	int error;

	assert(limits);
	assert(ret);

	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->limits = *limits;
	error = keeper_new(limits->stacks, limits->stack_bytes, &r->stacks);
	if (error < 0)
		return error;
	*ret = TAKE_PTR(r);
	return 0;
}

static void forget(struct resident *r, struct block *b)
{
	HASH_DEL(r->blocks, b);
	free(b);
}

struct resident *resident_free(struct resident *r)
{
	struct block *b, *next;

	if (!r)
		return NULL;
	HASH_ITER(hh, r->blocks, b, next)
		forget(r, b);
	(void)keeper_free(r->stacks);
	free(r);
	return NULL;
}

static void set_owner(struct block *b, int page, struct owner owner)
{
	b->last = owner;
	if (page >= 0)
		b->pages[page] = owner;
}

static int get_block(struct resident *r, const struct block_key *key, struct block **ret)
{
	struct block *b;

	HASH_FIND(hh, r->blocks, key, sizeof(*key), b);
	if (b) {
		*ret = b;
		return 0;
	}
	if (HASH_COUNT(r->blocks) >= r->limits.blocks)
		return -ENOSPC;
	b = malloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	*b = (struct block){ .key = *key, .last.stack = NO_STACK };
	for (int i = 0; i < PAGES_PER_BLOCK; i++)
		b->pages[i].stack = NO_STACK;
	HASH_ADD(hh, r->blocks, key, sizeof(b->key), b);
	if (!b->hh.tbl) { /* uthash could not grow: it is not in */
		free(b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

/* The watched blocks of the region of one fault: all of them where the region may have become a huge page. */
static int touch_blocks(
	struct resident *r, const struct sample *s, uint64_t address, struct owner owner, int region)
{
	uint32_t hash = MEMORY_REGION_HASH(address >> MEMORY_REGION_SHIFT);
	uint64_t own = address >> MEMORY_BLOCK_SHIFT, first = (address >> MEMORY_REGION_SHIFT) * MEMORY_BLOCKS_PER_REGION;

	for (uint64_t i = 0; i < MEMORY_BLOCKS_PER_REGION; i++) {
		struct block_key key = { .start_ns = s->process_start_ns, .block = first + i, .pid = s->pid };
		struct block *b;
		int error;

		if ((!region && key.block != own) || !MEMORY_BLOCK_WATCHED(hash, (uint32_t)i, owner.shift))
			continue;
		error = get_block(r, &key, &b);
		if (error < 0)
			return error;
		set_owner(b, key.block == own ? (int)(address >> MEMORY_PAGE_SHIFT) % PAGES_PER_BLOCK : -1, owner);
	}
	return 0;
}

int resident_touch(struct resident *r, const struct sample *s, uint64_t address, unsigned shift, int region)
{
	struct owner owner = { .shift = MIN(shift, (unsigned)MEMORY_SHIFT_MAX) };
	int error;

	assert(r);
	assert(s);

	error = keeper_put(r->stacks, s, &owner.stack);
	if (error >= 0)
		error = touch_blocks(r, s, address, owner, region);
	if (error < 0)
		r->dropped++;
	return error;
}

/* The child's samples are its own: the parent's stack under another process. */
static int copy_owner(struct resident *r, const struct block_key *child, struct owner *o)
{
	struct sample s;

	if (o->stack == NO_STACK)
		return 0;
	keeper_get(r->stacks, o->stack, &s);
	s.pid = s.tid = child->pid;
	s.process_start_ns = child->start_ns;
	return keeper_put(r->stacks, &s, &o->stack);
}

static int copy_block(struct resident *r, const struct block *from, uint32_t child, uint64_t child_start_ns)
{
	struct block_key key = { .start_ns = child_start_ns, .block = from->key.block, .pid = child };
	struct block *b;
	int error;

	error = get_block(r, &key, &b);
	if (error < 0)
		return error;
	if (b->last.stack != NO_STACK) /* the child has touched it itself by now */
		return 0;
	b->last = from->last;
	memcpy(b->pages, from->pages, sizeof(b->pages));
	error = copy_owner(r, &key, &b->last);
	for (int i = 0; error >= 0 && i < PAGES_PER_BLOCK; i++)
		error = copy_owner(r, &key, &b->pages[i]);
	if (error < 0)
		forget(r, b);
	return error;
}

int resident_fork(struct resident *r, uint32_t parent, uint32_t child, uint64_t child_start_ns)
{
	struct block *b, *next;
	int error = 0;

	HASH_ITER(hh, r->blocks, b, next) {
		if (b->key.pid != parent)
			continue;
		error = copy_block(r, b, child, child_start_ns);
		if (error < 0) {
			r->dropped++;
			break;
		}
	}
	return error;
}

static void coarsen_owner(struct owner *o, unsigned shift)
{
	if (o->shift < shift)
		o->shift = shift;
}

void resident_coarsen(struct resident *r, unsigned shift)
{
	struct block *b, *next;

	HASH_ITER(hh, r->blocks, b, next) {
		uint32_t hash = MEMORY_REGION_HASH(b->key.block / MEMORY_BLOCKS_PER_REGION);

		if (!MEMORY_BLOCK_WATCHED(hash, (uint32_t)(b->key.block % MEMORY_BLOCKS_PER_REGION), shift)) {
			forget(r, b);
			continue;
		}
		coarsen_owner(&b->last, shift);
		for (int i = 0; i < PAGES_PER_BLOCK; i++)
			coarsen_owner(&b->pages[i], shift);
	}
}

/* ---- report ---- */

static int by_process(const struct block *a, const struct block *b)
{
	int c = memcmp(&a->key.pid, &b->key.pid, sizeof(a->key.pid));

	if (c == 0)
		c = a->key.start_ns < b->key.start_ns ? -1 : a->key.start_ns > b->key.start_ns;
	if (c == 0)
		c = a->key.block < b->key.block ? -1 : a->key.block > b->key.block;
	return c;
}

/* 1 where the process that runs as pid now is the one that began then. /proc/PID/stat, field 22, is in clock ticks. */
static int same_process(int dirfd, uint64_t start_ns)
{
	_cleanup_free_ char *text = NULL;
	uint64_t tick_ns = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK), ticks = 0;
	char *p;

	if (file_read_all(dirfd, "stat", 8192, &text, NULL) < 0)
		return 0;
	p = strrchr(text, ')'); /* the name may hold anything */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		ticks = strtoull(p, NULL, 10);
	return ticks == start_ns / tick_ns;
}

/* Descriptor of a process's page map, -1 where it is gone (or another one by now). */
static int open_pagemap(int proc_dirfd, const struct block_key *key)
{
	_cleanup_close_ int dirfd = -1;
	char name[16];

	(void)snprintf(name, sizeof(name), "%" PRIu32, key->pid);
	dirfd = openat(proc_dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || !same_process(dirfd, key->start_ns))
		return -1;
	return openat(dirfd, "pagemap", O_RDONLY | O_CLOEXEC);
}

/* Adds the block's pages that are there to bytes[stack]; 0 where none is left. */
static int count_pages(const struct block *b, int pagemap, uint64_t *bytes)
{
	uint64_t entries[PAGES_PER_BLOCK];
	int present = 0;

	if (fd_pread_full(pagemap, entries, sizeof(entries), b->key.block * sizeof(entries)) < 0)
		return 0;
	for (int i = 0; i < PAGES_PER_BLOCK; i++) {
		const struct owner *o = b->pages[i].stack != NO_STACK ? &b->pages[i] : &b->last;

		if (!(entries[i] & PAGEMAP_PRESENT) || o->stack == NO_STACK)
			continue;
		bytes[o->stack] += PAGE_BYTES << o->shift;
		present++;
	}
	return present;
}

static void count_blocks(struct resident *r, int proc_dirfd, uint64_t *bytes)
{
	_cleanup_close_ int pagemap = -1;
	struct block_key open = { 0 };
	struct block *b, *next;

	HASH_SORT(r->blocks, by_process);
	HASH_ITER(hh, r->blocks, b, next) {
		if (b->key.pid != open.pid || b->key.start_ns != open.start_ns) {
			(void)close_fd(pagemap);
			pagemap = open_pagemap(proc_dirfd, &b->key);
			open = b->key;
		}
		if (pagemap < 0 || count_pages(b, pagemap, bytes) == 0)
			forget(r, b);
	}
}

static int move_owner(struct owner *o, const struct keeper *from, struct keeper *to)
{
	return o->stack == NO_STACK ? 0 : keeper_copy(to, from, o->stack, &o->stack);
}

/* Stacks that hold nothing any more leave the table: those that are left move to a new one, which is never larger. */
static int drop_unused_stacks(struct resident *r)
{
	_cleanup_(keeper_freep) struct keeper *kept = NULL;
	struct block *b, *next;
	int error;

	error = keeper_new(r->limits.stacks, r->limits.stack_bytes, &kept);
	if (error < 0)
		return error;
	HASH_ITER(hh, r->blocks, b, next) {
		error = move_owner(&b->last, r->stacks, kept);
		for (int i = 0; error >= 0 && i < PAGES_PER_BLOCK; i++)
			error = move_owner(&b->pages[i], r->stacks, kept);
		if (error < 0) {
			/* Out of memory half-way: this block and those after it would name stacks of the old table. */
			for (; b; b = next) {
				next = b->hh.next;
				forget(r, b);
				r->dropped++;
			}
			break;
		}
	}
	(void)keeper_free(r->stacks);
	r->stacks = TAKE_PTR(kept);
	return error;
}

static void tell(struct resident *r, const uint64_t *bytes, resident_each_t each, void *userdata)
{
	for (uint32_t i = 0; i < keeper_count(r->stacks); i++) {
		struct sample s;

		if (bytes[i] == 0)
			continue;
		keeper_get(r->stacks, i, &s);
		s.time_ns = clock_now_ns(CLOCK_REALTIME);
		each(userdata, &s, bytes[i]);
	}
}

int resident_report(struct resident *r, int proc_dirfd, resident_each_t each, void *userdata)
{
	_cleanup_free_ uint64_t *bytes = NULL;
	int error;

	assert(r);
	assert(each);

	bytes = calloc(MAX(keeper_count(r->stacks), 1u), sizeof(*bytes));
	if (!bytes)
		return -ENOMEM;
	count_blocks(r, proc_dirfd, bytes);
	tell(r, bytes, each, userdata);
	error = drop_unused_stacks(r);
	return error < 0 ? error : (int)HASH_COUNT(r->blocks);
}

void resident_stats(const struct resident *r, struct resident_stats *ret)
{
	*ret = (struct resident_stats){
		.blocks = HASH_COUNT(r->blocks),
		.stacks = keeper_count(r->stacks),
		.bytes = keeper_bytes(r->stacks) + HASH_COUNT(r->blocks) * sizeof(struct block),
		.dropped = r->dropped,
	};
}
