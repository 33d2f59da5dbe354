/* Where the separate debug information of a file may lie: by build ID and by the name of its debug link, below the
 * debug directories and beside the file. Only candidates: ember-symbolizer says which one belongs to the file. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "daemon/code.h"
#include "symbolizer/protocol.h"

struct debug_files {
	int fds[SYMBOLIZER_DEBUG_FILES_MAX];
	size_t n;
	uint64_t version; /* another one when any of them is another file or has changed; 0 for none */
};

/* directories: as [Symbols] DebugDirectories=, best first. Paths are those of this mount namespace. None for a file
 * that has its debug information in itself. */
void debug_files_find(
        const struct code_file *f, char *const *directories, size_t n_directories, struct debug_files *ret);
void debug_files_done(struct debug_files *d);
