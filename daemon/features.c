#include "daemon/features.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/fd.h"

#define REASON_BYTES 160

/* 0: there; else a negative errno, with a sentence in reason where errno's own does not do. */
typedef int (*probe_t)(char reason[REASON_BYTES]);

static struct btf *kernel_btf;
static bool kernel_btf_asked;

const struct btf *features_btf(void)
{
	if (!kernel_btf_asked) {
		kernel_btf = btf__load_vmlinux_btf();
		if (libbpf_get_error(kernel_btf))
			kernel_btf = NULL;
		kernel_btf_asked = true;
	}
	return kernel_btf;
}

void features_done(void)
{
	btf__free(kernel_btf);
	kernel_btf = NULL;
	kernel_btf_asked = false;
}

_printf_(3, 4) static int because(char reason[REASON_BYTES], int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(reason, REASON_BYTES, format, ap);
	va_end(ap);
	return r;
}

/* ---- loading small programs ------------------------------------------------------------------------------------- */

/* "return 0", as a program of the given kind. */
static int load_nothing(enum bpf_prog_type type, enum bpf_attach_type attach)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	int fd = bpf_prog_load(type, "probe", "GPL", insns, ARRAY_SIZE(insns), &opts);

	return fd < 0 ? -errno : fd;
}

static int probe_bpf(char reason[REASON_BYTES])
{
	int fd = load_nothing(BPF_PROG_TYPE_SOCKET_FILTER, 0);

	if (fd < 0)
		return because(reason, fd, "loading a BPF program fails: %s (root, or CAP_BPF and CAP_PERFMON)",
		        strerror(-fd));
	close_fd(fd);
	return 0;
}

static int probe_btf(char reason[REASON_BYTES])
{
	return features_btf() ? 0 : because(reason, -ENOENT, "no /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF)");
}

static int probe_ring_buffer(char reason[REASON_BYTES])
{
	int r = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL);

	return r == 1 ? 0 : because(reason, r < 0 ? r : -EOPNOTSUPP, "this kernel has no BPF ring buffer");
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

static int event_try(uint32_t type, uint64_t config, bool user_only)
{
	struct perf_event_attr attr = { .size = sizeof(attr),
		.type = type,
		.config = config,
		.sample_period = 1000000000,
		.disabled = 1,
		.exclude_kernel = user_only,
		.exclude_hv = user_only };
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	close_fd(fd);
	return 0;
}

static int probe_perf_event(char reason[REASON_BYTES])
{
	int r = event_try(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, false), fd;

	if (r < 0)
		return because(reason, r, "perf_event_open of the CPU's clock fails: %s", strerror(-r));
	fd = load_nothing(BPF_PROG_TYPE_PERF_EVENT, 0);
	if (fd < 0)
		return because(reason, fd, "no BPF programs on perf events: %s", strerror(-fd));
	close_fd(fd);
	return 0;
}

static int probe_pmu(char reason[REASON_BYTES])
{
	int r = event_try(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, false);

	return r == 0 ? 0
	              : because(reason, r,
	                        "no hardware cycle counter (usual in virtual machines): the CPU's clock is used");
}

static int probe_user_instructions(char reason[REASON_BYTES])
{
	int r = event_try(PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, true);

	return r == 0 ? 0
	              : because(reason, r,
	                        "no hardware counter of instructions (usual in virtual machines): time in user mode is "
	                        "used");
}

static int probe_task_pt_regs(char reason[REASON_BYTES])
{
	int r = libbpf_probe_bpf_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_task_pt_regs, NULL);

	return r == 1 ? 0 : because(reason, r < 0 ? r : -EOPNOTSUPP, "this kernel has no bpf_task_pt_regs");
}

static int32_t struct_find(const char *name)
{
	const struct btf *btf = features_btf();

	return btf ? btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT) : -ENOENT;
}

/* Whether a member is in a struct, also inside its unnamed structs and unions. */
static bool has_member(const struct btf *btf, int32_t type, const char *name, int depth)
{
	const struct btf_type *t = btf__type_by_id(btf, (__u32)type);
	const struct btf_member *m;

	if (!t || !btf_is_composite(t) || depth > 4)
		return false;
	m = btf_members(t);
	for (unsigned i = 0; i < btf_vlen(t); i++, m++) {
		const char *is = btf__name_by_offset(btf, m->name_off);

		if (is && strcmp(is, name) == 0)
			return true;
		if (is && !*is && has_member(btf, (int32_t)m->type, name, depth + 1))
			return true;
	}
	return false;
}

