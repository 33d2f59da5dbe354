#include "daemon/usage.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"

uint64_t usage_own_cpu_ns(void)
{
	return clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int usage_of(pid_t pid, struct usage *ret)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long user, system, pages;
	char path[64];
	const char *p;
	size_t size;
	int r;

	if (pid)
		(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	else
		(void)snprintf(path, sizeof(path), "/proc/self/stat");
	r = file_read_all(AT_FDCWD, path, 4096, &text, &size);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* Fields 14, 15 and 24; comm may hold blanks and brackets, so count from the last one. */
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1,
	                  " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %*s %*s %*s %*s %*s %*s %*s %*s %llu",
	                  &user, &system, &pages) != 3)
		return -EBADMSG;
	*ret = (struct usage){
		.rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE),
		.cpu_ns = pid ? (user + system) * (NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK)) : usage_own_cpu_ns(),
	};
	return 0;
}
