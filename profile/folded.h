/* Folded stacks, one a line: "command;root;...;leaf 123". No I/O. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "profile/profile.h"

#define FOLDED_DISTINCT_MAX (4u << 20) /* lines written; more is -ENOSPC */

/* Appends one value of every sample, lines sorted and equal ones added up; the label comm, where there is one, is the
 * first frame. ';' in a name becomes ':', line ends become spaces. Lines of value 0 are left out. */
int folded_write(const struct profile *p, uint32_t value_index, struct buffer *out);

/* Adds lines to dst, as sample type samples/count where dst has none (-EINVAL where it has more than one). The marks of
 * stackcollapse are understood: "name_[k]" is a frame of the kernel, "name_[j]" of JIT code, "name_[i]" is inlined into
 * the frame before it. Blank lines and lines that start with '#' are skipped. -EBADMSG with the line's number. */
int folded_read(struct profile *dst, const void *data, size_t n, struct profile_error *error);

/* Whether it looks like folded stacks: the first line that says something is text that ends in a number. */
bool folded_sniff(const void *data, size_t n);