static int probe_vma_tree(char reason[REASON_BYTES])
{
	int32_t mm = struct_find("mm_struct");

	if (mm < 0)
		return because(reason, -ENOENT, "the layout of processes' memory is not known without BTF");
	if (has_member(features_btf(), mm, "mm_mt", 0) && struct_find("maple_arange_64") > 0)
		return 0;
	if (has_member(features_btf(), mm, "mm_rb", 0))
		return 0;
	return because(reason, -EOPNOTSUPP, "this kernel keeps memory mappings in a form that is not known here");
}

static int probe_cpu(char reason[REASON_BYTES])
{
	static const enum feature needs[] = { FEATURE_BPF, FEATURE_BTF, FEATURE_RING_BUFFER, FEATURE_PERF_EVENT,
		FEATURE_TASK_PT_REGS, FEATURE_VMA_TREE };

	for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
		if (!features_has(needs[i]))
			return because(reason, -EOPNOTSUPP, "%s", features_reason(needs[i]));
	}
	return 0;
}

/* ---- tracepoints ------------------------------------------------------------------------------------------------ */

static const char *tracefs(void)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%s/events", places[i]);
		if (access(name, F_OK) == 0)
			return places[i];
	}
	return NULL;
}

static int probe_tracefs(char reason[REASON_BYTES])
{
	return tracefs() ? 0 : because(reason, -ENOENT, "tracefs is not mounted at /sys/kernel/tracing");
}

static int probe_tp_btf(char reason[REASON_BYTES])
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int id = libbpf_find_vmlinux_btf_id("sched_switch", BPF_TRACE_RAW_TP);
	LIBBPF_OPTS(
	        bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP, .attach_btf_id = (__u32)MAX(id, 0));
	int fd;

	if (id < 0)
		return because(reason, id, "no BTF of tracepoints");
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "probe", "GPL", insns, ARRAY_SIZE(insns), &opts);
	if (fd < 0)
		return because(reason, -errno, "BPF programs on tracepoints by BTF: %s", strerror(errno));
	close_fd(fd);
	return 0;
}

static int probe_page_fault(char reason[REASON_BYTES])
{
	const struct btf *btf = features_btf();

	if (btf && btf__find_by_name_kind(btf, "btf_trace_page_fault_user", BTF_KIND_TYPEDEF) > 0)
		return 0;
	return because(reason, -ENOENT, "this kernel has no tracepoint for user page faults");
}

/* ---- probes ----------------------------------------------------------------------------------------------------- */

static int probe_event_source(const char *name, char reason[REASON_BYTES])
{
	char path[128];

	(void)snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", name);
	return access(path, F_OK) == 0 ? 0 : because(reason, -ENOENT, "the kernel was built without %ss", name);
}

static int probe_uprobe(char reason[REASON_BYTES])
{
	return probe_event_source("uprobe", reason);
}

static int probe_kprobe(char reason[REASON_BYTES])
{
	return probe_event_source("kprobe", reason);
}

/* The number of an attach type in the running kernel, from its BTF; -1 where it has none. */
static int attach_type_find(const char *name)
{
	const struct btf *btf = features_btf();
	int32_t id = btf ? btf__find_by_name_kind(btf, "bpf_attach_type", BTF_KIND_ENUM) : -1;
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
	const struct btf_enum *e = t ? btf_enum(t) : NULL;

	for (unsigned i = 0; e && i < btf_vlen(t); i++) {
		const char *is = btf__name_by_offset(btf, e[i].name_off);

		if (is && strcmp(is, name) == 0)
			return e[i].val;
	}
	return -1;
}

static int probe_attach_type(const char *name, const char *what, char reason[REASON_BYTES])
{
	int type = attach_type_find(name), fd;

	if (type < 0)
		return because(reason, -EOPNOTSUPP, "this kernel has no %s", what);
	fd = load_nothing(BPF_PROG_TYPE_KPROBE, (enum bpf_attach_type)type);
	if (fd < 0)
		return because(reason, fd, "%s: %s", what, strerror(-fd));
	close_fd(fd);
	return probe_uprobe(reason);
}

