/* memory: page faults on user memory, sampled in space: daemon/resident.h says how and why. A fault on a page that is
 * not watched costs a hash and a compare. */
#include "bpf/emit.bpf.h"

/* daemon/memory_pace.h has and sets them. */
__u32 page_shift;  /* no process is watched more finely */
__u32 young_shift; /* a young one is watched so much more coarsely than it will be */
__u32 samples_max; /* of one process, in a period */

enum { HUGE_NEVER = 0, HUGE_ADVISED = 1, HUGE_ALWAYS = 2 };
const volatile __u32 huge_pages = HUGE_ALWAYS; /* as /sys/kernel/mm/transparent_hugepage says */

const volatile bool large_folios = false; /* private memory may come in pieces larger than a page */

/* Most faults of a busy host are those of processes that will be gone in a moment: a process's first ones are watched
 * more coarsely, each sample weighing more. */
#define YOUNG_FAULTS 256
#define YOUNG_PERIODS 4 /* older ones have had their first faults, also where nobody remembers (see processes) */

/* A process that faults fast is watched more coarsely, by itself, and more finely again when it has calmed down: a
 * sample costs as much as some twenty faults. So one that grows has 128 pages watched or more, however large it is. As
 * finely as can be only one is watched that was calm for a while. */
#define SHIFT_AT_START (MEMORY_SHIFT_MIN + 2)
#define PERIOD(ns) ((__u32)((ns) >> 30)) /* about a second */

#define PROCESSES_KEPT 1024
struct process {
	__u64 start_ns; /* PIDs are used again */
	__u32 faults;   /* estimated, while young */
	__u32 shift;
	__u32 period, samples; /* taken in it */
	bool is_seen;          /* sampled at all */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROCESSES_KEPT);
	__type(key, __u32);
	__type(value, struct process);
} processes SEC(".maps");

#define VM_HUGEPAGE_FLAG 0x20000000
#define VM_NOHUGEPAGE_FLAG 0x40000000
#define USER_ADDRESS_BITS 47

/* Regions that were looked at a moment ago, and what faults in them reach: faults come in runs. */
#define REGIONS_KEPT 256
struct region {
	__u64 mm;
	__u32 number, reach;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REGIONS_KEPT);
	__type(key, __u32);
	__type(value, struct region);
} regions SEC(".maps");

/* What a fault at address reaches, by its VMA: a huge page can lie in private memory that covers the whole region and
 * is not told otherwise. */
static __always_inline __u32 reach_by_vma(const struct mm_struct *mm, __u64 address)
{
	__u64 first = address >> MEMORY_REGION_SHIFT << MEMORY_REGION_SHIFT, flags;
	__u32 reach = large_folios ? MEMORY_REACH_BLOCK : MEMORY_REACH_PAGE;
	const struct vm_area_struct *vma;
	struct mapping m = {};
	int slot = scratch_take();
	struct scratch *s;

	if (slot < 0)
		return reach;
	s = scratch_get(slot);
	if (!s)
		return reach;
	s->lookup = address;
	vma = (const void *)vma_find(slot, s, mm, &m);
	scratch_release(s);
	if (!vma)
		return reach;
	if (BPF_CORE_READ(vma, vm_file))
		return MEMORY_REACH_BLOCK;
	if (huge_pages == HUGE_NEVER || m.start > first || first + (1ull << MEMORY_REGION_SHIFT) > m.end)
		return reach;
	flags = BPF_CORE_READ(vma, vm_flags);
	if ((flags & VM_HUGEPAGE_FLAG) || (huge_pages == HUGE_ALWAYS && !(flags & VM_NOHUGEPAGE_FLAG)))
		return MEMORY_REACH_REGION;
	return reach;
}

/* The first fault that is seen in a region that may become huge reaches all of it, those after it a page each: they
 * come only where it did not. */
static __always_inline __u32 reach_of(const struct mm_struct *mm, __u64 address, __u32 hash)
{
	__u32 number = address >> MEMORY_REGION_SHIFT, slot = hash & (REGIONS_KEPT - 1), reach;
	struct region *kept = bpf_map_lookup_elem(&regions, &slot);

	if (!kept)
		return MEMORY_REACH_PAGE;
	if (kept->mm == (__u64)mm && kept->number == number)
		return kept->reach;
	reach = reach_by_vma(mm, address);
	kept->mm = (__u64)mm;
	kept->number = number;
	kept->reach = reach == MEMORY_REACH_REGION ? MEMORY_REACH_PAGE : reach;
	return reach;
}

/* Whether any page that the fault reaches is watched. Of a region any shift up to its size watches one. */
static __always_inline bool reaches_watched(__u32 hash, __u64 address, __u32 shift, __u32 reach)
{
	const __u32 block_pages_shift = MEMORY_BLOCK_SHIFT - MEMORY_PAGE_SHIFT;
	__u32 page = (address >> MEMORY_PAGE_SHIFT) & ((1u << MEMORY_PAGES_PER_REGION_SHIFT) - 1);
	__u32 stratum = MEMORY_STRATUM(page), watched;

	if (reach == MEMORY_REACH_REGION)
		return MEMORY_REGION_WATCHED(hash, shift);
	watched = stratum << MEMORY_SHIFT_MIN | MEMORY_STRATUM_PAGE(hash, stratum);
	if (reach == MEMORY_REACH_BLOCK) {
		page >>= block_pages_shift;
		watched >>= block_pages_shift;
	}
	return page == watched && MEMORY_STRATUM_WATCHED(hash, stratum, shift);
}

