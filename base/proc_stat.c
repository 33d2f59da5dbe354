#include "base/proc_stat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define STAT_BYTES_MAX 8192
#define THREADS_MAX 64 /* that one look may cost: 5 to 10 us each */

static uint64_t tick_ns(void)
{
	return NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
}

int proc_stat_read(int dirfd, const char *path, struct proc_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long user, system, start, pages;
	unsigned parent;
	const char *p;
	int r = file_read_all(dirfd, path, STAT_BYTES_MAX, &text, NULL);

	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* Fields 4, 14, 15, 22 and 24; the name before them may hold blanks and brackets, so count from its last one.
	 */
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1,
	                  " %*c %u %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %*s %*s %*s %*s %*s %*s %llu %*s %llu",
	                  &parent, &user, &system, &start, &pages) != 5)
		return -EBADMSG;
	*ret = (struct proc_stat){
		.parent = parent,
		.user_ns = user * tick_ns(),
		.system_ns = system * tick_ns(),
		.start_ns = start * tick_ns(),
		.rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE),
	};
	return 0;
}

bool proc_stat_began_at(const struct proc_stat *s, uint64_t start_ns)
{
	return s->start_ns / tick_ns() == start_ns / tick_ns();
}

int proc_start_ns(int pid, uint64_t *ret)
{
	struct proc_stat stat;
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = proc_stat_read(AT_FDCWD, path, &stat);
	if (r < 0)
		return r;
	*ret = stat.start_ns;
	return 0;
}

/* The second field: time on a run queue (Documentation/scheduler/sched-stats.rst). */
static int thread_waited_ns(int tasks_fd, const char *tid, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "%.15s/schedstat", tid);
	r = file_read_all(tasks_fd, path, STAT_BYTES_MAX, &text, NULL);
	if (r < 0)
		return r;
	return sscanf(text, "%*s %" SCNu64, ret) == 1 ? 0 : -EBADMSG;
}

int proc_waited_ns(int pid, uint64_t *ret)
{
	_cleanup_closedir_ DIR *tasks = NULL;
	uint64_t sum = 0, waited;
	struct dirent *d;
	char path[32];
	int n = 0, r = -ESRCH;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return errno == ENOENT ? -ESRCH : -errno;
	for (int seen = 0; seen < THREADS_MAX && (d = readdir(tasks));) {
		if (d->d_name[0] == '.')
			continue;
		seen++;
		r = thread_waited_ns(dirfd(tasks), d->d_name, &waited);
		if (r < 0)
			continue; /* ended meanwhile */
		sum += waited;
		n++;
	}
	if (n == 0)
		return r;
	*ret = sum;
	return 0;
}

void proc_comm(int pid, char ret[PROC_COMM_MAX])
{
	_cleanup_free_ char *text = NULL;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	ret[0] = 0;
	if (file_read_all(AT_FDCWD, path, STAT_BYTES_MAX, &text, NULL) >= 0)
		(void)snprintf(ret, PROC_COMM_MAX, "%.*s", (int)strcspn(text, "\n"), text);
}
