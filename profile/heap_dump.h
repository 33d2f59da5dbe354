/* Heap profiles that allocators write themselves, as text: jemalloc's "heap_v2/RATE" (prof:true) and gperftools' "heap
 * profile: ..." (HEAPPROFILE, MallocExtension), also with the symbols that jeprof --raw prints ("--- symbol") in front.
 *
 * The dumps hold what was sampled. Here each stack is scaled to an unbiased estimate of all, as jeprof and pprof scale
 * it: by 1 / (1 - e^(-size / RATE)), where size is the mean of that stack's objects (a dump has no single sizes;
 * jemalloc's prof_unbias, its default, prepares its sums for just this). gperftools' "heapprofile" is exact and stays
 * as it is.
 *
 * Sample types are inuse_objects/count and inuse_space/bytes; alloc_objects and alloc_space stand before them where the
 * dump has them (gperftools, jemalloc with prof_accum). Addresses are those of the process, one below each return
 * address, with the mappings of MAPPED_LIBRARIES; the allocator's own frames at the leaf are left out where its library
 * is known. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "profile/profile.h"

#define HEAP_DUMP_MAPPINGS_MAX 65536

bool heap_dump_sniff(const void *data, size_t n);

/* Adds a dump to an empty profile. -EBADMSG with the line; -E2BIG; -ENOSPC. */
int heap_dump_read(struct profile *dst, const void *data, size_t n, struct profile_error *error);