static __always_inline struct process *process_of(const struct task_struct *task)
{
	struct process fresh = { .start_ns = task->group_leader->start_boottime, .shift = SHIFT_AT_START }, *p;
	__u32 pid = task->tgid;

	p = bpf_map_lookup_elem(&processes, &pid);
	if (p && p->start_ns == fresh.start_ns)
		return p;
	fresh.period = PERIOD(bpf_ktime_get_ns()) + 1; /* a piece of one is no calm one */
	if (PERIOD(bpf_ktime_get_boot_ns() - fresh.start_ns) >= YOUNG_PERIODS)
		fresh.faults = YOUNG_FAULTS;
	(void)bpf_map_update_elem(&processes, &pid, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&processes, &pid);
}

/* Threads that come at once may miss a count: it is a limit, no figure. */
static __always_inline void process_sampled(struct process *p)
{
	__u32 period = PERIOD(bpf_ktime_get_ns()), samples = p->samples, shift = p->shift;
	__s32 passed = period - p->period; /* at first the period is yet to come */

	if (passed > 0) {
		if (samples <= samples_max / 4)
			shift = shift > MEMORY_SHIFT_MIN + (__u32)passed ? shift - passed : MEMORY_SHIFT_MIN;
		p->period = period;
		samples = 0;
	}
	if (++samples > samples_max && shift < MEMORY_SHIFT_MAX) {
		shift++;
		samples = 0;
	}
	p->samples = samples;
	p->shift = shift;
}

/* A fault that the finest of all watches sees. */
static __always_inline int fault_sample(
        void *ctx, const struct task_struct *task, __u64 address, __u32 hash, __u32 reach)
{
	struct process *p = process_of(task);
	bool once = false;
	__u32 shift;

	if (!p)
		return 0;
	shift = p->shift > page_shift ? p->shift : page_shift;
	if (p->faults < YOUNG_FAULTS) {
		p->faults += 1u << MEMORY_FAULTS_SHIFT(MEMORY_SHIFT_MIN, reach);
		shift += young_shift;
		once = true;
	}
	if (shift > MEMORY_SHIFT_MAX)
		shift = MEMORY_SHIFT_MAX;
	if (!reaches_watched(hash, address, shift, reach)) {
		/* one that is not quite small is seen at least once, so that emberd tells who holds it, unless they are
		 * many */
		if (p->is_seen || once || young_shift > MEMORY_YOUNG_SHIFT_MIN)
			return 0;
		shift = MEMORY_SHIFT_MIN;
		once = true;
	}
	if (emit_sample_from(ctx, PROFILE_MEMORY, MEMORY_VALUE(address, shift, reach, once), false)) {
		p->is_seen = true;
		process_sampled(p);
	}
	return 0;
}

static __always_inline int fault(void *ctx, __u64 address)
{
	const struct task_struct *task = bpf_get_current_task_btf();
	const struct mm_struct *mm = task->mm;
	__u32 hash = MEMORY_REGION_HASH(address >> MEMORY_REGION_SHIFT), reach;

	if (address >> USER_ADDRESS_BITS || !mm)
		return 0;
	reach = reach_of(mm, address, hash);
	if (!reaches_watched(hash, address, MEMORY_SHIFT_MIN, reach))
		return 0;
	return fault_sample(ctx, task, address, hash, reach);
}

/* Both tell of it before the kernel handles it, with the address first. */
SEC("raw_tp/page_fault_user")
int memory_fault_user(struct bpf_raw_tracepoint_args *ctx)
{
	return fault(ctx, ctx->args[0]);
}

/* The kernel's own touch of user memory: read() into a buffer that is fresh. */
SEC("raw_tp/page_fault_kernel")
int memory_fault_kernel(struct bpf_raw_tracepoint_args *ctx)
{
	return fault(ctx, ctx->args[0]);
}

/* Where those tracepoints are missing: the software event, one a fault. */
SEC("perf_event")
int memory_fault_event(struct bpf_perf_event_data *ctx)
{
	return fault(ctx, ctx->addr);
}

/* A child begins with its parent's memory, unless it borrows it until exec (vfork). */
SEC("raw_tp/sched_process_fork")
int memory_fork(struct bpf_raw_tracepoint_args *ctx)
{
	const struct task_struct *parent = (const void *)ctx->args[0], *child = (const void *)ctx->args[1];
	struct fork_record r = {
		.header = { .kind = RECORD_FORK, .profile = PROFILE_MEMORY, .size_bytes = sizeof(r) },
		.child_start_ns = BPF_CORE_READ(child, start_boottime),
		.parent = BPF_CORE_READ(parent, tgid),
		.child = BPF_CORE_READ(child, tgid),
	};

	if (r.parent == r.child || BPF_CORE_READ(parent, mm) == BPF_CORE_READ(child, mm))
		return 0;
	if (bpf_ringbuf_output(&ring, &r, sizeof(r), ring_flags()) != 0)
		count(COUNTER_RING_FULL);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
