/* Who is to be profiled, as a person says it (PIDs, cgroups, units, commands, executables), turned into the rules that
 * BPF programs check. */
#pragma once
#include <stdbool.h>
#include "base/cleanup.h"
#include "daemon/cgroups.h"
#include "daemon/config.h"
#include "daemon/source.h"

/* The rules with what they point to. */
struct target_set {
	struct targets targets;
	pid_t *pids, *excluded_pids;
	bool is_empty; /* something was asked for, and nothing of it is there */
};

bool target_spec_is_empty(const struct target_spec *s); /* as include: the whole host */
/* exclude and cgroups may be NULL. What is not there (a unit that does not run) is left out where it may appear later
 * (is_lenient), else an error. *ret_error: one sentence that belongs to the caller, on -EINVAL, -ENOENT and -E2BIG. */
int target_set_new(const struct target_spec *include, const struct target_spec *exclude, struct cgroups *cgroups,
        bool is_lenient, struct target_set **ret, char **ret_error);
struct target_set *target_set_free(struct target_set *t);
DEFINE_CLEANUP(struct target_set *, target_set_free)
/* Whether both select the same. */
bool target_set_equal(const struct target_set *a, const struct target_set *b);
