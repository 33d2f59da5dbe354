/* A fuzzer's bytes as the file that a request names. */
#pragma once
#include <sys/mman.h>
#include "base/fd.h"

/* A file with these bytes; -1 on failure. */
_unused_ static inline int input_file(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("input", MFD_CLOEXEC);

	if (fd < 0 || fd_write_full(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return TAKE_FD(fd);
}
