/* Any bytes as the end of a stored file: no trailer, a bad one, or one that says the same when it is written and read
 * again and names only files of a store. */
#include <stdlib.h>
#include <string.h>

#include "store/trailer.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static int read_bytes(const void *data, size_t size, struct trailer *ret)
{
	_cleanup_close_ int fd = input_file(data, size);

	return fd < 0 ? -EIO : trailer_read(fd, ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_trailer_ struct trailer t = TRAILER_INIT, again = TRAILER_INIT;
	_cleanup_buffer_ struct buffer out = BUFFER(64u << 20);

	if (read_bytes(data, size, &t) < 0)
		return 0;
	if (trailer_write(&t, &out) < 0)
		return 0;
	must(read_bytes(out.data, out.size, &again) == 0);
	must(strcmp(t.host, again.host) == 0 && t.n_samples == again.n_samples && t.raw_bytes == again.raw_bytes);
	must(t.part == again.part && t.n_parts == again.n_parts && t.n_covered == again.n_covered);
	for (size_t i = 0; i < t.n_covered; i++) {
		must(store_name_path_is_valid(t.covered[i].path));
		must(strcmp(t.covered[i].path, again.covered[i].path) == 0 &&
		        t.covered[i].size == again.covered[i].size && t.covered[i].hash == again.covered[i].hash);
	}
	return 0;
}
