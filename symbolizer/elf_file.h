/* Bounded reading of a 64-bit little-endian ELF file through its descriptor: headers are read once and checked,
 * contents are read by pread into memory of our own, so a file that is truncated meanwhile is an error and not a
 * signal. Everything in the file is hostile; no offset or size leaves here that does not lie inside the file. */
#pragma once
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

#define ELF_FILE_SEGMENTS_MAX 512u
#define ELF_FILE_SECTIONS_MAX 16384u /* a file with more is read as if it had no section headers */

struct elf_segment { /* PT_*, clipped to the file */
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz;
};

struct elf_section { /* clipped away (size 0, SHT_NULL) where it does not lie inside the file */
	const char *name;
	uint32_t type, link, info;
	uint64_t flags, offset, vaddr, size, entsize;
};

struct elf_file {
	int fd;                 /* borrowed */
	uint16_t machine, type; /* EM_*, ET_* */
	uint64_t size, entry;
	uint32_t n_segments, n_sections;
	struct elf_segment *segments;
	struct elf_section *sections;
	char *section_names;
};

/* -EBADMSG: not an ELF file or malformed beyond use; -ENOTSUP: 32-bit, big-endian or neither executable nor library;
 * -E2BIG. Bad or missing section headers are no failure: there are no sections then. */
int elf_file_open(int fd, struct elf_file **ret);
struct elf_file *elf_file_free(struct elf_file *f);
DEFINE_CLEANUP(struct elf_file *, elf_file_free)

/* First section of that name that has contents in the file; NULL for none. */
const struct elf_section *elf_file_section(const struct elf_file *f, const char *name);

/* size bytes at offset into memory that belongs to the caller (one zero byte follows). -E2BIG where size > max. */
int elf_file_read(const struct elf_file *f, uint64_t offset, uint64_t size, uint64_t max, uint8_t **ret);

/* File offset of an address that a PT_LOAD holds in the file, and how many bytes of the segment follow. -ENOENT. */
int elf_file_offset_of(const struct elf_file *f, uint64_t vaddr, uint64_t *ret_offset, uint64_t *ret_room);
/* The inverse, as used for a sample's file offset. -ENOENT. */
int elf_file_vaddr_of(const struct elf_file *f, uint64_t offset, uint64_t *ret_vaddr);
