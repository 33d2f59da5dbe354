#include "daemon/cpus.h"

#include <fcntl.h>
#include <string.h>
#include "base/fd.h"

int cpus_parse(const char *list, bool *ret, unsigned n)
{
	const char *p = list;

	while (*p && *p != '\n') {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (end == p)
			return -EBADMSG;
		p = end;
		if (*p == '-') {
			last = strtoul(p + 1, &end, 10);
			if (end == p + 1 || last < first)
				return -EBADMSG;
			p = end;
		}
		for (unsigned long cpu = first; cpu <= last && cpu < n; cpu++)
			ret[cpu] = true;
		if (*p == ',')
			p++;
		else if (*p && *p != '\n')
			return -EBADMSG;
	}
	return 0;
}

int cpus_online(bool *ret, unsigned n)
{
	_cleanup_free_ char *text = NULL;
	int r = file_read_all(AT_FDCWD, "/sys/devices/system/cpu/online", 4096, &text, NULL);

	return r < 0 ? r : cpus_parse(text, ret, n);
}
