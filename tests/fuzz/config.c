#include <string.h>

#include "daemon/config.h"

/* Any text is a configuration or a sentence that says why not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *text = malloc(size + 1), *error = NULL;
	int r;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	r = config_parse("fuzz.conf", text, NULL, &c, &error);
	if ((r < 0) != (c == NULL) || (r < 0 && r != -ENOMEM && !error))
		abort();
	return 0;
}
