#include <stdint.h>
#include <string.h>
#include "base/cleanup.h"
#include "symbolizer/demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *name = malloc(size + 1);
	char to[1024];

	if (!name)
		return 0;
	memcpy(name, data, size);
	name[size] = '\0';
	(void)demangle(name, to, sizeof(to));
	return 0;
}
