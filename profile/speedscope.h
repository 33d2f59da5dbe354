/* speedscope's JSON (www.speedscope.app/file-format-schema.json): one "sampled" profile a sample type, equal stacks
 * added up. No I/O. */
#pragma once
#include "base/buffer.h"
#include "profile/profile.h"

/* name: what the page shows as title. -E2BIG: over out's maximum. */
int speedscope_write(const struct profile *p, const char *name, uint32_t active_value, struct buffer *out);
