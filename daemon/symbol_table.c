#include "daemon/symbol_table.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/intern.h"

#define TABLE_MAGIC 0x324d595352424d45ull /* "EMBRSYM2": a changed layout takes a new one */

/* Then: uint64_t queries[n_queries]; uint32_t first_frame[n_queries + 1]; struct symbols_frame frames[n_frames]; bytes
 * of strings. */
struct table_header {
	uint64_t magic;
	uint64_t checksum; /* XXH3 of all that follows the header */
	uint32_t n_queries, n_frames, string_bytes, padding;
};

struct symbol_table {
	char *block; /* owned */
	size_t size;
	const struct table_header *header;
	const uint64_t *queries;
	const uint32_t *first_frame;
	const struct symbols_frame *frames;
	const char *strings;
};

/* The parts that a table and an answer have in common. */
static bool parts_are_good(const uint64_t *queries, uint32_t n_queries, const uint32_t *first_frame,
        const struct symbols_frame *frames, uint32_t n_frames, const char *strings, uint32_t string_bytes)
{
	if (string_bytes == 0 || strings[0] != '\0' || strings[string_bytes - 1] != '\0')
		return false;
	if (first_frame[0] != 0 || first_frame[n_queries] != n_frames)
		return false;
	for (uint32_t i = 0; i < n_queries; i++)
		if (first_frame[i] > first_frame[i + 1] || (i > 0 && queries[i] <= queries[i - 1]))
			return false;
	for (uint32_t i = 0; i < n_frames; i++) {
		const struct symbols_frame *f = &frames[i];

		if (f->name >= string_bytes || f->system_name >= string_bytes || f->filename >= string_bytes ||
		        f->module >= string_bytes)
			return false;
	}
	return true;
}

static size_t parts_size(uint32_t n_queries, uint32_t n_frames, uint32_t string_bytes)
{
	return ((size_t)n_queries + 1) * sizeof(uint32_t) + (size_t)n_frames * sizeof(struct symbols_frame) +
	       string_bytes;
}

/* Takes block over, also on failure. */
static int table_new(char *block, size_t size, bool is_ours, struct symbol_table **ret)
{
	_cleanup_free_ char *owned = block;
	const struct table_header *h = (const struct table_header *)block;
	struct symbol_table *t;

	if (size < sizeof(*h) || h->magic != TABLE_MAGIC || h->padding != 0 || h->n_queries > SYMBOLIZER_QUERIES_MAX ||
	        size != sizeof(*h) + h->n_queries * sizeof(uint64_t) +
	                        parts_size(h->n_queries, h->n_frames, h->string_bytes))
		return -EBADMSG;
	if (!is_ours && XXH3_64bits(h + 1, size - sizeof(*h)) != h->checksum)
		return -EBADMSG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->block = TAKE_PTR(owned);
	t->size = size;
	t->header = h;
	t->queries = (const uint64_t *)(h + 1);
	t->first_frame = (const uint32_t *)(t->queries + h->n_queries);
	t->frames = (const struct symbols_frame *)(t->first_frame + h->n_queries + 1);
	t->strings = (const char *)(t->frames + h->n_frames);
	if (!parts_are_good(
	            t->queries, h->n_queries, t->first_frame, t->frames, h->n_frames, t->strings, h->string_bytes)) {
		symbol_table_free(t);
		return -EBADMSG;
	}
	*ret = t;
	return 0;
}

struct symbol_table *symbol_table_free(struct symbol_table *t)
{
	if (t) {
		free(t->block);
		free(t);
	}
	return NULL;
}

