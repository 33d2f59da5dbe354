#include "daemon/trim.h"

#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"

#define MAPS_LINES_MAX 1000

/* Text alone: it is the same as in the file. Pages that were written, as relocated data is, would be lost. */
static void trim_text(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	for (unsigned i = 0; f && i < MAPS_LINES_MAX && getline(&line, &room, f) > 0; i++) {
		unsigned long start, end;
		char access[5], path[2];

		if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %1s", &start, &end, access, path) != 4)
			continue;
		if (strcmp(access, "r-xp") == 0 && path[0] == '/')
			(void)madvise((void *)(uintptr_t)start, end - start, MADV_DONTNEED);
	}
}

void trim_memory(void)
{
	(void)malloc_trim(0);
	trim_text();
}
