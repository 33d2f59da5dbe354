/* What emberd needs to know of a file before anything else: its names by content, where its code is, what it holds. */
#pragma once
#include "symbolizer/protocol.h"

/* -EBADMSG: no ELF file; -ENOTSUP: 32 bits, big-endian, or neither executable nor library. */
int identity_read(int elf_fd, struct symbolizer_identity *ret);