int symbol_table_from_answer(
        const uint64_t *queries, uint32_t n_queries, const void *answer, size_t bytes, struct symbol_table **ret)
{
	struct table_header header = { .magic = TABLE_MAGIC };
	struct symbols_header h;
	size_t parts, size;
	char *block;

	assert(queries || n_queries == 0);
	assert(ret);

	if (bytes < sizeof(h))
		return -EBADMSG;
	memcpy(&h, answer, sizeof(h));
	parts = parts_size(h.n_queries, h.n_frames, h.string_bytes);
	if (h.magic != SYMBOLS_MAGIC || h.n_queries != n_queries || bytes < sizeof(h) + parts)
		return -EBADMSG;
	header.n_queries = n_queries;
	header.n_frames = h.n_frames;
	header.string_bytes = h.string_bytes;
	size = sizeof(header) + n_queries * sizeof(*queries) + parts;
	if (size > SYMBOL_TABLE_BYTES_MAX)
		return -E2BIG;
	block = malloc(size);
	if (!block)
		return -ENOMEM;
	memcpy(block, &header, sizeof(header));
	memcpy(block + sizeof(header), queries, n_queries * sizeof(*queries));
	memcpy(block + size - parts, (const char *)answer + sizeof(h), parts);
	return table_new(block, size, true, ret);
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

struct merging {
	struct buffer queries, first_frame, frames, strings;
	struct intern *known; /* strings, by their bytes; ids are places in offsets */
	struct buffer offsets;
};

static void merging_done(struct merging *m)
{
	buffer_done(&m->queries);
	buffer_done(&m->first_frame);
	buffer_done(&m->frames);
	buffer_done(&m->strings);
	buffer_done(&m->offsets);
	intern_free(m->known);
}

static int merge_string(struct merging *m, const char *s, uint32_t *ret)
{
	uint32_t id, offset = (uint32_t)m->strings.size;
	int r = intern_put(m->known, s, strlen(s), &id);

	if (r < 0)
		return r == -ENOSPC ? -E2BIG : r;
	if (r > 0) {
		r = buffer_append(&m->strings, s, strlen(s) + 1);
		if (r == 0)
			r = buffer_append(&m->offsets, &offset, sizeof(offset));
		if (r < 0)
			return r;
	}
	*ret = ((const uint32_t *)m->offsets.data)[id];
	return 0;
}

static int merge_entry(struct merging *m, const struct symbol_table *t, uint32_t i)
{
	uint32_t first = (uint32_t)(m->frames.size / sizeof(struct symbols_frame));
	int r;

	(void)buffer_append(&m->queries, &t->queries[i], sizeof(t->queries[i]));
	(void)buffer_append(&m->first_frame, &first, sizeof(first));
	for (uint32_t k = t->first_frame[i]; k < t->first_frame[i + 1]; k++) {
		struct symbols_frame f = t->frames[k];

		r = merge_string(m, t->strings + f.name, &f.name);
		if (r == 0)
			r = merge_string(m, t->strings + f.system_name, &f.system_name);
		if (r == 0)
			r = merge_string(m, t->strings + f.filename, &f.filename);
		if (r == 0)
			r = merge_string(m, t->strings + f.module, &f.module);
		if (r < 0)
			return r;
		(void)buffer_append(&m->frames, &f, sizeof(f));
	}
	return m->queries.error ? m->queries.error : m->first_frame.error ? m->first_frame.error : m->frames.error;
}

static int merge_tables(struct merging *m, const struct symbol_table *a, const struct symbol_table *b)
{
	uint32_t i = 0, k = 0, empty, last;
	int r = merge_string(m, "", &empty);

	while (r == 0 && (i < a->header->n_queries || k < b->header->n_queries)) {
		bool has_a = i < a->header->n_queries, has_b = k < b->header->n_queries;

		if (has_a && has_b && a->queries[i] == b->queries[k])
			i++;
		else if (has_a && (!has_b || a->queries[i] < b->queries[k])) {
			r = merge_entry(m, a, i++);
			continue;
		}
		r = merge_entry(m, b, k++);
	}
	if (r < 0)
		return r;
	last = (uint32_t)(m->frames.size / sizeof(struct symbols_frame));
	return buffer_append(&m->first_frame, &last, sizeof(last));
}

static int merging_finish(const struct merging *m, struct symbol_table **ret)
{
	const struct buffer *parts[] = { &m->queries, &m->first_frame, &m->frames, &m->strings };
	struct table_header h = {
		.magic = TABLE_MAGIC,
		.n_queries = (uint32_t)(m->queries.size / sizeof(uint64_t)),
		.n_frames = (uint32_t)(m->frames.size / sizeof(struct symbols_frame)),
		.string_bytes = (uint32_t)m->strings.size,
	};
	size_t size = sizeof(h), at = sizeof(h);
	char *block;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		size += parts[i]->size;
	if (size > SYMBOL_TABLE_BYTES_MAX)
		return -E2BIG;
	block = malloc(size);
	if (!block)
		return -ENOMEM;
	memcpy(block, &h, sizeof(h));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i]->size)
			memcpy(block + at, parts[i]->data, parts[i]->size);
		at += parts[i]->size;
	}
	return table_new(block, size, true, ret);
}

int symbol_table_merge(const struct symbol_table *a, const struct symbol_table *b, struct symbol_table **ret)
{
	_cleanup_(merging_done) struct merging m = {
		.queries = BUFFER(SYMBOL_TABLE_BYTES_MAX),
		.first_frame = BUFFER(SYMBOL_TABLE_BYTES_MAX),
		.frames = BUFFER(SYMBOL_TABLE_BYTES_MAX),
		.strings = BUFFER(SYMBOL_TABLE_BYTES_MAX),
		.offsets = BUFFER(SYMBOL_TABLE_BYTES_MAX),
	};
	int r;

	assert(a && b && ret);

	r = intern_new(SYMBOL_TABLE_BYTES_MAX / 8, SYMBOL_TABLE_BYTES_MAX, &m.known);
	if (r < 0)
		return r;
	r = merge_tables(&m, a, b);
	if (r < 0)
		return r;
	return merging_finish(&m, ret);
}

/* ---- on disk ----------------------------------------------------------------------------------------------------- */

int symbol_table_read(int dirfd, const char *name, struct symbol_table **ret)
{
	char *block;
	size_t size;
	int r;

	r = file_read_all(dirfd, name, SYMBOL_TABLE_BYTES_MAX, &block, &size);
	if (r < 0)
		return r == -E2BIG ? -EBADMSG : r;
	return table_new(block, size, false, ret);
}

/* Not synced: what a crash damages the checksum tells, and it is asked again. */
int symbol_table_write(const struct symbol_table *t, int dirfd, const char *name)
{
	struct table_header h = *t->header;
	const struct iovec parts[] = {
		{ .iov_base = &h, .iov_len = sizeof(h) },
		{ .iov_base = (void *)(t->header + 1), .iov_len = t->size - sizeof(h) },
	};

	h.checksum = XXH3_64bits(t->header + 1, t->size - sizeof(h));
	return file_replace(dirfd, name, parts, ARRAY_SIZE(parts), 0600);
}

/* ---- look-up ----------------------------------------------------------------------------------------------------- */

int symbol_table_find(const struct symbol_table *t, uint64_t offset, const struct symbols_frame **ret)
{
	uint32_t low = 0, high = t->header->n_queries;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (t->queries[middle] < offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low >= t->header->n_queries || t->queries[low] != offset)
		return -ENOENT;
	*ret = &t->frames[t->first_frame[low]];
	return (int)(t->first_frame[low + 1] - t->first_frame[low]);
}

const char *symbol_table_string(const struct symbol_table *t, uint32_t string)
{
	assert(string < t->header->string_bytes);
	return t->strings + string;
}

uint32_t symbol_table_n_queries(const struct symbol_table *t)
{
	return t->header->n_queries;
}
