/* Demangling of C++ (Itanium), Rust (legacy and v0) names, with limits: a short hostile name can stand for a huge one.
 * The time that libiberty takes is bounded by the limits of the process. */
#pragma once
#include <stddef.h>

#define DEMANGLE_INPUT_MAX 4096u

/* Writes the readable name without a NUL and returns its length, cut at max with "..." at the end; 0 where name is not
 * mangled, is longer than DEMANGLE_INPUT_MAX or cannot be demangled. */
size_t demangle(const char *name, char *to, size_t max);
