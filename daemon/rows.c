#include "daemon/rows.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <xxhash.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/intern.h"
#include "daemon/extents.h"
#include "symbolizer/answer.h"
#include "symbolizer/protocol.h"

/* A file of the cache is the symbolizer's answer with checks behind it, so that nothing has to be synced: a crash costs
 * what it damaged. */
struct rows_trailer {
	uint64_t magic;
	uint64_t check; /* of header, directory of pages, rules and page checks */
};
#define TRAILER_MAGIC 0x314b435252424d45ull /* "EMBRRCK1" */

#define FILE_PAGES_MAX (1u << 16) /* 4 GiB of one file */
#define FILE_RULES_MAX (1u << 16)
#define SETTLE_NS (300 * NS_PER_MS) /* far longer than a program runs */
#define ROWS_DIRECTORY "rows"
#define ROWS_NAME_MAX (sizeof(ROWS_DIRECTORY) + (size_t)2 * BUILD_ID_BYTES_MAX + 2)

struct rows_file {
	LIST_ENTRY(rows_file) next;
	unsigned users;
	char file_id[2 * BUILD_ID_BYTES_MAX + 1];
	int fd; /* -1: the file in the cache is opened at need */
	struct rows_header header;
	struct rows_page *pages;
	uint32_t *checks; /* of each page's rows */
	uint16_t *rules;  /* the file's rule -> the global one */
	uint32_t first_slot, first_page, n_slots;
};

/* A slot whose page is in the pool. */
struct resident {
	uint32_t first_block;
	uint16_t n_blocks; /* 0: not in the pool */
};

/* Blocks whose page was put out at a time. */
struct settling {
	STAILQ_ENTRY(settling) next;
	uint64_t since_ns;
	uint32_t first, n;
};

struct rows {
	struct rows_maps maps;
	int cache_dirfd;
	struct extents *blocks, *slots;
	struct intern *rules;
	struct resident *resident; /* by slot */
	uint32_t n_resident, settling_blocks;
	STAILQ_HEAD(, settling) settling;
	LIST_HEAD(, rows_file) files;
	struct unwind_row *buffer;        /* rows of one page */
	const struct rows_page *buffered; /* whose; NULL: nobody's */
	uint64_t evicted, loaded, failed;
};

/* ---- rules ------------------------------------------------------------------------------------------------------ */

static bool rule_is_sane(const struct unwind_rule *rule)
{
	return rule->cfa <= CFA_LAST && rule->fp <= FP_LAST && (rule->cfa != CFA_END || rule->fp == FP_SAME);
}

/* The global number of a rule; 0, the unknown rule, where there is no room for another. */
static uint16_t rule_intern(struct rows *r, const struct unwind_rule *rule)
{
	uint32_t id = 0;
	int known;

	if (!rule_is_sane(rule))
		return 0;
	known = intern_put(r->rules, rule, sizeof(*rule), &id);
	if (known < 0)
		return 0;
	if (known == 1 && bpf_map_update_elem(r->maps.rules_fd, &id, rule, BPF_ANY) < 0)
		return 0;
	return (uint16_t)id;
}

/* ---- pool ------------------------------------------------------------------------------------------------------- */

int rows_new(const struct rows_maps *maps, int cache_dirfd, struct rows **ret)
{
	_cleanup_(rows_freep) struct rows *r = NULL;
	const struct unwind_rule unknown = { .cfa = CFA_UNKNOWN };
	int error;

	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->maps = *maps;
	r->cache_dirfd = cache_dirfd;
	STAILQ_INIT(&r->settling);
	LIST_INIT(&r->files);
	r->resident = calloc(maps->page_slots, sizeof(*r->resident));
	r->buffer = malloc(UNWIND_PAGE_ROWS_MAX * sizeof(*r->buffer));
	if (!r->resident || !r->buffer)
		return -ENOMEM;
	error = extents_new(maps->row_blocks, &r->blocks);
	if (error == 0)
		error = extents_new(maps->page_slots, &r->slots);
	if (error == 0)
		error = intern_new(maps->rules, (size_t)maps->rules * sizeof(struct unwind_rule), &r->rules);
	if (error < 0)
		return error;
	(void)rule_intern(r, &unknown); /* number 0 */
	if (cache_dirfd >= 0) {
		error = dir_make(cache_dirfd, ROWS_DIRECTORY, 0700);
		if (error < 0)
			return error;
	}
	*ret = TAKE_PTR(r);
	return 0;
}

struct rows *rows_free(struct rows *r)
{
	struct settling *s;

