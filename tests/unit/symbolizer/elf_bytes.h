/* Small ELF files put together in memory. */
#pragma once
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"

#define TEXT_OFFSET 0x10000u /* of 0x20000 bytes of code; one page of rows begins here */
#define TEXT_VADDR 0x411000u
#define TEXT_SIZE 0x20000u
#define DATA_OFFSET 0x1000u /* .eh_frame_hdr and .eh_frame, loaded at DATA_VADDR */
#define DATA_VADDR 0x401000u
#define EH_FRAME_AT 16u /* behind a header without a table */

struct elf_bytes {
	uint8_t data[TEXT_OFFSET + TEXT_SIZE];
	size_t eh_frame_size;
};

_unused_ static inline void put_entry(struct elf_bytes *e, uint32_t id, const void *body, uint32_t n)
{
	uint8_t *at = e->data + DATA_OFFSET + EH_FRAME_AT + e->eh_frame_size;
	uint32_t length = n + 4;

	memcpy(at, &length, 4);
	memcpy(at + 4, &id, 4);
	memcpy(at + 8, body, n);
	e->eh_frame_size += n + 8;
}

/* The usual CIE: version 1, "zR", pcrel | sdata4, CFA = rsp + 8. */
_unused_ static inline void put_cie(struct elf_bytes *e)
{
	static const uint8_t cie[] = { 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0 };

	put_entry(e, 0, cie, sizeof(cie));
}

/* An FDE of the CIE at the section's start. */
_unused_ static inline void put_fde(struct elf_bytes *e, uint64_t start, uint32_t size, const void *code, uint32_t n)
{
	uint32_t at = (uint32_t)e->eh_frame_size;
	int32_t relative = (int32_t)(start - (DATA_VADDR + EH_FRAME_AT + at + 8));
	uint8_t body[256] = { 0 };

	memcpy(body, &relative, 4);
	memcpy(body + 4, &size, 4);
	memcpy(body + 9, code, n);
	put_entry(e, at + 4, body, 9 + n);
}

/* Headers without sections: .eh_frame is found by PT_GNU_EH_FRAME. Call it last. */
_unused_ static inline void put_headers(struct elf_bytes *e)
{
	const Elf64_Phdr segments[] = {
		{ .p_type = PT_LOAD,
		        .p_flags = PF_R,
		        .p_offset = DATA_OFFSET,
		        .p_vaddr = DATA_VADDR,
		        .p_filesz = EH_FRAME_AT + e->eh_frame_size + 4,
		        .p_memsz = EH_FRAME_AT + e->eh_frame_size + 4 },
		{ .p_type = PT_LOAD,
		        .p_flags = PF_R | PF_X,
		        .p_offset = TEXT_OFFSET,
		        .p_vaddr = TEXT_VADDR,
		        .p_filesz = TEXT_SIZE,
		        .p_memsz = TEXT_SIZE },
		{ .p_type = PT_GNU_EH_FRAME,
		        .p_flags = PF_R,
		        .p_offset = DATA_OFFSET,
		        .p_vaddr = DATA_VADDR,
		        .p_filesz = EH_FRAME_AT,
		        .p_memsz = EH_FRAME_AT },
	};
	Elf64_Ehdr h = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(h),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
		.e_ehsize = sizeof(h),
	};
	uint8_t table[8] = { 1, 0x1b, 0xff, 0xff };
	int32_t relative = EH_FRAME_AT - 4;

	memcpy(table + 4, &relative, 4);
	memcpy(e->data, &h, sizeof(h));
	memcpy(e->data + sizeof(h), segments, sizeof(segments));
	memcpy(e->data + DATA_OFFSET, table, sizeof(table));
}

_unused_ static inline int memfd_of(const void *data, size_t n)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	if (fd >= 0 && pwrite(fd, data, n, 0) != (ssize_t)n)
		fd = close_fd(fd);
	return fd;
}
