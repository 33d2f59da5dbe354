#include "daemon/perf_map.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "daemon/process.h"

#define PROC_FILE_BYTES_MAX 16384

/* The PID as the process itself knows it: the last number of NSpid. */
static int read_own_pid(int proc_fd, unsigned *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *line;
	char *end;
	size_t size;
	int r = file_read_all(proc_fd, "status", PROC_FILE_BYTES_MAX, &text, &size);

	if (r < 0)
		return r;
	line = strstr(text, "\nNSpid:");
	if (!line)
		return -EBADMSG;
	line += strlen("\nNSpid:");
	for (unsigned long pid = strtoul(line, &end, 10); end != line; pid = strtoul(line, &end, 10)) {
		*ret = (unsigned)pid;
		line = end;
		if (*line == '\n')
			return 0;
	}
	return -EBADMSG;
}

/* Links in a container's /tmp resolve inside its root, never on the host. */
static int open_in_root(int root_fd, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

int perf_map_open(uint32_t pid, uint64_t start_ns)
{
	_cleanup_close_ int proc_fd = -1, root_fd = -1, fd = -1;
	char path[64];
	struct stat process, st;
	unsigned own_pid = 0;
	int r;

	proc_fd = process_open(AT_FDCWD, pid, start_ns);
	if (proc_fd < 0)
		return proc_fd;
	if (fstat(proc_fd, &process) < 0)
		return -errno;
	r = read_own_pid(proc_fd, &own_pid);
	if (r < 0)
		return r;
	root_fd = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "tmp/perf-%u.map", own_pid);
	fd = open_in_root(root_fd, path);
	if (fd < 0)
		return fd == -ELOOP ? -EINVAL : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_uid != process.st_uid && st.st_uid != 0)
		return -EPERM;
	if (st.st_size > (off_t)PERF_MAP_BYTES_MAX)
		return -E2BIG;
	return TAKE_FD(fd);
}
