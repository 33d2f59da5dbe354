#include "daemon/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/fd.h"

#define STAT_BYTES_MAX 8192

/* Field 22 of stat, in clock ticks; comm may hold blanks and brackets, so count from the last one. */
static int read_start_ticks(int proc_dirfd, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *p;
	int r = file_read_all(proc_dirfd, "stat", STAT_BYTES_MAX, &text, NULL);

	if (r < 0)
		return r;
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64,
	                  ret) != 1)
		return -EBADMSG;
	return 0;
}

bool process_is_same(int proc_dirfd, uint64_t start_ns)
{
	uint64_t ticks;

	if (start_ns == 0)
		return true;
	if (read_start_ticks(proc_dirfd, &ticks) < 0)
		return false;
	return start_ns / (NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK)) == ticks;
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
