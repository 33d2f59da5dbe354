#include "daemon/cpus.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include "base/fd.h"

int cpus_parse(const char *list, bool *ret, unsigned n)
{
	const char *p = list;

	while (*p && *p != '\n') {
		unsigned long first, last;
		char *end;

		if (!isdigit((unsigned char)*p))
			return -EBADMSG;
		first = last = strtoul(p, &end, 10);
		p = end;
		if (*p == '-') {
			if (!isdigit((unsigned char)p[1]))
				return -EBADMSG;
			last = strtoul(p + 1, &end, 10);
			p = end;
		}
		if (last < first)
			return -EBADMSG;
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
