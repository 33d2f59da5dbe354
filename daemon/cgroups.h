/* What a cgroup's number says about a process: its path in the cgroup v2 tree, and from the path the systemd unit and
 * the container. A number is never used twice by the kernel, so what was learnt while the cgroup lived stays true when
 * it is gone: look up at sample time. Bounded; one look-up of an unknown number is one system call (a walk of the tree
 * only where file handles are not allowed). */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

#define CGROUPS_MAX 4096       /* remembered */
#define CGROUPS_WALK_MAX 20000 /* directories seen in one walk */
#define CGROUP_PATH_MAX 4096
#define CGROUP_NAME_MAX 256

struct cgroups;

struct cgroup {
	uint64_t id;
	const char *path;         /* "/system.slice/nginx.service"; "" where it could not be found */
	const char *unit;         /* "nginx.service", "" for none */
	const char *container_id; /* "" for none */
};

/* mount: of the cgroup v2 hierarchy; NULL: found in /proc/self/mountinfo (-ENOENT where there is none). */
int cgroups_new(const char *mount, struct cgroups **ret);
struct cgroups *cgroups_free(struct cgroups *c);
DEFINE_CLEANUP(struct cgroups *, cgroups_free)

/* Never NULL but without memory; valid until the next call that may forget (cgroups_trim). */
const struct cgroup *cgroups_get(struct cgroups *c, uint64_t id);
/* Forgets everything where the table is more than half full. Call between windows. */
void cgroups_trim(struct cgroups *c);
const char *cgroups_mount(const struct cgroups *c);
uint32_t cgroups_count(const struct cgroups *c);

/* The cgroup of a systemd unit, as a path below the mount. -ENOENT; belongs to the caller. */
int cgroups_find_unit(struct cgroups *c, const char *unit, char **ret_path);

/* From a path alone. Both are "" where the path names none. */
void cgroup_parse_unit(const char *path, char ret[CGROUP_NAME_MAX]);
void cgroup_parse_container(const char *path, char ret[CGROUP_NAME_MAX]);