	if (!r)
		return NULL;
	while ((s = STAILQ_FIRST(&r->settling))) {
		STAILQ_REMOVE_HEAD(&r->settling, next);
		free(s);
	}
	extents_free(r->blocks);
	extents_free(r->slots);
	intern_free(r->rules);
	free(r->resident);
	free(r->buffer);
	free(r);
	return NULL;
}

static int page_write(struct rows *r, uint32_t slot, uint32_t first_row, uint32_t n_rows, uint32_t used)
{
	struct unwind_page page = {
		.first_row = first_row,
		.n_rows = n_rows,
		.used = used,
	};

	return bpf_map_update_elem(r->maps.pages_fd, &slot, &page, BPF_ANY);
}

static void page_evict(struct rows *r, uint32_t slot)
{
	struct resident *page = &r->resident[slot];
	struct settling *s;

	assert(page->n_blocks > 0);
	(void)page_write(r, slot, 0, 0, 0);
	s = malloc(sizeof(*s));
	if (s) {
		*s = (struct settling){
			.since_ns = clock_now_ns(CLOCK_MONOTONIC), .first = page->first_block, .n = page->n_blocks
		};
		STAILQ_INSERT_TAIL(&r->settling, s, next);
		r->settling_blocks += s->n;
	} else {
		extents_give(r->blocks, page->first_block, page->n_blocks);
	}
	*page = (struct resident){ 0 };
	r->n_resident--;
	r->evicted++;
}

struct candidate {
	uint32_t used, slot;
};

static int by_age(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->used < y->used ? -1 : x->used > y->used;
}

/* Puts out the longest unused pages until enough blocks are on their way to freedom: a sixteenth of the pool, or n. */
static void evict(struct rows *r, uint32_t n)
{
	_cleanup_free_ struct candidate *list = NULL;
	uint32_t wanted = MAX(n, r->maps.row_blocks / 16), count = 0;

	list = calloc(r->n_resident + 1, sizeof(*list));
	if (!list)
		return;
	for (uint32_t slot = 0; slot < r->maps.page_slots && count < r->n_resident; slot++) {
		struct unwind_page page = { 0 };

		if (r->resident[slot].n_blocks == 0)
			continue;
		(void)bpf_map_lookup_elem(r->maps.pages_fd, &slot, &page);
		list[count++] = (struct candidate){ .used = page.used, .slot = slot };
	}
	qsort(list, count, sizeof(*list), by_age);
	for (uint32_t i = 0; i < count && r->settling_blocks < wanted; i++)
		page_evict(r, list[i].slot);
}

void rows_tick(struct rows *r, uint64_t now_ns)
{
	struct settling *s;

	while ((s = STAILQ_FIRST(&r->settling)) && s->since_ns + SETTLE_NS <= now_ns) {
		STAILQ_REMOVE_HEAD(&r->settling, next);
		extents_give(r->blocks, s->first, s->n);
		r->settling_blocks -= s->n;
		free(s);
	}
	if (r->maps.row_blocks - extents_used(r->blocks) + r->settling_blocks < r->maps.row_blocks / 32)
		evict(r, r->maps.row_blocks / 16);
}

