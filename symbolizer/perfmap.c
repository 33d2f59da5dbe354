/* PERF_MAP: names that a JIT wrote for its code, "START SIZE name" a line, the numbers hexadecimal. A later line wins
 * over an earlier one, as code is thrown away and its place used again. The file belongs to a stranger and may grow
 * while it is read. */
#include "symbolizer/dispatch.h"

#include <assert.h>
#include <string.h>
#include "base/fd.h"
#include "symbolizer/addresses.h"
#include "symbolizer/symbol_writer.h"
#include "symbolizer/text_lines.h"

#define PERF_MAP_BYTES_MAX (512ull << 20)
#define PERF_MAP_NAME_MAX 1024u
/* Lines that cover the same addresses over and over end the reading. */
#define WORK_PER_ADDRESS 1024ull
#define WORK_AT_LEAST (1ull << 24)

struct jit_name { /* where in the file the name of an address stands; size 0: none */
	uint64_t offset;
	uint32_t size;
};

/* 0 and the name's place in the line; -EBADMSG: no line of a perf map. */
static int line_parse(const char *line, size_t size, uint64_t *ret_start, uint64_t *ret_size, struct jit_name *ret_name)
{
	const char *p = line;
	size_t name;

	if (text_parse_hex(&p, ret_start) < 0 || *p++ != ' ')
		return -EBADMSG;
	if (text_parse_hex(&p, ret_size) < 0 || *p++ != ' ')
		return -EBADMSG;
	name = size - (size_t)(p - line);
	if (name == 0 || *ret_size == 0 || *ret_size > UINT64_MAX - *ret_start)
		return -EBADMSG;
	*ret_name = (struct jit_name){ (uint64_t)(p - line), (uint32_t)MIN(name, (size_t)PERF_MAP_NAME_MAX) };
	return 0;
}

static int names_read(const struct dispatch_input *in, struct jit_name *names)
{
	_cleanup_free_ struct text_lines *lines = malloc(sizeof(*lines));
	uint64_t work = WORK_AT_LEAST + in->n_queries * WORK_PER_ADDRESS, start, size;
	struct jit_name name;
	size_t line_size;
	char *line;
	int r;

	if (!lines)
		return -ENOMEM;
	text_lines_init(lines, in->fd, PERF_MAP_BYTES_MAX);
	while ((r = text_lines_next(lines, &line, &line_size)) > 0) {
		if (line_parse(line, line_size, &start, &size, &name) < 0)
			continue;
		name.offset += lines->line_offset;
		for (uint32_t i = addresses_from(in->queries, in->n_queries, start);
		        i < in->n_queries && in->queries[i] - start < size; i++) {
			if (work-- == 0)
				return -E2BIG;
			names[i] = name;
		}
	}
	return r;
}

int perfmap_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes)
{
	_cleanup_(symbol_writer_freep) struct symbol_writer *w = NULL;
	_cleanup_free_ struct jit_name *names = NULL;
	int r;

	assert(in->queries);

	r = symbol_writer_new(in->n_queries, &w);
	if (r < 0)
		return r;
	names = calloc(in->n_queries, sizeof(*names));
	if (!names)
		return -ENOMEM;
	r = names_read(in, names);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < in->n_queries; i++) {
		struct symbols_frame frame = { 0 };
		char text[PERF_MAP_NAME_MAX];

		if (names[i].size > 0 && fd_pread_full(in->fd, text, names[i].size, names[i].offset) >= 0)
			frame.name = frame.system_name = symbol_writer_text(w, text, names[i].size);
		if (frame.name != 0)
			symbol_writer_frame(w, &frame);
		symbol_writer_next(w);
	}
	return symbol_writer_finish(w, answer_fd, ret_bytes);
}
