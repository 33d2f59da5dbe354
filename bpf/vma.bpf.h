/* Finds the VMA of an address of the current process by plain reads of the kernel's tree of VMAs: a maple tree (6.1 and
 * later), a red-black tree before. No lock is taken: VMA memory is reused only after an RCU grace period, but may be
 * reused within its type, so what was found is checked against mm and address, and looked for once more if it does not
 * hold. Node layouts come by CO-RE. lib/maple_tree.c tells how the kernel itself walks. */
#pragma once
#include "bpf/maps.bpf.h"

#define MAPLE_DEPTH_MAX 10
#define RB_DEPTH_MAX 40

static __always_inline __u64 node_word(const struct scratch *s, __u32 offset)
{
	return *(const __u64 *)(s->node + (offset & (MAPLE_NODE_BYTES - 8)));
}

/* How many of the first end pivots are below address. Pivots are last bytes of pages (odd), so halves compare as the
 * whole does, and never look negative. */
static __always_inline __u32 maple_slot(const struct scratch *s, __u32 pivots, __u32 n, __u32 end, __u64 address)
{
	__u64 at = 0;

	for (__u32 i = 0; i < 15; i++) {
		__u64 pivot = node_word(s, pivots + i * 8);

		if (i >= n)
			break;
		at += is_below(pivot >> 1, address >> 1) & is_below(i, end);
	}
	return at;
}

/* The VMA that holds s->lookup, 0 for none. Not inlined, and static: of this and rb_find the verifier sees only the one
 * that the running kernel can have. */
static __noinline __u64 maple_find(__u32 slot, const struct mm_struct *mm)
{
	const __u32 range_pivots = bpf_core_field_offset(struct maple_range_64, pivot);
	const __u32 range_slots = bpf_core_field_offset(struct maple_range_64, slot);
	const __u32 range_end = bpf_core_field_offset(struct maple_range_64, meta.end);
	const __u32 arange_pivots = bpf_core_field_offset(struct maple_arange_64, pivot);
	const __u32 arange_slots = bpf_core_field_offset(struct maple_arange_64, slot);
	const __u32 arange_end = bpf_core_field_offset(struct maple_arange_64, meta.end);
	const __u32 leaf = bpf_core_enum_value(enum maple_type, maple_leaf_64);
	const __u32 arange = bpf_core_enum_value(enum maple_type, maple_arange_64);
	struct scratch *s = scratch_get(slot);
	__u64 entry = (__u64)BPF_CORE_READ(mm, mm_mt.ma_root);

	if (!s || (entry & 3) != 2 || entry < 4096) /* a root that is a value, not a node */
		return 0;
	for (int depth = 0; depth < MAPLE_DEPTH_MAX; depth++) {
		__u32 type = (entry >> 3) & 15, at, slots;

		if (bpf_probe_read_kernel(s->node, MAPLE_NODE_BYTES, (const void *)(entry & ~255ull)) != 0)
			return 0;
		if (type == arange) {
			__u32 end = s->node[arange_end & (MAPLE_NODE_BYTES - 1)];

			at = maple_slot(s, arange_pivots, 9, end, s->lookup);
			slots = arange_slots;
		} else {
			/* a full node has its last pivot where another has its end */
			__u64 last = node_word(s, range_pivots + 14 * 8);
			__u32 end = last ? 15 : s->node[range_end & (MAPLE_NODE_BYTES - 1)];

			at = maple_slot(s, range_pivots, 15, end, s->lookup);
			slots = range_slots;
		}
		entry = node_word(s, slots + at * 8);
		if (type == leaf)
			return entry;
	}
	return 0;
}

static __noinline __u64 rb_find(__u32 slot, const struct mm_struct___old *mm)
{
	__u64 node = (__u64)BPF_CORE_READ(mm, mm_rb.rb_node);
	struct scratch *s = scratch_get(slot);

	if (!s)
		return 0;
	for (int depth = 0; depth < RB_DEPTH_MAX && node; depth++) {
		const struct rb_node___old *rb = (const void *)node;
		const struct vm_area_struct *vma =
		        (const void *)(node - bpf_core_field_offset(struct vm_area_struct___old, vm_rb));

		if (BPF_CORE_READ(vma, vm_end) <= s->lookup)
			node = (__u64)BPF_CORE_READ(rb, rb_right);
		else if (BPF_CORE_READ(vma, vm_start) > s->lookup)
			node = (__u64)BPF_CORE_READ(rb, rb_left);
		else
			return (__u64)vma;
	}
	return 0;
}

static __always_inline __u64 vma_walk(__u32 slot, const struct mm_struct *mm)
{
	if (bpf_core_field_exists(mm->mm_mt))
		return maple_find(slot, mm);
	return rb_find(slot, (const void *)mm);
}

/* The VMA of s->lookup in the current process, 0 for none; its bounds in *ret. */
static __always_inline __u64 vma_find(__u32 slot, struct scratch *s, const struct mm_struct *mm, struct mapping *ret)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		__u64 found = vma_walk(slot, mm);
		const struct vm_area_struct *vma = (const void *)found;

		if (!found) {
			count(COUNTER_VMA_NONE);
			return 0;
		}
		ret->start = BPF_CORE_READ(vma, vm_start);
		ret->end = BPF_CORE_READ(vma, vm_end);
		if (BPF_CORE_READ(vma, vm_mm) == mm && ret->start <= s->lookup && s->lookup < ret->end)
			return found;
		count(COUNTER_VMA_RETRIES);
	}
	count(COUNTER_VMA_STALE);
	return 0;
}
