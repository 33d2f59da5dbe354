/* Maps. The shared ones exist once (unwind.bpf.c makes them, emberd's code.c owns them); every source's object gets
 * them by bpf_map__reuse_fd. Counters and ring are each instance's own. */
#pragma once
#include "bpf/types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "bpf/abi.h"

#define READ_USER(to, bytes, address) bpf_probe_read_user((to), (bytes), (const void *)(address))
#include "bpf/unwind_step.h"

/* a < b as 1 or 0 for numbers below 2^63, in a form that the compiler cannot turn into a branch: the verifier would
 * follow both sides of each. */
static __always_inline __u64 is_below(__u64 a, __u64 b)
{
	__u64 r;

	asm("%[r] = %[a]\n\t%[r] -= %[b]\n\t%[r] >>= 63" : [r] "=&r"(r) : [a] "r"(a), [b] "r"(b));
	return r;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILES_MAX);
	__type(key, struct file_key);
	__type(value, __u32);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, FILES_MAX);
	__uint(value_size, sizeof(__u32));
} free_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILES_MAX);
	__type(key, __u32);
	__type(value, struct file_entry);
} file_table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_PAGE_SLOTS);
	__type(key, __u32);
	__type(value, struct unwind_page);
} unwind_pages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_ROW_BLOCKS);
	__type(key, __u32);
	__type(value, struct unwind_row_block);
} unwind_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_RULES_MAX);
	__type(key, __u32);
	__type(value, struct unwind_rule);
} unwind_rules SEC(".maps");

/* ---- scratch memory --------------------------------------------------------------------------------------------- */

/* A mapping as the VMA of a pc tells it. struct stack_mapping takes it to user space. */
struct mapping {
	__u64 start, end;
	__u64 offset; /* of start in the file */
	__u32 file;
	__u32 flags; /* FILE_ENTRY_* of the file when it was looked up */
};

#define MAPPINGS_KEPT STACK_COPY_MAPPINGS
_Static_assert((MAPPINGS_KEPT & (MAPPINGS_KEPT - 1)) == 0, "an index is masked");
#define MAPLE_NODE_BYTES 256

struct scratch {
	__u32 busy;
	__u32 now; /* COARSE_SECONDS */
	struct unwind_registers registers;
	__u64 lookup; /* the address whose mapping is wanted */
	struct mapping mappings[MAPPINGS_KEPT];
	__u32 n_mappings;  /* ever found; the newest is at n_mappings - 1 */
	__u32 mapping;     /* index of the one that holds lookup */
	__u32 n_frames;    /* in frames, kernel's and user's */
	__u32 frame_flags; /* FRAME_* of the frame to come */
	__u32 switches;
	__u32 at_entry; /* the first frame's function has just been called: the stack pointer shows where it returns to
	                 */
	__u32 doubt;    /* enum stack_end: a frame pointer was followed where nothing says that there is one */
	__u32 by_rows, by_fp;
	__u64 trampoline;               /* where return probes make calls return to; 0: none is armed in this thread */
	struct unwind_registers missed; /* of the first frame without rows; pc 0: none */
	__u32 missed_at, missed_flags, missed_switches;
	__u64 exe_file;  /* struct file of the executable, whose index is in the record */
	__u32 exe_flags; /* FILE_ENTRY_* of it */
	volatile struct {
		__u32 pattern, text, star, mark;
	} glob;
	struct unwind_window window;
	__u8 node[MAPLE_NODE_BYTES];
	struct sample_record record;
	__u64 frames[STACK_FRAMES_MAX + 1]; /* right after the record: they leave together */
	struct file_record file_record;
	char path[FILE_RECORD_PATH_BYTES];
};

/* One slot would do for each kind of context, were it not that a perf event can interrupt a uprobe's program and that
 * such a program can be preempted: so each slot says whether it is taken, and the next is tried. */
#define SCRATCH_SLOTS 3

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch_slots SEC(".maps");

static __always_inline struct scratch *scratch_get(__u32 slot)
{
	return bpf_map_lookup_elem(&scratch_slots, &slot);
}

/* A free slot's number, or -1. */
static __always_inline int scratch_take(void)
{
	for (__u32 slot = 0; slot < SCRATCH_SLOTS; slot++) {
		struct scratch *s = scratch_get(slot);

		if (s && __sync_lock_test_and_set(&s->busy, 1) == 0)
			return slot;
	}
	return -1;
}

static __always_inline void scratch_release(struct scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/* ---- what each instance of a source has for itself -------------------------------------------------------------- */

#ifndef OWNER_OF_SHARED_MAPS
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} ring SEC(".maps");

const volatile struct source_constants constants;

static __always_inline void count_add(__u32 counter, __u64 n)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += n;
}

static __always_inline void count(__u32 counter)
{
	count_add(counter, 1);
}

/* Wakes user space only when the ring fills faster than its timer expects. */
static __always_inline __u64 ring_flags(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= constants.ring_wake_bytes ? BPF_RB_FORCE_WAKEUP
	                                                                                : BPF_RB_NO_WAKEUP;
}
#endif
