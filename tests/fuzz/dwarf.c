/* An ELF file whose code is looked up all over. */
#include "symbolizer/dispatch.h"
#include "symbolizer/elf_file.h"
#include "tests/fuzz/input.h"

#define QUERIES 64u

static uint32_t make_queries(int fd, uint64_t queries[QUERIES])
{
	_cleanup_(elf_file_freep) struct elf_file *f = NULL;
	uint32_t n = 0;

	if (elf_file_open(fd, &f) < 0)
		return 0;
	for (uint32_t i = 0; i < f->n_segments && n == 0; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type == PT_LOAD && (s->flags & PF_X) && s->filesz >= QUERIES)
			for (; n < QUERIES; n++)
				queries[n] = s->offset + s->filesz / QUERIES * n;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = input_file(data, size), answer_fd = input_file(NULL, 0);
	uint64_t queries[QUERIES], bytes;
	struct dispatch_input in = { .fd = fd, .debug_fds = &fd, .n_debug_fds = 1, .queries = queries };

	if (fd < 0 || answer_fd < 0)
		return 0;
	in.n_queries = make_queries(fd, queries);
	if (in.n_queries > 0)
		(void)symbols_answer(&in, answer_fd, &bytes);
	return 0;
}
