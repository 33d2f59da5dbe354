/* The vDSO as a file: it has rows and symbols like any other, but no path. */
#include <elf.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "base/fd.h"
#include "daemon/code_table.h"

int code_vdso_copy(void)
{
	const Elf64_Ehdr *h = (const void *)getauxval(AT_SYSINFO_EHDR); /* NOLINT: an address is what it returns */
	_cleanup_close_ int fd = -1;
	size_t size;
	int r;

	if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOENT;
	/* section headers stand last in the image, so they tell its size */
	size = h->e_shoff + (size_t)h->e_shnum * h->e_shentsize;
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fd_write_full(fd, h, size);
	return r < 0 ? r : TAKE_FD(fd);
}
