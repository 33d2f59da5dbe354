/* .gnu_debuglink: the name of a separate debug file and the CRC of its bytes. GDB manual, "Debugging Information in
 * Separate Files". */
#pragma once
#include <stdbool.h>
#include "symbolizer/elf_file.h"
#include "symbolizer/protocol.h"

struct debug_link {
	char name[SYMBOLIZER_DEBUG_LINK_BYTES]; /* a file name, never a path */
	uint32_t crc;
};

/* -ENODATA: there is none; -EBADMSG: it is no plain name. */
int debug_link_read(const struct elf_file *f, struct debug_link *ret);

/* Whether file is the one that whole names: their build IDs are the same, or, where one has none, its bytes have the
 * CRC of the link. */
bool debug_link_leads_to(const struct elf_file *whole, const struct elf_file *file);
