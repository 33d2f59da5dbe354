/* Which CPUs are online. */
#pragma once
#include <stdbool.h>

/* Sets ret[cpu] for each of the first n CPUs from the kernel's list. */
int cpus_online(bool *ret, unsigned n);
/* "0-3,6" -> ret; -EBADMSG where it is no such list. CPUs from n on are left out. */
int cpus_parse(const char *list, bool *ret, unsigned n);
