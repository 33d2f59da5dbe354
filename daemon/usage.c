#include "daemon/usage.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/proc_stat.h"

uint64_t usage_own_cpu_ns(void)
{
	return clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int usage_of(pid_t pid, struct usage *ret)
{
	struct proc_stat stat;
	char path[64] = "/proc/self/stat";
	int r;

	if (pid)
		(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = proc_stat_read(AT_FDCWD, path, &stat);
	if (r < 0)
		return r;
	*ret = (struct usage){
		.rss_bytes = stat.rss_bytes,
		.cpu_ns = pid ? stat.user_ns + stat.system_ns : usage_own_cpu_ns(),
	};
	return 0;
}
