/* The GNU build ID of an ELF file. */
#pragma once
#include <stdint.h>
#include "symbolizer/elf_file.h"
#include "symbolizer/protocol.h"

/* Its size, 0 where the file has none that is usable (1 to BUILD_ID_BYTES_MAX bytes); -ENOMEM. */
int build_id_read(const struct elf_file *f, uint8_t ret[BUILD_ID_BYTES_MAX]);
