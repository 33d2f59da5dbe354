#include "daemon/trim.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"

#define SMAPS_LINES_MAX 20000

struct range {
	unsigned long start, end;
};

/* Whether a line of smaps begins a mapping; ret: what of it may be given back, if no page of it was written. */
static bool parse_head(const char *line, struct range *ret)
{
	char access[5], path[2] = "";

	if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %1s", &ret->start, &ret->end, access, path) < 3)
		return false;
	if (access[1] != '-' || access[3] != 'p' || path[0] != '/')
		ret->end = ret->start;
	return true;
}

static void give_back(const struct range *r)
{
	if (r->end > r->start)
		(void)madvise((void *)(uintptr_t)r->start, r->end - r->start, MADV_DONTNEED);
}

/* What is the same as in the file: text, constants, the BPF programs that were loaded. Where a page was written, as
 * relocated data is, it would be lost: such mappings are left alone. */
static void trim_files(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/smaps", "re");
	_cleanup_free_ char *line = NULL;
	struct range range = { 0 }, next;
	size_t room = 0;

	for (unsigned i = 0; f && i < SMAPS_LINES_MAX && getline(&line, &room, f) > 0; i++) {
		unsigned long kib;

		if (parse_head(line, &next)) {
			give_back(&range);
			range = next;
		} else if ((sscanf(line, "Anonymous: %lu kB", &kib) == 1 || sscanf(line, "Swap: %lu kB", &kib) == 1) &&
		           kib > 0) {
			range.end = range.start;
		}
	}
}

void trim_memory(void)
{
	(void)malloc_trim(0);
	trim_files();
}
