/* The contents of one ELF section: read where it is small, mapped read-only from the file where it is large, inflated
 * where it is compressed (SHF_COMPRESSED with zlib or zstd). A file that shrinks meanwhile ends the process by a
 * signal: only the sandboxed child uses this. */
#pragma once
#include "base/cleanup.h"
#include "symbolizer/cursor.h"
#include "symbolizer/elf_file.h"

/* A compressed section may grow to this; a larger one counts as absent. */
#define SECTION_INFLATED_MAX (384u << 20)

#define SECTION_MAPPED_MIN (64u << 10)

struct section {
	struct span span; /* empty where there is no such section */
	uint8_t *copy;    /* either this or a mapping, or none */
	void *mapping;
	size_t mapping_size;
	bool is_file; /* mapped, not inflated */
};

/* 0 also where the section is absent (an empty span). -EBADMSG: compressed and malformed; -E2BIG; -ENOMEM. */
int section_load(const struct elf_file *f, const char *name, struct section *ret);
/* The same for a section header at hand. */
int section_map(const struct elf_file *f, const struct elf_section *s, struct section *ret);
void section_done(struct section *s);

/* Gives back the memory of a part that was read; it is there again when it is read again. */
void section_forget(const struct section *s, uint64_t offset, uint64_t size);
