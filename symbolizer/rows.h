/* Unwind rows of one file, as they go into an answer: by file offset, in pages of 64 KiB, rules once each. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "bpf/abi.h"
#include "symbolizer/protocol.h"

struct rows {
	struct rows_page *pages;
	struct unwind_rule *rules;
	struct unwind_row *rows;
	uint32_t n_pages, n_rules, n_rows, skipped_fdes;
};

#define ROWS_PAGES_MAX (1u << 20) /* 64 GiB of code */
#define ROWS_RULES_MAX (1u << 16)

/* -ENODATA: no .eh_frame, or none of it describes executable bytes of the file; -ENOTSUP: another machine or 32 bits;
 * -EBADMSG; -E2BIG; -ENOMEM. */
int rows_make(int elf_fd, struct rows **ret);
struct rows *rows_free(struct rows *t);
DEFINE_CLEANUP(struct rows *, rows_free)