static int probe_uprobe_multi(char reason[REASON_BYTES])
{
	return probe_attach_type("BPF_TRACE_UPROBE_MULTI", "multi-uprobes", reason);
}

static int probe_uprobe_session(char reason[REASON_BYTES])
{
	return probe_attach_type("BPF_TRACE_UPROBE_SESSION", "uprobe sessions", reason);
}

static int probe_cgroup_v2(char reason[REASON_BYTES])
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		struct statfs fs;

		if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return 0;
	}
	return because(reason, -ENOENT, "no cgroup v2 tree at /sys/fs/cgroup");
}

static int probe_bpf_stats(char reason[REASON_BYTES])
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (fd < 0)
		return because(reason, -errno, "run time of BPF programs is not accounted: %s", strerror(errno));
	close_fd(fd);
	return 0;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static struct {
	const char *id, *text;
	probe_t probe;
	enum { UNASKED = 0, THERE, MISSING } state;
	char reason[REASON_BYTES];
} table[FEATURE_MAX] = {
	[FEATURE_NONE] = { "none", "nothing special", NULL, THERE, "" },
	[FEATURE_BPF] = { "bpf", "load BPF programs", probe_bpf },
	[FEATURE_BTF] = { "btf", "kernel types, to fit programs to this kernel", probe_btf },
	[FEATURE_RING_BUFFER] = { "ring-buffer", "samples from kernel to emberd", probe_ring_buffer },
	[FEATURE_PERF_EVENT] = { "perf-event", "sample every CPU by its clock", probe_perf_event },
	[FEATURE_CPU] = { "cpu", "the cpu source: all it needs", probe_cpu },
	[FEATURE_PMU] = { "pmu", "sample by hardware cycles", probe_pmu },
	[FEATURE_USER_INSTRUCTIONS] = { "user-instructions", "scale heap profiles by instructions",
	        probe_user_instructions },
	[FEATURE_TASK_PT_REGS] = { "task-pt-regs", "user stacks of samples in the kernel", probe_task_pt_regs },
	[FEATURE_VMA_TREE] = { "vma-tree", "know code by file, so young processes unwind at once", probe_vma_tree },
	[FEATURE_TP_BTF] = { "tp-btf", "programs on tracepoints, by BTF", probe_tp_btf },
	[FEATURE_TRACEFS] = { "tracefs", "tracepoints by name", probe_tracefs },
	[FEATURE_PAGE_FAULT_TRACEPOINT] = { "page-fault-tracepoint", "the memory source", probe_page_fault },
	[FEATURE_UPROBE] = { "uprobe", "probes on functions of programs: the heap source", probe_uprobe },
	[FEATURE_UPROBE_MULTI] = { "uprobe-multi", "many probes attached at once", probe_uprobe_multi },
	[FEATURE_UPROBE_SESSION] = { "uprobe-session", "return probes for sampled calls only", probe_uprobe_session },
	[FEATURE_KPROBE] = { "kprobe", "probes on functions of the kernel (not needed)", probe_kprobe },
	[FEATURE_CGROUP_V2] = { "cgroup-v2", "select and label by cgroup", probe_cgroup_v2 },
	[FEATURE_BPF_STATS] = { "bpf-stats", "run time of our programs, for the budget", probe_bpf_stats },
};

bool features_has(enum feature f)
{
	assert(f < FEATURE_MAX);
	if (table[f].state == UNASKED) {
		int r = table[f].probe(table[f].reason);

		table[f].state = r == 0 ? THERE : MISSING;
		if (r == 0)
			table[f].reason[0] = '\0';
		else if (!table[f].reason[0])
			(void)snprintf(table[f].reason, REASON_BYTES, "%s", strerror(-r));
	}
	return table[f].state == THERE;
}

const char *features_id(enum feature f)
{
	assert(f < FEATURE_MAX);
	return table[f].id;
}

const char *features_text(enum feature f)
{
	assert(f < FEATURE_MAX);
	return table[f].text;
}

const char *features_reason(enum feature f)
{
	return features_has(f) ? "" : table[f].reason;
}

enum feature features_find(const char *id)
{
	for (unsigned f = 1; f < FEATURE_MAX; f++) {
		if (strcmp(table[f].id, id) == 0)
			return (enum feature)f;
	}
	return FEATURE_NONE;
}
