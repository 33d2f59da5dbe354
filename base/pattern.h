/* Regular expressions of strangers: POSIX extended ones, whose cost of compiling and matching is bounded. Refused are
 * back-references (matching takes exponential time) and expressions of more than PATTERN_ATOMS_MAX characters once all
 * {m,n} are written out (they are copies, and nested ones multiply). */
#pragma once
#include <regex.h>
#include <stdbool.h>
#include "base/cleanup.h"

#define PATTERN_BYTES_MAX 4096
#define PATTERN_ATOMS_MAX 4096
#define PATTERN_DEPTH_MAX 30 /* of parentheses; libc's time grows with the fourth power of nested stars */
#define PATTERN_WHY_MAX 128

/* whole: it must match all of a text, else any part. On success *ret belongs to the caller (regfree()); on failure it
 * is untouched and why says in half a sentence what is wrong. -EINVAL; -E2BIG: over a limit; -ENOMEM. */
int pattern_compile(const char *text, bool whole, regex_t *ret, char why[PATTERN_WHY_MAX]);
