#include "daemon/targets.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/proc_stat.h"

_Static_assert(TARGET_RULES_MAX == SELECT_RULES_MAX && TARGET_COMM_MAX == COMM_BYTES, "one limit for both sides");

int target_exe_from_path(const char *path, struct target_exe *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret = (struct target_exe){
		.inode = st.st_ino,
		.size_bytes = (uint64_t)st.st_size,
		.mtime_ns = clock_timespec_ns(st.st_mtim),
	};
	return 0;
}

int target_exe_of_process(pid_t pid, struct target_exe *ret)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return target_exe_from_path(path, ret);
}

/* Where the cgroup v2 tree is mounted, from mountinfo; "" where it is not. */
static int cgroup_mount(char *ret, size_t room)
{
	_cleanup_free_ char *text = NULL;
	char *line, *rest;
	int r;

	r = file_read_all(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, NULL);
	if (r < 0)
		return r;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char root[256], point[512];

		if (!strstr(line, " - cgroup2 ") || sscanf(line, "%*d %*d %*s %255s %511s", root, point) != 2)
			continue;
		if (strcmp(root, "/") != 0 || strlen(point) >= room)
			continue;
		(void)snprintf(ret, room, "%s", point);
		return 0;
	}
	return -ENOENT;
}

int target_cgroup_from_path(const char *path, struct target_cgroup *ret)
{
	_cleanup_free_ char *real = NULL;
	char mount[512], joined[1024];
	const char *below;
	struct statfs fs;
	struct stat st;
	uint32_t level = 0;
	int r;

	r = cgroup_mount(mount, sizeof(mount));
	if (r < 0)
		return r;
	/* "/sys/fs/cgroup/a" as well as "/a" and "a" */
	if (strncmp(path, mount, strlen(mount)) == 0)
		(void)snprintf(joined, sizeof(joined), "%s", path);
	else
		(void)snprintf(joined, sizeof(joined), "%s/%s", mount, path);
	real = realpath(joined, NULL);
	if (!real)
		return -errno;
	if (strncmp(real, mount, strlen(mount)) != 0 || statfs(real, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EINVAL;
	if (stat(real, &st) < 0)
		return -errno;
	for (below = real + strlen(mount); *below; below++)
		level += below[0] == '/' && below[1] != '\0';
	*ret = (struct target_cgroup){ .id = st.st_ino, .level = level };
	return 0;
}

int targets_to_rules(const struct target_rules *rules, struct select_rules *ret)
{
	struct select_rules s = { .has_pids = rules->n_pids > 0 };

	if (rules->n_cgroups > SELECT_RULES_MAX || rules->n_comms > SELECT_RULES_MAX ||
	        rules->n_exes > SELECT_RULES_MAX)
		return -E2BIG;
	for (size_t i = 0; i < rules->n_cgroups; i++) {
		const struct target_cgroup *from = &rules->cgroups[i];

		s.cgroups[s.n_cgroups++] = (struct select_cgroup){ .id = from->id, .level = from->level };
	}
	for (size_t i = 0; i < rules->n_comms; i++)
		memcpy(s.comms[s.n_comms++].glob, rules->comms[i].glob, COMM_BYTES);
	for (size_t i = 0; i < rules->n_exes; i++) {
		const struct target_exe *from = &rules->exes[i];

		s.exes[s.n_exes++] = (struct select_exe){
			.inode = from->inode, .size_bytes = from->size_bytes, .mtime_ns = from->mtime_ns
		};
	}
	*ret = s;
	return 0;
}

/* ---- processes with their descendants --------------------------------------------------------------------------- */

struct process {
	uint32_t pid, parent, lists;
};

static uint32_t parent_of(uint32_t pid)
{
	struct proc_stat stat;
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/%u/stat", pid);
	return proc_stat_read(AT_FDCWD, name, &stat) < 0 ? 0 : stat.parent;
}

static size_t processes_read(struct process **ret)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct process *list = NULL;
	size_t n = 0, room = 0;
	int pid;

	while ((pid = proc_next(proc))) {
		if (n == room) {
			struct process *bigger = reallocarray(list, room ? room * 2 : 256, sizeof(*list));

			if (!bigger)
				break;
			list = bigger;
			room = room ? room * 2 : 256;
		}
		list[n] = (struct process){ .pid = (uint32_t)pid, .parent = parent_of((uint32_t)pid) };
		n++;
	}
	*ret = list;
	return n;
}

static uint32_t lists_of(const struct targets *targets, uint32_t pid)
{
	uint32_t lists = 0;

	for (size_t i = 0; i < targets->include.n_pids; i++)
		lists |= (uint32_t)targets->include.pids[i] == pid ? 1u << SELECT_INCLUDE : 0;
	for (size_t i = 0; i < targets->exclude.n_pids; i++)
		lists |= (uint32_t)targets->exclude.pids[i] == pid ? 1u << SELECT_EXCLUDE : 0;
	return lists;
}

int targets_fill_pids(const struct targets *targets, int map_fd)
{
	_cleanup_free_ struct process *list = NULL;
	size_t n = processes_read(&list);
	bool changed = true;

	for (size_t i = 0; i < n; i++)
		list[i].lists = lists_of(targets, list[i].pid);
	/* as often as generations are deep: children of the selected are selected */
	while (changed) {
		changed = false;
		for (size_t i = 0; i < n; i++) {
			for (size_t k = 0; k < n; k++) {
				uint32_t more;

				if (list[k].lists == 0 || list[k].pid != list[i].parent)
					continue;
				more = list[i].lists | list[k].lists;
				changed |= more != list[i].lists;
				list[i].lists = more;
				break;
			}
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (list[i].lists && bpf_map_update_elem(map_fd, &list[i].pid, &list[i].lists, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

/* ---- one process, asked in user space --------------------------------------------------------------------------- */

static bool comm_matches(const struct target_rules *rules, pid_t pid)
{
	_cleanup_free_ char *comm = NULL;
	char name[64];
	size_t n;

	(void)snprintf(name, sizeof(name), "/proc/%d/comm", (int)pid);
	if (rules->n_comms == 0 || file_read_all(AT_FDCWD, name, 4096, &comm, &n) < 0)
		return false;
	comm[strcspn(comm, "\n")] = '\0';
	for (size_t i = 0; i < rules->n_comms; i++) {
		char glob[TARGET_COMM_MAX + 1];

		(void)snprintf(glob, sizeof(glob), "%.*s", TARGET_COMM_MAX, rules->comms[i].glob);
		if (fnmatch(glob, comm, FNM_NOESCAPE) == 0)
			return true;
	}
	return false;
}

static bool exe_matches(const struct target_rules *rules, pid_t pid)
{
	struct target_exe exe;

	if (rules->n_exes == 0 || target_exe_of_process(pid, &exe) < 0)
		return false;
	for (size_t i = 0; i < rules->n_exes; i++)
		if (memcmp(&rules->exes[i], &exe, sizeof(exe)) == 0)
			return true;
	return false;
}

/* Of a path of the cgroup v2 tree, how many of its bytes lead to the ancestor at a level; 0: it is not so deep. */
static size_t ancestor_bytes(const char *path, uint32_t level)
{
	const char *end = path;

	for (uint32_t i = 0; i < level; i++) {
		if (*end != '/' || end[1] == '\0')
			return 0;
		end += 1 + strcspn(end + 1, "/");
	}
	return (size_t)(end - path);
}

static uint64_t cgroup_id(const char *mount, const char *path, size_t path_bytes)
{
	char name[4096 + 512];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s%.*s", mount, (int)MIN(path_bytes, (size_t)4000), path);
	return stat(name, &st) == 0 ? st.st_ino : 0;
}

/* mount has room for room bytes; *ret_path belongs to the caller. */
static int cgroup_of_process(pid_t pid, char *mount, size_t room, char **ret_path)
{
	_cleanup_free_ char *text = NULL;
	char name[64], *path;
	int r;

	(void)snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	r = cgroup_mount(mount, room);
	if (r >= 0)
		r = file_read_all(AT_FDCWD, name, 64 << 10, &text, NULL);
	if (r < 0)
		return r;
	path = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	path = path ? strchr(path, '/') : NULL;
	if (!path)
		return -ENOENT;
	path = strndup(path, strcspn(path, "\n"));
	if (!path)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

static bool cgroup_matches(const struct target_rules *rules, pid_t pid)
{
	_cleanup_free_ char *path = NULL;
	char mount[512];

	if (rules->n_cgroups == 0 || cgroup_of_process(pid, mount, sizeof(mount), &path) < 0)
		return false;
	for (size_t i = 0; i < rules->n_cgroups; i++) {
		const struct target_cgroup *rule = &rules->cgroups[i];
		size_t n = ancestor_bytes(path, rule->level);

		if ((n > 0 || rule->level == 0) && cgroup_id(mount, path, n) == rule->id)
			return true;
	}
	return false;
}

uint64_t target_cgroup_of_process(pid_t pid)
{
	_cleanup_free_ char *path = NULL;
	char mount[512];

	return cgroup_of_process(pid, mount, sizeof(mount), &path) < 0 ? 0 : cgroup_id(mount, path, strlen(path));
}

static bool rules_match(const struct target_rules *rules, pid_t pid)
{
	return comm_matches(rules, pid) || exe_matches(rules, pid) || cgroup_matches(rules, pid);
}

void targets_keep(const struct targets *lent, struct targets *ret)
{
	*ret = lent ? *lent : (struct targets){ 0 };
	ret->include.pids = ret->exclude.pids = NULL;
}

bool targets_match(const struct targets *targets, int pids_fd, pid_t pid)
{
	const struct target_rules *include = &targets->include;
	uint32_t id = (uint32_t)pid, lists = 0;

	if (pids_fd >= 0)
		(void)bpf_map_lookup_elem(pids_fd, &id, &lists);
	if ((lists & (1u << SELECT_EXCLUDE)) || rules_match(&targets->exclude, pid))
		return false;
	if (include->n_pids + include->n_comms + include->n_exes + include->n_cgroups == 0)
		return true;
	return (lists & (1u << SELECT_INCLUDE)) || rules_match(include, pid);
}
