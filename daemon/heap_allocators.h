/* The functions that heap probes, by the names that symbols may have (pprof's drop_frames, profile/drop_frames.h):
 * every stack ends in one of them, and who looks at a profile of memory asks who called it. */
#pragma once

#define HEAP_ALLOCATOR_NAMES(prefix)                                                                                   \
	prefix "malloc|" prefix "calloc|" prefix "realloc|" prefix "reallocarray|" prefix "memalign|" prefix           \
	       "posix_memalign|" prefix "aligned_alloc|" prefix "valloc|" prefix "pvalloc|"

#define HEAP_ALLOCATORS                                                                                                \
	HEAP_ALLOCATOR_NAMES("")                                                                                       \
	HEAP_ALLOCATOR_NAMES("__")                                                                                     \
	HEAP_ALLOCATOR_NAMES("__libc_")                                                                                \
	HEAP_ALLOCATOR_NAMES("je_")                                                                                    \
	HEAP_ALLOCATOR_NAMES("_rjem_")                                                                                 \
	HEAP_ALLOCATOR_NAMES("mi_")                                                                                    \
	HEAP_ALLOCATOR_NAMES("tc_")                                                                                    \
	"__libc_malloc_impl|operator new|operator new\\[\\]"
