/* Any bytes as an ELF file: what comes out as an identity must be one that emberd takes. */
#include "symbolizer/answer.h"
#include "symbolizer/identity.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = input_file(data, size);
	struct symbolizer_identity id, taken;

	if (fd < 0 || identity_read(fd, &id) < 0)
		return 0;
	if (answer_identity(&id, sizeof(id), &taken) < 0)
		abort();
	return 0;
}
