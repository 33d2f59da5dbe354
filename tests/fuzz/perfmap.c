#include "symbolizer/dispatch.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t queries[] = { 0, 1, 0x1000, 0x1008, 0x1fff, 0x2000, 0x7f0000001000, 0xffffffff81000000,
		0xffffffff81000010, UINT64_MAX - 1, UINT64_MAX };
	_cleanup_close_ int fd = input_file(data, size), answer_fd = input_file(NULL, 0);
	struct dispatch_input in = { .fd = fd, .queries = queries, .n_queries = ARRAY_SIZE(queries) };
	uint64_t bytes;

	if (fd >= 0 && answer_fd >= 0)
		(void)perfmap_answer(&in, answer_fd, &bytes);
	return 0;
}
