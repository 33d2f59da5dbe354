#include "base/proc_stat.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define STAT_BYTES_MAX 8192

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

/* Documentation/scheduler/sched-stats.rst: time on the CPU, time on a run queue. */
static int thread_read(int tasks_fd, const char *tid, struct proc_thread *ret)
{
	_cleanup_free_ char *text = NULL;
	struct proc_thread t = { .tid = (int)strtol(tid, NULL, 10) };
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "%.15s/schedstat", tid);
	r = file_read_all(tasks_fd, path, STAT_BYTES_MAX, &text, NULL);
	if (r < 0)
		return r;
	if (sscanf(text, "%" SCNu64 " %" SCNu64, &t.ran_ns, &t.waited_ns) != 2)
		return -EBADMSG;
	*ret = t;
	return 0;
}

int proc_next(DIR *proc)
{
	const struct dirent *d;

	while (proc && (d = readdir(proc)))
		if (isdigit((unsigned char)d->d_name[0]))
			return (int)strtol(d->d_name, NULL, 10);
	return 0;
}

int proc_threads_read(int pid, struct proc_thread *ret, size_t max)
{
	_cleanup_closedir_ DIR *tasks = NULL;
	struct dirent *d;
	char path[32];
	size_t n = 0;
	int r = -ESRCH;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return errno == ENOENT ? -ESRCH : -errno;
	while (n < max && (d = readdir(tasks))) {
		if (d->d_name[0] == '.')
			continue;
		r = thread_read(dirfd(tasks), d->d_name, &ret[n]);
		n += r >= 0; /* else it has ended meanwhile */
	}
	return n > 0 ? (int)n : r;
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
