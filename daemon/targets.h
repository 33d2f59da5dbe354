/* From target rules as people give them to the kernel's form of them. */
#pragma once
#include <stdbool.h>
#include "bpf/abi.h"
#include "daemon/source.h"

/* Fills one list from rules; -E2BIG beyond SELECT_RULES_MAX of a kind. */
int targets_to_rules(const struct target_rules *rules, struct select_rules *ret);
/* Puts the processes of both lists, with their descendants of now, into the map of selected PIDs. */
int targets_fill_pids(const struct targets *targets, int map_fd);
/* What tells a process's executable from others, the same for all that run it. No device is in it: on overlayfs the
 * kernel's is not the one of stat(2). -ENOENT and others: it cannot be told. */
int target_exe_of_process(pid_t pid, struct target_exe *ret);
/* The number of its cgroup in the v2 tree; 0: not known. */
uint64_t target_cgroup_of_process(pid_t pid);
/* What targets_match() needs of them once those that were lent (NULL: the whole host) are gone: all but the PIDs, which
 * are in the programs' map. */
void targets_keep(const struct targets *lent, struct targets *ret);
/* Whether a process is selected, asked in user space: by the same rules as the programs, PIDs from their map (pids_fd).
 */
bool targets_match(const struct targets *targets, int pids_fd, pid_t pid);
