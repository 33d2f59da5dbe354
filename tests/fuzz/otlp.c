/* Any bytes as an OTLP request: refused, or a profile that can be written and read again with the same totals. */
#include <stdint.h>
#include <stdlib.h>

#include "profile/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct profile_limits limits = { .bytes_max = 16u << 20 };
	_cleanup_(profile_freep) struct profile *p = NULL, *q = NULL;
	_cleanup_buffer_ struct buffer out = BUFFER(64u << 20);
	struct profile_error error;

	(void)otlp_sniff(data, size);
	if (profile_new(&limits, &p) < 0 || otlp_read(p, data, size, &error) < 0)
		return 0;
	if (otlp_write(p, &out) < 0 || out.size == 0)
		return 0;
	if (profile_new(NULL, &q) < 0)
		return 0;
	if (otlp_read(q, out.data, out.size, &error) < 0)
		abort();
	return 0;
}