void rows_stats(const struct rows *r, struct rows_stats *ret)
{
	*ret = (struct rows_stats){
		.pages = r->n_resident,
		.blocks_used = extents_used(r->blocks),
		.blocks = r->maps.row_blocks,
		.rules_used = intern_count(r->rules),
		.rules = r->maps.rules,
		.slots_used = extents_used(r->slots),
		.slots = r->maps.page_slots,
		.evicted = r->evicted,
		.loaded = r->loaded,
		.failed = r->failed,
	};
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static int cache_open(const struct rows *r, const char *file_id)
{
	char name[ROWS_NAME_MAX];
	int fd;

	if (r->cache_dirfd < 0)
		return -ENOENT;
	(void)snprintf(name, sizeof(name), ROWS_DIRECTORY "/%s", file_id);
	fd = openat(r->cache_dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void cache_drop(const struct rows *r, const char *file_id)
{
	char name[ROWS_NAME_MAX];

	if (r->cache_dirfd < 0)
		return;
	(void)snprintf(name, sizeof(name), ROWS_DIRECTORY "/%s", file_id);
	(void)unlinkat(r->cache_dirfd, name, 0);
}

static int pages_check(const struct rows_file *f)
{
	uint64_t rows = 0;

	for (uint32_t i = 0; i < f->header.n_pages; i++) {
		const struct rows_page *p = &f->pages[i];

		if (i > 0 && p->page <= p[-1].page)
			return -EBADMSG;
		if (p->n_rows == 0 || p->n_rows > UNWIND_PAGE_ROWS_MAX || p->first_row > f->header.n_rows ||
		        p->n_rows > f->header.n_rows - p->first_row)
			return -EBADMSG;
		rows += p->n_rows;
	}
	if (rows > f->header.n_rows || f->pages[f->header.n_pages - 1].page - f->pages[0].page >= FILE_PAGES_MAX)
		return -EBADMSG;
	return 0;
}

static uint64_t rows_position(const struct rows_file *f, uint32_t row)
{
	return sizeof(f->header) + (uint64_t)f->header.n_pages * sizeof(struct rows_page) +
	       (uint64_t)f->header.n_rules * sizeof(struct unwind_rule) + (uint64_t)row * sizeof(struct unwind_row);
}

static int header_read(struct rows_file *f, int fd)
{
	const struct rows_header *h = &f->header;
	struct stat st;
	int error = fd_pread_full(fd, &f->header, sizeof(f->header), 0);

	if (error < 0)
		return error;
	if (h->magic != ROWS_MAGIC || h->n_pages == 0 || h->n_pages > FILE_PAGES_MAX || h->n_rules == 0 ||
	        h->n_rules > FILE_RULES_MAX || h->n_rows > ROWS_MAX)
		return -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size == rows_position(f, h->n_rows) + h->n_pages * sizeof(*f->checks) +
	                                       sizeof(struct rows_trailer)
	               ? 0
	               : -EBADMSG;
}

static uint32_t page_check(const struct unwind_row *rows, uint32_t n)
{
	return (uint32_t)XXH3_64bits(rows, n * sizeof(*rows));
}

/* before: what stands before the rows */
static uint64_t directory_check(const void *before, size_t size, const uint32_t *checks, uint32_t n_pages)
{
	return XXH3_64bits_withSeed(checks, n_pages * sizeof(*checks), XXH3_64bits(before, size));
}

/* Header, directory of pages and rules; the rows stay where they are. */
static int file_read(struct rows *r, struct rows_file *f, int fd)
{
	const struct rows_header *h = &f->header;
	_cleanup_free_ char *before = NULL;
	const struct unwind_rule *rules;
	struct rows_trailer trailer = { 0 };
	uint64_t end;
	int error;

	error = header_read(f, fd);
	if (error < 0)
		return error;
	before = malloc(rows_position(f, 0));
	f->pages = calloc(h->n_pages, sizeof(*f->pages));
	f->checks = calloc(h->n_pages, sizeof(*f->checks));
	f->rules = calloc(h->n_rules, sizeof(*f->rules));
	if (!before || !f->pages || !f->checks || !f->rules)
		return -ENOMEM;
	end = rows_position(f, h->n_rows);
	error = fd_pread_full(fd, before, rows_position(f, 0), 0);
	if (error == 0)
		error = fd_pread_full(fd, f->checks, h->n_pages * sizeof(*f->checks), end);
	if (error == 0)
		error = fd_pread_full(fd, &trailer, sizeof(trailer), end + h->n_pages * sizeof(*f->checks));
	if (error < 0)
		return error;
	if (trailer.magic != TRAILER_MAGIC ||
	        trailer.check != directory_check(before, rows_position(f, 0), f->checks, h->n_pages))
		return -EBADMSG;
	memcpy(f->pages, before + sizeof(*h), h->n_pages * sizeof(*f->pages));
	rules = (const void *)(before + sizeof(*h) + h->n_pages * sizeof(*f->pages));
	for (uint32_t i = 0; i < h->n_rules; i++)
		f->rules[i] = rule_intern(r, &rules[i]);
	return pages_check(f);
}

/* Slots for all pages from the first to the last; those that the file does not list hold no rows. */
static int file_slots(struct rows *r, struct rows_file *f)
{
	uint32_t last = f->pages[f->header.n_pages - 1].page, at = 0, first, n;
	int error;

	f->first_page = f->pages[0].page;
	n = last - f->first_page + 1;
	error = extents_take(r->slots, n, &first);
	if (error < 0)
		return error;
	f->first_slot = first;
	f->n_slots = n;
	for (uint32_t i = 0; i < n; i++) {
		bool listed = f->pages[at].page == f->first_page + i;

		if (page_write(r, first + i, 0, listed ? 0 : UNWIND_PAGE_EMPTY, 0) < 0)
			return -errno;
		at += listed;
	}
	return 0;
}

static int file_new(struct rows *r, const char *file_id, int fd, bool keep_fd, struct rows_file **ret)
{
	struct rows_file *f = calloc(1, sizeof(*f));
	int error;

	if (!f)
		return -ENOMEM;
	f->fd = -1;
	f->users = 1;
	LIST_INSERT_HEAD(&r->files, f, next);
	(void)snprintf(f->file_id, sizeof(f->file_id), "%s", file_id);
	error = file_read(r, f, fd);
	if (error == -EIO)
		error = -EBADMSG; /* shorter than it says */
	if (error == 0)
		error = file_slots(r, f);
	if (error == 0 && keep_fd) {
		f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		error = f->fd < 0 ? -errno : 0;
	}
	if (error < 0) {
		rows_file_free(r, f);
		return error;
	}
	*ret = f;
	return 0;
}

int rows_file_open(struct rows *r, const char *file_id, struct rows_file **ret)
{
	_cleanup_close_ int fd = -1;
	struct rows_file *f;

	LIST_FOREACH (f, &r->files, next) {
		if (strcmp(f->file_id, file_id) == 0) {
			f->users++;
			*ret = f;
			return 0;
		}
	}
	fd = cache_open(r, file_id);
	return fd < 0 ? fd : file_new(r, file_id, fd, false, ret);
}

static int memory_file(const struct iovec *parts, size_t n_parts, int *ret)
{
	_cleanup_close_ int fd = memfd_create("rows", MFD_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = fd_write_parts(fd, parts, n_parts);
	if (error < 0)
		return error;
	*ret = TAKE_FD(fd);
	return 0;
}

static int cache_write(const struct rows *r, const char *file_id, const struct iovec *parts, size_t n_parts)
{
	_cleanup_close_ int dir = -1;

	if (r->cache_dirfd < 0)
		return -ENOENT;
	dir = openat(r->cache_dirfd, ROWS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : file_replace(dir, file_id, parts, n_parts, 0600);
}

int rows_file_make(struct rows *r, const char *file_id, const void *answer, size_t size, struct rows_file **ret)
{
	_cleanup_free_ uint32_t *checks = NULL;
	struct rows_trailer trailer = { .magic = TRAILER_MAGIC };
	struct answer_rows v;
	_cleanup_close_ int fd = -1;
	int error = answer_rows(answer, size, &v);

	if (error < 0)
		return error;
	if (v.n_pages == 0)
		return -ENODATA;
	checks = calloc(v.n_pages, sizeof(*checks));
	if (!checks)
		return -ENOMEM;
	for (uint32_t i = 0; i < v.n_pages; i++)
		checks[i] = page_check(v.rows + v.pages[i].first_row, v.pages[i].n_rows);
	trailer.check =
	        directory_check(answer, (size_t)((const char *)v.rows - (const char *)answer), checks, v.n_pages);
	const struct iovec parts[] = {
		{ .iov_base = (void *)answer, .iov_len = size },
		{ .iov_base = checks, .iov_len = v.n_pages * sizeof(*checks) },
		{ .iov_base = &trailer, .iov_len = sizeof(trailer) },
	};
	if (cache_write(r, file_id, parts, ARRAY_SIZE(parts)) == 0)
		return rows_file_open(r, file_id, ret);
	/* no cache, or a full disk: memory does */
	error = memory_file(parts, ARRAY_SIZE(parts), &fd);
	return error < 0 ? error : file_new(r, file_id, fd, true, ret);
}

struct rows_file *rows_file_free(struct rows *r, struct rows_file *f)
{
	if (!f || --f->users > 0)
		return NULL;
	LIST_REMOVE(f, next);
	for (uint32_t i = 0; i < f->n_slots; i++) {
		if (r->resident[f->first_slot + i].n_blocks > 0)
			page_evict(r, f->first_slot + i);
	}
	if (f->n_slots > 0)
		extents_give(r->slots, f->first_slot, f->n_slots);
	close_fd(f->fd);
	r->buffered = NULL; /* it may be one of these */
	free(f->pages);
	free(f->checks);
	free(f->rules);
	free(f);
	return NULL;
}

void rows_file_entry(const struct rows_file *f, struct file_entry *entry)
{
	entry->first_slot = f->first_slot;
	entry->first_page = f->first_page;
	entry->n_pages = f->n_slots;
}

uint32_t rows_file_pages(const struct rows_file *f)
{
	return f->header.n_pages;
}

/* ---- pages ------------------------------------------------------------------------------------------------------ */

static const struct rows_page *page_find(const struct rows_file *f, uint32_t page)
{
	uint32_t low = 0, high = f->header.n_pages;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (f->pages[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low < f->header.n_pages && f->pages[low].page == page ? &f->pages[low] : NULL;
}

/* Reads a page's rows into the buffer with global rules. */
static int page_read(struct rows *r, struct rows_file *f, const struct rows_page *p)
{
	_cleanup_close_ int opened = -1;
	int fd = f->fd, error;

	if (r->buffered == p)
		return 0;
	r->buffered = NULL;
	if (fd < 0) {
		fd = opened = cache_open(r, f->file_id);
		if (fd < 0)
			return fd;
	}
	error = fd_pread_full(fd, r->buffer, p->n_rows * sizeof(*r->buffer), rows_position(f, p->first_row));
	if (error < 0)
		return error;
	if (page_check(r->buffer, p->n_rows) != f->checks[p - f->pages] || r->buffer[0].offset_low != 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < p->n_rows; i++) {
		struct unwind_row *row = &r->buffer[i];

		if (row->rule >= f->header.n_rules || (i > 0 && row->offset_low <= row[-1].offset_low))
			return -EBADMSG;
		row->rule = f->rules[row->rule];
	}
	r->buffered = p;
	return 0;
}

/* The last row at or below low; the first one is at 0. */
static const struct unwind_row *row_find(const struct unwind_row *rows, uint32_t n, uint16_t low)
{
	uint32_t first = 0, last = n;

	while (last - first > 1) {
		uint32_t middle = first + (last - first) / 2;

		if (rows[middle].offset_low <= low)
			first = middle;
		else
			last = middle;
	}
	return &rows[first];
}

int rows_rule(struct rows *r, struct rows_file *f, uint64_t offset, struct unwind_rule *ret)
{
	const struct rows_page *p = page_find(f, (uint32_t)(offset >> UNWIND_PAGE_SHIFT));
	int error;

	if (!p)
		return -ENODATA;
	error = page_read(r, f, p);
	if (error < 0)
		return error;
	*ret = *(const struct unwind_rule *)intern_get(
	        r->rules, row_find(r->buffer, p->n_rows, (uint16_t)offset)->rule, NULL);
	return 0;
}

static int page_fill(
        struct rows *r, uint32_t slot, uint32_t first_block, uint32_t n_blocks, uint32_t n_rows, uint32_t used)
{
	/* the buffer holds whole blocks: what follows the last row is never looked at */
	for (uint32_t i = 0; i < n_blocks; i++) {
		uint32_t block = first_block + i;

		if (bpf_map_update_elem(r->maps.rows_fd, &block, r->buffer + i * UNWIND_ROWS_PER_BLOCK, BPF_ANY) < 0)
			return -errno;
	}
	return page_write(r, slot, first_block * UNWIND_ROWS_PER_BLOCK, n_rows, used) < 0 ? -errno : 0;
}

static int load(struct rows *r, struct rows_file *f, const struct rows_page *p, uint32_t used)
{
	uint32_t slot = f->first_slot + p->page - f->first_page, first;
	uint32_t n = (p->n_rows + UNWIND_ROWS_PER_BLOCK - 1) / UNWIND_ROWS_PER_BLOCK;
	int error;

	if (r->resident[slot].n_blocks > 0)
		return 0;
	error = page_read(r, f, p);
	if (error < 0) {
		r->failed++;
		(void)page_write(r, slot, 0, UNWIND_PAGE_EMPTY, 0); /* damaged: ask no more, and the next start anew */
		if (error == -EBADMSG)
			cache_drop(r, f->file_id);
		return error;
	}
	if (extents_take(r->blocks, n, &first) < 0) {
		evict(r, n);
		return -EAGAIN;
	}
	error = page_fill(r, slot, first, n, p->n_rows, used);
	if (error < 0) {
		extents_give(r->blocks, first, n);
		return error;
	}
	r->resident[slot] = (struct resident){ .first_block = first, .n_blocks = (uint16_t)n };
	r->n_resident++;
	r->loaded++;
	return 0;
}

int rows_load(struct rows *r, struct rows_file *f, uint32_t page)
{
	const struct rows_page *p = page_find(f, page);

	return p ? load(r, f, p, COARSE_SECONDS(clock_now_ns(CLOCK_BOOTTIME))) : -ENOENT;
}

int rows_fill(struct rows *r, struct rows_file *f, uint32_t *cursor, unsigned n, unsigned percent)
{
	for (; n > 0 && *cursor < f->header.n_pages; n--, ++*cursor) {
		if ((uint64_t)extents_used(r->blocks) * 100 >= (uint64_t)r->maps.row_blocks * percent)
			return 0;
		(void)load(r, f, &f->pages[*cursor], 1);
	}
	return *cursor < f->header.n_pages;
}
