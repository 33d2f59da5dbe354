#include "symbolizer/answer.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* Takes n items of the given size from what is left; NULL where they are not there or not aligned. */
static const void *take(const uint8_t **p, size_t *left, uint64_t n, size_t size, size_t alignment)
{
	const uint8_t *at = *p;

	if (n > *left / size || (uintptr_t)at % alignment)
		return NULL;
	*p += n * size;
	*left -= n * size;
	return at;
}

#define TAKE(p, left, n, type) ((const type *)take((p), (left), (n), sizeof(type), _Alignof(type)))

static bool debug_link_is_plain(const char *name, size_t room)
{
	size_t n = strnlen(name, room);

	if (n == room || name[0] == '.' || memchr(name, '/', n))
		return false;
	for (size_t i = n; i < room; i++)
		if (name[i])
			return false;
	return true;
}

int answer_identity(const void *answer, size_t bytes, struct symbolizer_identity *ret)
{
	struct symbolizer_identity id;

	assert(ret);
	if (bytes != sizeof(id))
		return -EBADMSG;
	memcpy(&id, answer, sizeof(id));
	if (id.build_id_size > BUILD_ID_BYTES_MAX || id.n_segments > SYMBOLIZER_SEGMENTS_MAX)
		return -EBADMSG;
	if (!debug_link_is_plain(id.debug_link, sizeof(id.debug_link)))
		return -EBADMSG;
	memset(id.build_id + id.build_id_size, 0, BUILD_ID_BYTES_MAX - id.build_id_size);
	memset(id.segments + id.n_segments, 0, (SYMBOLIZER_SEGMENTS_MAX - id.n_segments) * sizeof(id.segments[0]));
	id.padding = id.padding2 = 0;
	for (uint32_t i = 0; i < id.n_segments; i++) {
		const struct symbolizer_segment *s = &id.segments[i];

		if (s->filesz == 0 || s->offset > INT64_MAX - s->filesz || s->vaddr > UINT64_MAX - s->filesz)
			return -EBADMSG;
	}
	*ret = id;
	return 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool rule_is_valid(const struct unwind_rule *rule)
{
	if (rule->cfa > CFA_LAST || rule->fp > FP_LAST)
		return false;
	if ((rule->fp == FP_SAME || rule->fp == FP_UNDEFINED) && rule->fp_offset)
		return false;
	switch (rule->cfa) {
	case CFA_UNKNOWN:
	case CFA_END:
		return rule->cfa_offset == 0 && rule->fp == FP_SAME;
	case CFA_PLT:
		return rule->cfa_offset >= 1 && rule->cfa_offset <= 15;
	case CFA_REGISTER:
		return CFA_REGISTER_NUMBER(rule->cfa_offset) >= 0 &&
		       CFA_REGISTER_NUMBER(rule->cfa_offset) < CFA_REGISTERS;
	case CFA_SIGNAL:
		return rule->fp == FP_SAME && rule->cfa_offset >= INT16_MIN && rule->cfa_offset <= INT16_MAX;
	default:
		return true;
	}
}

static bool page_is_valid(const struct answer_rows *v, const struct rows_page *page, uint32_t first_row)
{
	const struct unwind_row *rows = v->rows + page->first_row;

	if (page->first_row != first_row || page->n_rows == 0 || page->n_rows > v->n_rows - first_row)
		return false;
	if (rows[0].offset_low != 0)
		return false;
	for (uint32_t i = 0; i < page->n_rows; i++)
		if (rows[i].rule >= v->n_rules || (i && rows[i].offset_low <= rows[i - 1].offset_low))
			return false;
	return true;
}

int answer_rows(const void *answer, size_t bytes, struct answer_rows *ret)
{
	static const struct unwind_rule unknown = { .cfa = CFA_UNKNOWN };
	const uint8_t *p = answer;
	const struct rows_header *h;
	struct answer_rows v;
	uint32_t row = 0;

	assert(ret);
	h = TAKE(&p, &bytes, 1, struct rows_header);
	if (!h || h->magic != ROWS_MAGIC || h->n_rows > ROWS_MAX)
		return -EBADMSG;
	v = (struct answer_rows){
		.n_pages = h->n_pages, .n_rules = h->n_rules, .n_rows = h->n_rows, .skipped_fdes = h->skipped_fdes
	};
	v.pages = TAKE(&p, &bytes, v.n_pages, struct rows_page);
	v.rules = v.pages ? TAKE(&p, &bytes, v.n_rules, struct unwind_rule) : NULL;
	v.rows = v.rules ? TAKE(&p, &bytes, v.n_rows, struct unwind_row) : NULL;
	if (!v.rows || bytes || v.n_rules == 0 || memcmp(&v.rules[0], &unknown, sizeof(unknown)) != 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < v.n_rules; i++)
		if (!rule_is_valid(&v.rules[i]))
			return -EBADMSG;
	for (uint32_t i = 0; i < v.n_pages; i++) {
		if (i && v.pages[i].page <= v.pages[i - 1].page)
			return -EBADMSG;
		if (!page_is_valid(&v, &v.pages[i], row))
			return -EBADMSG;
		row += v.pages[i].n_rows;
	}
	if (row != v.n_rows)
		return -EBADMSG;
	*ret = v;
	return 0;
}

const struct rows_page *answer_rows_page(const struct answer_rows *v, uint32_t page)
{
	uint32_t low = 0, high = v->n_pages;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (v->pages[middle].page == page)
			return &v->pages[middle];
		if (v->pages[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct unwind_rule answer_rows_rule(const struct answer_rows *v, uint64_t offset)
{
	uint64_t number = offset >> UNWIND_PAGE_SHIFT;
	const struct rows_page *page = number <= UINT32_MAX ? answer_rows_page(v, (uint32_t)number) : NULL;
	uint16_t low_bits = (uint16_t)offset;
	uint32_t low, high;

	if (!page)
		return v->rules[0];
	low = page->first_row;
	high = page->first_row + page->n_rows;
	while (high - low > 1) { /* the row at low holds at or before the offset */
		uint32_t middle = low + (high - low) / 2;

		if (v->rows[middle].offset_low <= low_bits)
			low = middle;
		else
			high = middle;
	}
	return v->rules[v->rows[low].rule];
}

/* ---- symbols ---------------------------------------------------------------------------------------------------- */

static bool frame_is_valid(const struct answer_symbols *v, const struct symbols_frame *f)
{
	return f->name < v->string_bytes && f->system_name < v->string_bytes && f->filename < v->string_bytes &&
	       f->module < v->string_bytes;
}

int answer_symbols(const void *answer, size_t bytes, uint32_t n_queries, struct answer_symbols *ret)
{
	const uint8_t *p = answer;
	const struct symbols_header *h;
	struct answer_symbols v;

	assert(ret);
	h = TAKE(&p, &bytes, 1, struct symbols_header);
	if (!h || h->magic != SYMBOLS_MAGIC || h->n_queries != n_queries || n_queries > SYMBOLIZER_QUERIES_MAX)
		return -EBADMSG;
	v = (struct answer_symbols){ .n_queries = n_queries, .n_frames = h->n_frames, .string_bytes = h->string_bytes };
	v.first_frame = TAKE(&p, &bytes, (uint64_t)n_queries + 1, uint32_t);
	v.frames = v.first_frame ? TAKE(&p, &bytes, v.n_frames, struct symbols_frame) : NULL;
	v.strings = v.frames ? TAKE(&p, &bytes, v.string_bytes, char) : NULL;
	/* Text that ends in NUL terminates every string in it; string 0 is "". */
	if (!v.strings || bytes || v.string_bytes == 0 || v.strings[0] || v.strings[v.string_bytes - 1])
		return -EBADMSG;
	if (v.first_frame[0] != 0 || v.first_frame[n_queries] != v.n_frames)
		return -EBADMSG;
	for (uint32_t i = 0; i < n_queries; i++)
		if (v.first_frame[i] > v.first_frame[i + 1])
			return -EBADMSG;
	for (uint32_t i = 0; i < v.n_frames; i++)
		if (!frame_is_valid(&v, &v.frames[i]))
			return -EBADMSG;
	*ret = v;
	return 0;
}

/* ---- sites ---- */

static int site_check(const struct site *s)
{
	if (s->function < SITE_MALLOC || s->function > SITE_LOADER || s->allocator < ALLOCATOR_LIBC ||
	        s->allocator >= ALLOCATOR_MAX || memchr(s->name, 0, sizeof(s->name)) == NULL)
		return -EBADMSG;
	if (s->probe < s->entry || s->probe - s->entry > 4096)
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(s->operands); i++)
		if (s->operands[i] > 15)
			return -EBADMSG;
	return 0;
}

int answer_sites(const void *answer, size_t bytes, const struct site **ret, uint32_t *ret_n)
{
	const struct sites_header *h = answer;
	const struct site *sites = (const void *)(h + 1);

	if (bytes < sizeof(*h) || h->magic != SITES_MAGIC || h->n_sites > SITES_MAX ||
	        bytes != sizeof(*h) + h->n_sites * sizeof(*sites))
		return -EBADMSG;
	for (uint32_t i = 0; i < h->n_sites; i++)
		if (site_check(&sites[i]) < 0)
			return -EBADMSG;
	*ret = sites;
	*ret_n = h->n_sites;
	return 0;
}
