#include "daemon/uprobe.h"

#include <assert.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

struct uprobe {
	int link_fd; /* of a multi link; -1 */
	size_t n_links;
	struct bpf_link *links[]; /* else one a site */
};

/* BPF_LINK_CREATE as of Linux 6.6 (include/uapi/linux/bpf.h), zeroed to the size that the kernel may know. */
struct link_create {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, counter_offsets, cookies;
	uint32_t count, multi_flags, pid, padding;
	uint64_t more[8];
};

#define MULTI_RETURN 1u

static int attach_multi(const struct bpf_program *prog, int attach_type, int is_return, const char *path, pid_t pid,
        const struct uprobe_site *sites, size_t n)
{
	_cleanup_free_ uint64_t *table = calloc(n * 3, sizeof(*table));
	struct link_create attr = {
		.prog_fd = (uint32_t)bpf_program__fd(prog),
		.attach_type = (uint32_t)attach_type,
		.path = (uint64_t)(uintptr_t)path,
		.count = (uint32_t)n,
		.multi_flags = is_return ? MULTI_RETURN : 0,
		.pid = (uint32_t)pid,
	};
	int has_counters = 0, fd;

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		table[i] = sites[i].offset;
		table[n + i] = sites[i].cookie;
		table[2 * n + i] = sites[i].counter_offset;
		has_counters |= sites[i].counter_offset != 0;
	}
	attr.offsets = (uint64_t)(uintptr_t)table;
	attr.cookies = (uint64_t)(uintptr_t)(table + n);
	attr.counter_offsets = has_counters ? (uint64_t)(uintptr_t)(table + 2 * n) : 0;
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

static int attach_each(const struct bpf_program *prog, int is_return, const char *path, pid_t pid,
        const struct uprobe_site *sites, size_t n, struct uprobe *u)
{
	for (size_t i = 0; i < n; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = is_return, .bpf_cookie = sites[i].cookie,
		        .ref_ctr_offset = sites[i].counter_offset);
		struct bpf_link *link = bpf_program__attach_uprobe_opts(prog, pid, path, sites[i].offset, &opts);

		if (!link)
			return -errno;
		u->links[u->n_links++] = link;
	}
	return 0;
}

int uprobe_attach(const struct bpf_program *prog, int attach_type, int is_return, int fd, pid_t pid,
        const struct uprobe_site *sites, size_t n, struct uprobe **ret)
{
	_cleanup_(uprobe_detachp) struct uprobe *u = NULL;
	char path[64];
	int r;

	assert(prog);
	assert(n > 0);
	assert(ret);

	u = calloc(1, sizeof(*u) + n * sizeof(u->links[0]));
	if (!u)
		return -ENOMEM;
	u->link_fd = -1;
	/* The kernel follows the link to the very file, whatever stands at its path by now or in whose root. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (attach_type != 0) {
		r = attach_multi(prog, attach_type, is_return, path, pid, sites, n);
		if (r >= 0)
			u->link_fd = r;
	} else {
		r = attach_each(prog, is_return, path, pid, sites, n, u);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(u);
	return 0;
}

struct uprobe *uprobe_detach(struct uprobe *u)
{
	if (!u)
		return NULL;
	(void)close_fd(u->link_fd);
	for (size_t i = 0; i < u->n_links; i++)
		(void)bpf_link__destroy(u->links[i]);
	free(u);
	return NULL;
}

void uprobe_want_files(uint64_t n)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= n)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)n);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}
