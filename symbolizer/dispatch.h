/* The kinds of request that the child answers, one function each. They run inside the sandbox: no file can be opened,
 * memory and CPU are limited, a crash costs this one file. All descriptors are borrowed and their contents hostile. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "symbolizer/protocol.h"

struct dispatch_input {
	int fd;               /* elf file, kallsyms text or perf map text; its position is 0 */
	const int *debug_fds; /* SYMBOLS: files that may be its separate debug file, best first */
	size_t n_debug_fds;
	const uint64_t *queries; /* n_queries of them, sorted (checked), NULL where the kind has none */
	uint32_t n_queries, flags;
};

/* Writes the whole answer of its kind to answer_fd (an empty memfd, position 0) and says how long it is. Results as in
 * struct symbolizer_reply. */
typedef int (*dispatch_t)(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes);

/* symbolizer/identity.c */
int identity_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes);
/* symbolizer/rows.c */
int rows_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes);
/* symbolizer/symbols.c */
int symbols_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes);
/* symbolizer/kallsyms.c */
int kallsyms_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes);
/* symbolizer/perfmap.c */
int perfmap_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes);

/* symbolizer/sites.c */
int sites_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes);

/* One request with its descriptors in the order of protocol.h. *ret is the reply, whatever happened. */
void dispatch(const struct symbolizer_request *request, const int *fds, size_t n_fds, struct symbolizer_reply *ret);
