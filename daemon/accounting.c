#include "daemon/accounting.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"

uint64_t accounting_map_bytes(int map_fd)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long bytes = 0;
	const char *line;
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", map_fd);
	if (file_read_all(AT_FDCWD, name, 4096, &text, NULL) < 0)
		return 0;
	line = strstr(text, "\nmemlock:");
	if (!line || sscanf(line, "\nmemlock: %llu", &bytes) != 1)
		return 0;
	return bytes;
}

void accounting_object_run_time(const struct bpf_object *obj, uint64_t *ret_ns, uint64_t *ret_runs)
{
	struct bpf_program *p;

	*ret_ns = *ret_runs = 0;
	bpf_object__for_each_program(p, obj)
	{
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		int fd = bpf_program__fd(p);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
			continue;
		*ret_ns += info.run_time_ns;
		*ret_runs += info.run_cnt;
	}
}
