/* Readers of ember-symbolizer's answers, for emberd: what a broken or hostile child wrote cannot make them read outside
 * the answer or hand out an index that does not exist. They check everything once, then give plain arrays that point
 * into the answer. -EBADMSG for anything that is not right. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "bpf/abi.h"
#include "symbolizer/protocol.h"

/* Copies: build_id_size and n_segments in range, unused bytes zero, debug_link a terminated plain file name. */
int answer_identity(const void *answer, size_t bytes, struct symbolizer_identity *ret);

struct answer_rows {
	uint32_t n_pages, n_rules, n_rows, skipped_fdes;
	const struct rows_page
	        *pages; /* numbers rise; each page has rows of its own, the first at offset 0, then rising */
	const struct unwind_rule *rules; /* each one valid by abi.h */
	const struct unwind_row *rows;   /* each with a rule that exists */
};
int answer_rows(const void *answer, size_t bytes, struct answer_rows *ret);
/* NULL where the page holds nothing but CFA_UNKNOWN. */
const struct rows_page *answer_rows_page(const struct answer_rows *v, uint32_t page);
/* The rule at a file offset. */
struct unwind_rule answer_rows_rule(const struct answer_rows *v, uint64_t offset);

struct answer_symbols {
	uint32_t n_queries, n_frames, string_bytes;
	const uint32_t
	        *first_frame; /* n_queries + 1, rising: frames of query i are first_frame[i]..first_frame[i + 1] */
	const struct symbols_frame *frames;
	const char *strings; /* each string index in the frames is inside and terminated */
};
int answer_symbols(const void *answer, size_t bytes, uint32_t n_queries, struct answer_symbols *ret);

/* Each site's function and allocator known, names terminated, the probe within a few bytes of its entry. */
int answer_sites(const void *answer, size_t bytes, const struct site **ret, uint32_t *ret_n);
