/* memory: page faults on user memory, sampled in space: daemon/resident.h says how and why. A fault outside the watched
 * blocks costs a hash and a compare. */
#include "bpf/emit.bpf.h"

__u32 block_shift = MEMORY_SHIFT_MIN; /* emberd raises it where faults are too many */

enum { HUGE_NEVER = 0, HUGE_ADVISED = 1, HUGE_ALWAYS = 2 };
const volatile __u32 huge_pages = HUGE_ALWAYS; /* as /sys/kernel/mm/transparent_hugepage says */

/* Most faults of a busy host are those of processes that will be gone in a moment: a thread's first ones are watched
 * more coarsely, each sample weighing more. */
#define YOUNG_FAULTS 512
#define YOUNG_SHIFT 4

#define VM_HUGEPAGE_FLAG 0x20000000
#define VM_NOHUGEPAGE_FLAG 0x40000000
#define USER_ADDRESS_BITS 47

/* Regions that were looked at a moment ago: faults come in runs. */
#define REGIONS_KEPT 256
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REGIONS_KEPT);
	__type(key, __u32);
	__type(value, __u64);
} regions SEC(".maps");

static __always_inline bool region_is_new(const struct mm_struct *mm, __u64 region, __u32 hash)
{
	__u64 id = region ^ (__u64)mm << 16, *kept;
	__u32 slot = hash & (REGIONS_KEPT - 1);

	kept = bpf_map_lookup_elem(&regions, &slot);
	if (!kept || *kept == id)
		return false;
	*kept = id;
	return true;
}

/* Whether a huge page can lie at address: private memory that covers the whole region, and is not told otherwise. */
static __always_inline bool may_be_huge(const struct mm_struct *mm, __u64 address)
{
	__u64 first = address >> MEMORY_REGION_SHIFT << MEMORY_REGION_SHIFT, flags;
	int slot = scratch_take();
	const struct vm_area_struct *vma;
	struct mapping m = {};
	struct scratch *s;
	bool huge = false;

	if (slot < 0)
		return false;
	s = scratch_get(slot);
	if (!s)
		return false;
	s->lookup = address;
	vma = (const void *)vma_find(slot, s, mm, &m);
	if (vma && m.start <= first && first + (1ull << MEMORY_REGION_SHIFT) <= m.end && !BPF_CORE_READ(vma, vm_file)) {
		flags = BPF_CORE_READ(vma, vm_flags);
		huge = (flags & VM_HUGEPAGE_FLAG) || (huge_pages == HUGE_ALWAYS && !(flags & VM_NOHUGEPAGE_FLAG));
	}
	scratch_release(s);
	return huge;
}

static __always_inline int fault(void *ctx, __u64 address)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	const struct mm_struct *mm = BPF_CORE_READ(task, mm);
	__u64 region = address >> MEMORY_REGION_SHIFT;
	__u32 hash = MEMORY_REGION_HASH(region), shift = block_shift;
	__u32 block = (address >> MEMORY_BLOCK_SHIFT) & (MEMORY_BLOCKS_PER_REGION - 1);
	bool first = false;

	if (address >> USER_ADDRESS_BITS || !mm)
		return 0;
	if (BPF_CORE_READ(task, min_flt) < YOUNG_FAULTS)
		shift += YOUNG_SHIFT;
	if (shift > MEMORY_SHIFT_MAX)
		shift = MEMORY_SHIFT_MAX;
	if (!MEMORY_REGION_WATCHED(hash, shift)) {
		count(COUNTER_FAULT_UNWATCHED);
		return 0;
	}
	if (huge_pages != HUGE_NEVER && region_is_new(mm, region, hash))
		first = may_be_huge(mm, address);
	if (!first && !MEMORY_BLOCK_WATCHED(hash, block, shift)) {
		count(COUNTER_FAULT_UNWATCHED);
		return 0;
	}
	emit_sample_from(ctx, PROFILE_MEMORY, MEMORY_VALUE(address, shift, first), false);
	return 0;
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
