#include "daemon/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/proc_stat.h"

bool process_is_same(int proc_dirfd, uint64_t start_ns)
{
	struct proc_stat stat;

	return start_ns == 0 || (proc_stat_read(proc_dirfd, "stat", &stat) >= 0 && proc_stat_began_at(&stat, start_ns));
}

int process_open(int dirfd, uint32_t pid, uint64_t start_ns)
{
	_cleanup_close_ int fd = -1;
	char name[24];

	(void)snprintf(name, sizeof(name), "%s%" PRIu32, dirfd == AT_FDCWD ? "/proc/" : "", pid);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return process_is_same(fd, start_ns) ? TAKE_FD(fd) : -ESRCH;
}
