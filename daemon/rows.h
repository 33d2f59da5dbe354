/* The pool of unwind rows: a fixed number of blocks in the map unwind_rows, filled page by page (64 KiB of code) as
 * samples hit them, least recently used out first. The rows of a file lie in the cache directory as the symbolizer
 * answered (protocol.h), named by file ID; only the pages asked for are read. A page that is put out keeps its room for
 * a moment, because a program may be reading it.
 *
 * What is read from disk or from the symbolizer is checked here: a wrong row can spoil a stack, never an index. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "bpf/abi.h"

struct rows;
struct rows_file;

struct rows_maps {
	int pages_fd, rows_fd, rules_fd; /* borrowed */
	uint32_t page_slots, row_blocks, rules;
};

/* cache_dirfd: where rows/FILE-ID lies, -1: kept in memory files. */
int rows_new(const struct rows_maps *maps, int cache_dirfd, struct rows **ret);
struct rows *rows_free(struct rows *r); /* after all files */
DEFINE_CLEANUP(struct rows *, rows_free)

/* Opens the rows of a file from the cache and gives its pages their slots; copies of one file share them. -ENOENT: not
 * in the cache; -EBADMSG: in the cache, but damaged; -ENOSPC: no slots left. */
int rows_file_open(struct rows *r, const char *file_id, struct rows_file **ret);
/* The same from a symbolizer's answer, which is also kept in the cache. */
int rows_file_make(struct rows *r, const char *file_id, const void *answer, size_t size, struct rows_file **ret);
struct rows_file *rows_file_free(struct rows *r, struct rows_file *f); /* the last one puts its pages out */

/* Fills first_slot, first_page and n_pages. */
void rows_file_entry(const struct rows_file *f, struct file_entry *entry);
uint32_t rows_file_pages(const struct rows_file *f); /* pages with rows */

/* The rule of an offset of the file, as the programs would find it. -ENODATA: the file has none there. Reads the page's
 * rows; for stacks that are finished late, not for every frame. */
int rows_rule(struct rows *r, struct rows_file *f, uint64_t offset, struct unwind_rule *ret);

/* Brings a page in, putting others out if it must. -ENOENT: the file has no such page; -EAGAIN: room is on its way. */
int rows_load(struct rows *r, struct rows_file *f, uint32_t page);
/* Brings in up to n pages of a file that nobody asked for yet, from *cursor (0 at first) on; they are the first to go
 * again. 1: there are more; 0: all are in, or more than percent of the pool is taken. */
int rows_fill(struct rows *r, struct rows_file *f, uint32_t *cursor, unsigned n, unsigned percent);

/* Frees the room of pages that were put out a moment ago, and puts some out where little is free. now_ns:
 * CLOCK_MONOTONIC. */
void rows_tick(struct rows *r, uint64_t now_ns);

struct rows_stats {
	uint32_t pages, blocks_used, blocks, rules_used, rules, slots_used, slots;
	uint64_t evicted, loaded, failed;
};
void rows_stats(const struct rows *r, struct rows_stats *ret);
