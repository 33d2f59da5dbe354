/* The kernel's own symbols. Reading /proc/kallsyms costs tens of milliseconds each time, so its lines are copied into a
 * file once a boot and set of modules; BPF programs, which come and go at one address, are left out of the copy. */
#pragma once
#include <stddef.h>

#define KALLSYMS_NAME_MAX 128

/* What names learnt from it hold for: this boot and the modules loaded now. A plain file name. */
int kallsyms_name(char ret[KALLSYMS_NAME_MAX]);
/* The text itself. -EPERM: the kernel hides its addresses (kptr_restrict, no CAP_SYSLOG): every answer would be wrong.
 */
int kallsyms_open(void);
/* The copy called name in dirfd, made where it is missing. */
int kallsyms_open_copy(int dirfd, const char *name);
