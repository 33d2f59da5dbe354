/* Some environment variables of sampled processes, for rules that name services after them. Only the variables that are
 * asked for by name are kept, so a process's other secrets stay in it. Read once a process and executable, while it
 * lives: look up at sample time. A stranger's text: bounded, and made valid UTF-8 without control characters. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

#define ENVIRONMENT_NAMES_MAX 16
#define ENVIRONMENT_VALUE_MAX 200          /* bytes; what is longer is cut */
#define ENVIRONMENT_PROCESSES_MAX 4096     /* remembered */
#define ENVIRONMENT_BYTES_MAX (128u << 10) /* of a process's environment: what stands behind is not seen */

struct environment;

int environment_new(struct environment **ret);
struct environment *environment_free(struct environment *e);
DEFINE_CLEANUP(struct environment *, environment_free)

/* The variables to look for from now on; at most ENVIRONMENT_NAMES_MAX count. None: nothing is read. -ENOMEM: none. */
int environment_set_names(struct environment *e, const char *const *names, size_t n);
size_t environment_n_names(const struct environment *e);
const char *environment_name(const struct environment *e, size_t i);

/* For each name its value, "" where the process has none or is gone; NULL where nothing is looked for or there is no
 * room. Valid until the next call that may forget (environment_trim, environment_set_names). start_ns: as in
 * process_open(); exe: tells an exec. */
const char *const *environment_get(struct environment *e, uint32_t pid, uint64_t start_ns, uint32_t exe);
/* Forgets everything where the table is more than half full. Call between windows. */
void environment_trim(struct environment *e);
