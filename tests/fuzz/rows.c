/* Any bytes as an ELF file: what comes out as an answer must be one that emberd takes. */
#include <assert.h>
#include "symbolizer/answer.h"
#include "symbolizer/dispatch.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = input_file(data, size), answer = memfd_create("answer", MFD_CLOEXEC);
	struct answer_rows v;
	uint64_t bytes;
	void *p;

	if (fd < 0 || answer < 0)
		return 0;
	if (rows_answer(&(struct dispatch_input){ .fd = fd }, answer, &bytes) < 0)
		return 0;
	p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, answer, 0);
	assert(p != MAP_FAILED);
	if (answer_rows(p, bytes, &v) < 0)
		abort();
	for (uint64_t offset = 0; offset < size; offset += 61)
		(void)answer_rows_rule(&v, offset);
	(void)munmap(p, bytes);
	return 0;
}
