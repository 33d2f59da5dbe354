/* The .eh_frame section of an ELF file: found by its section header, or by PT_GNU_EH_FRAME where there is none; read
 * whole; its FDEs listed in order of address. Linux Standard Base, chapter "Exception frames". */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "symbolizer/cfi.h"
#include "symbolizer/elf_file.h"

#define EH_FRAME_BYTES_MAX (256u << 20)
#define EH_FRAME_FDES_MAX (4u << 20)

struct eh_frame_fde {
	uint64_t start, size; /* addresses; size is not 0 */
	uint32_t cie;         /* where its CIE stands in the section */
	uint32_t body;        /* where the bytes after the size stand, and how many they are */
	uint32_t body_size;
	uint32_t padding;
};

struct eh_frame {
	const struct cfi_machine *machine;
	uint64_t vaddr;
	uint32_t size, n_fdes;
	uint32_t skipped;            /* entries that could not be read */
	uint32_t ends_at_terminator; /* the size is a guess */
	uint8_t *data;
	struct eh_frame_fde *fdes; /* by start, then by place; of two with one start the last one counts */
	struct eh_frame_cache *cache;
};

/* -ENODATA: the file has none; -ENOTSUP: rules of its machine are not known; -EBADMSG, -E2BIG, -ENOMEM. */
int eh_frame_read(const struct elf_file *f, struct eh_frame **ret);
struct eh_frame *eh_frame_free(struct eh_frame *e);
DEFINE_CLEANUP(struct eh_frame *, eh_frame_free)

/* Runs the instructions of one FDE; as cfi_run_fde(). */
int eh_frame_run(struct eh_frame *e, const struct eh_frame_fde *fde, cfi_row_t row, void *userdata);
