#include "daemon/resident.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daemon/keeper.h"
#include "daemon/process.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, size, value) ((value) = (unsigned)XXH3_64bits((key), (size)))
#include <uthash.h>

#define PAGE_BYTES (1ull << MEMORY_PAGE_SHIFT)
#define PAGEMAP_PRESENT (1ull << 63) /* Documentation/admin-guide/mm/pagemap.rst */

struct page_key {
	uint64_t start_ns;
	uint64_t number; /* address >> MEMORY_PAGE_SHIFT */
	uint32_t pid, padding;
};

struct page {
	struct page_key key;
	uint32_t stack; /* of its last toucher */
	uint32_t shift;
	UT_hash_handle hh;
};

struct resident {
	struct resident_limits limits;
	struct keeper *stacks;
	struct page *pages;
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

static void forget(struct resident *r, struct page *p)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an element that is in has a table */
	HASH_DEL(r->pages, p);
	free(p);
}

struct resident *resident_free(struct resident *r)
{
	struct page *p, *next;

	if (!r)
		return NULL;
	HASH_ITER (hh, r->pages, p, next)
		forget(r, p);
	(void)keeper_free(r->stacks);
	free(r);
	return NULL;
}

static int get_page(struct resident *r, const struct page_key *key, struct page **ret)
{
	struct page *p;

	HASH_FIND(hh, r->pages, key, sizeof(*key), p);
	if (p) {
		*ret = p;
		return 0;
	}
	if (HASH_COUNT(r->pages) >= r->limits.pages)
		return -ENOSPC;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct page){ .key = *key };
	HASH_ADD(hh, r->pages, key, sizeof(p->key), p);
	if (!p->hh.tbl) { /* uthash could not grow: it is not in */
		free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

/* The watched pages among those from first that a fault may have brought in. */
static int touch_pages(
        struct resident *r, const struct sample *s, uint64_t first, uint64_t n, uint32_t stack, unsigned shift)
{
	const uint64_t per_region = 1u << MEMORY_PAGES_PER_REGION_SHIFT;
	uint32_t hash = MEMORY_REGION_HASH(first / per_region);

	for (uint64_t i = 0; i < n; i++) {
		struct page_key key = { .start_ns = s->process_start_ns, .number = first + i, .pid = s->pid };
		struct page *p;
		int error;

		if (!MEMORY_PAGE_WATCHED(hash, (uint32_t)(key.number % per_region), shift))
			continue;
		error = get_page(r, &key, &p);
		if (error < 0)
			return error;
		p->stack = stack;
		p->shift = shift;
	}
	return 0;
}

int resident_touch(struct resident *r, const struct sample *s, uint64_t address, unsigned shift, unsigned reach)
{
	static const unsigned reach_shift[] = { [MEMORY_REACH_PAGE] = MEMORY_PAGE_SHIFT,
		[MEMORY_REACH_BLOCK] = MEMORY_BLOCK_SHIFT,
		[MEMORY_REACH_REGION] = MEMORY_REGION_SHIFT };
	uint64_t first;
	uint32_t stack;
	int error;

	assert(r);
	assert(s);

	if (reach >= ARRAY_SIZE(reach_shift) || shift > MEMORY_SHIFT_MAX)
		return -EINVAL;
	first = address >> reach_shift[reach] << reach_shift[reach];
	error = keeper_put(r->stacks, s, &stack);
	if (error >= 0)
		error = touch_pages(r, s, first >> MEMORY_PAGE_SHIFT, 1ull << (reach_shift[reach] - MEMORY_PAGE_SHIFT),
		        stack, shift);
	if (error < 0)
		r->dropped++;
	return error;
}

/* The child's samples are its own: the parent's stack under another process. */
static int copy_page(struct resident *r, const struct page *from, uint32_t child, uint64_t child_start_ns)
{
	struct page_key key = { .start_ns = child_start_ns, .number = from->key.number, .pid = child };
	struct sample s;
	struct page *p;
	uint32_t stack;
	int error;

	HASH_FIND(hh, r->pages, &key, sizeof(key), p);
	if (p) /* the child has touched it itself by now */
		return 0;
	keeper_get(r->stacks, from->stack, &s);
	s.pid = s.tid = child;
	s.process_start_ns = child_start_ns;
	error = keeper_put(r->stacks, &s, &stack);
	if (error >= 0)
		error = get_page(r, &key, &p);
	if (error < 0)
		return error;
	p->stack = stack;
	p->shift = from->shift;
	return 0;
}

int resident_fork(struct resident *r, uint32_t parent, uint32_t child, uint64_t child_start_ns)
{
	struct page *p, *next;
	int error = 0;

	HASH_ITER (hh, r->pages, p, next) {
		if (p->key.pid != parent)
			continue;
		error = copy_page(r, p, child, child_start_ns);
		if (error < 0) {
			r->dropped++;
			break;
		}
	}
	return error;
}

void resident_coarsen(struct resident *r, unsigned shift)
{
	struct page *p, *next;

	HASH_ITER (hh, r->pages, p, next) {
		uint64_t per_region = 1u << MEMORY_PAGES_PER_REGION_SHIFT;
		uint32_t hash = MEMORY_REGION_HASH(p->key.number / per_region);

		if (!MEMORY_PAGE_WATCHED(hash, (uint32_t)(p->key.number % per_region), shift))
			forget(r, p);
		else
			p->shift = MAX(p->shift, shift);
	}
}

/* ---- report ---- */

static int by_process(const struct page *a, const struct page *b)
{
	if (a->key.pid != b->key.pid)
		return a->key.pid < b->key.pid ? -1 : 1;
	if (a->key.start_ns != b->key.start_ns)
		return a->key.start_ns < b->key.start_ns ? -1 : 1;
	return a->key.number < b->key.number ? -1 : a->key.number > b->key.number;
}

/* Descriptor of a process's page map, -1 where it is gone (or another one by now). */
static int open_pagemap(int proc_dirfd, const struct page_key *key)
{
	_cleanup_close_ int dirfd = process_open(proc_dirfd, key->pid, key->start_ns);

	return dirfd < 0 ? -1 : openat(dirfd, "pagemap", O_RDONLY | O_CLOEXEC);
}

static bool is_present(int pagemap, uint64_t number)
{
	uint64_t entry;

	return fd_pread_full(pagemap, &entry, sizeof(entry), number * sizeof(entry)) >= 0 && (entry & PAGEMAP_PRESENT);
}

/* Adds what is there to bytes[stack] and forgets what is not. */
static void count_pages(struct resident *r, int proc_dirfd, uint64_t *bytes)
{
	_cleanup_close_ int pagemap = -1;
	struct page_key open = { 0 };
	struct page *p, *next;

	HASH_SORT(r->pages, by_process);
	HASH_ITER (hh, r->pages, p, next) {
		if (p->key.pid != open.pid || p->key.start_ns != open.start_ns) {
			(void)close_fd(pagemap);
			pagemap = open_pagemap(proc_dirfd, &p->key);
			open = p->key;
		}
		if (pagemap >= 0 && is_present(pagemap, p->key.number))
			bytes[p->stack] += PAGE_BYTES << p->shift;
		else
			forget(r, p);
	}
}

/* Stacks that hold nothing any more leave the table: those that are left move to a new one, which is never larger. */
static int drop_unused_stacks(struct resident *r)
{
	_cleanup_(keeper_freep) struct keeper *kept = NULL;
	struct page *p, *next;
	int error;

	error = keeper_new(r->limits.stacks, r->limits.stack_bytes, &kept);
	if (error < 0)
		return error;
	HASH_ITER (hh, r->pages, p, next) {
		error = keeper_copy(kept, r->stacks, p->stack, &p->stack);
		if (error < 0) { /* out of memory: it would name a stack of the old table */
			forget(r, p);
			r->dropped++;
		}
	}
	(void)keeper_free(r->stacks);
	r->stacks = TAKE_PTR(kept);
	return 0;
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
	count_pages(r, proc_dirfd, bytes);
	tell(r, bytes, each, userdata);
	error = drop_unused_stacks(r);
	return error < 0 ? error : (int)HASH_COUNT(r->pages);
}

void resident_stats(const struct resident *r, struct resident_stats *ret)
{
	*ret = (struct resident_stats){
		.pages = HASH_COUNT(r->pages),
		.stacks = keeper_count(r->stacks),
		.bytes = keeper_bytes(r->stacks) + HASH_COUNT(r->pages) * sizeof(struct page),
		.dropped = r->dropped,
	};
}
