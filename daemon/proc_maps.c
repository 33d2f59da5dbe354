#include "daemon/proc_maps.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"

/* "start-end perms offset major:minor inode path" */
static bool line_read(char *line, struct proc_mapping *ret)
{
	char permissions[5];
	int path_at = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &ret->start, &ret->end,
	            permissions, &ret->offset, &ret->device_major, &ret->device_minor, &ret->inode, &path_at) < 7 ||
	        path_at == 0)
		return false;
	ret->path = line + path_at;
	return permissions[2] == 'x';
}

int proc_maps_read(pid_t pid, proc_maps_each_t each, void *userdata)
{
	_cleanup_free_ char *text = NULL;
	char name[32], *rest = NULL;
	int r;

	(void)snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	r = file_read_all(AT_FDCWD, name, PROC_MAPS_BYTES_MAX, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		struct proc_mapping m;

		if (!line_read(line, &m))
			continue;
		r = each(userdata, &m);
		if (r != 0)
			return r;
	}
	return 0;
}
