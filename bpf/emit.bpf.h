/* The end of every source's program: emit_sample(ctx, PROFILE_X, value) selects, notes who runs, unwinds and sends one
 * record. Works wherever the current task is the one to be sampled: perf events, uprobes, tracepoints. */
#pragma once
#include "bpf/target.bpf.h"
#include "bpf/unwind.bpf.h"

static __always_inline void emit_who(__u32 slot, struct scratch *s, const struct task_struct *task)
{
	__u64 ids = bpf_get_current_pid_tgid(), now = bpf_ktime_get_boot_ns();
	struct sample_record *r = &s->record;

	s->now = COARSE_SECONDS(now);
	r->time_ns = now;
	r->pid = ids >> 32;
	r->tid = ids;
	r->cpu = bpf_get_smp_processor_id();
	r->cgroup_id = bpf_get_current_cgroup_id();
	r->process_start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	bpf_get_current_comm(r->thread, sizeof(r->thread));
	bpf_probe_read_kernel(r->comm, sizeof(r->comm), BPF_CORE_READ(task, group_leader)->comm);
}

static __always_inline void emit_exe(__u32 slot, struct scratch *s, const struct task_struct *task)
{
	const struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	__u32 flags = 0;

	s->record.exe = FILE_NONE;
	s->exe_file = (__u64)exe;
	if (!exe)
		return;
	s->file_record.vma_start = s->file_record.vma_end = 0;
	s->record.exe = file_index(slot, s, exe, FILE_RECORD_EXE, &flags);
	s->exe_flags = flags;
}

/* User registers of the current task, wherever it entered the kernel. 0, or an enum stack_end. */
static __always_inline int emit_registers(struct scratch *s, const struct task_struct *task)
{
	const struct pt_regs *regs;

	if (BPF_CORE_READ(task, flags) & PF_KTHREAD_FLAG)
		return STACK_END_KERNEL_ONLY;
	if (!BPF_CORE_READ(task, mm)) {
		count(COUNTER_EXITING); /* past exit_mm(): nothing is left that could be cut */
		return STACK_END_KERNEL_ONLY;
	}
	regs = (const void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	if (!regs)
		return STACK_END_NO_REGISTERS;
#if defined(__TARGET_ARCH_x86)
	if (BPF_CORE_READ(regs, cs) == 0x23) /* __USER32_CS */
		return STACK_END_COMPAT;
	s->registers.pc = BPF_CORE_READ(regs, ip);
	s->registers.sp = BPF_CORE_READ(regs, sp);
	s->registers.fp = BPF_CORE_READ(regs, bp);
#elif defined(__TARGET_ARCH_arm64)
	s->registers.pc = BPF_CORE_READ(regs, user_regs.pc);
	s->registers.sp = BPF_CORE_READ(regs, user_regs.sp);
	s->registers.fp = BPF_CORE_READ(regs, user_regs.regs[29]);
#endif
	return STACK_END_COMPLETE;
}

static __always_inline void emit_kernel_stack(void *ctx, struct scratch *s)
{
	long bytes = bpf_get_stack(ctx, s->frames, STACK_KERNEL_FRAMES_MAX * sizeof(__u64), 0);

	if (bytes < 0) {
		count(COUNTER_NO_KERNEL_STACK);
		return;
	}
	s->n_frames = s->record.n_kernel = (__u32)bytes / sizeof(__u64);
}

#define STACK_BYTES_LIKELY (8u << 20)

/* Where the stack of the current thread begins, as far as can be told: the first thread's by the kernel, another's by
 * its thread control block, which the C libraries put on top of it. */
static __always_inline __u64 emit_stack_top(__u64 sp)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	__u64 top = BPF_CORE_READ(task, mm, start_stack);

#if defined(__TARGET_ARCH_x86)
	if (top < sp || BPF_CORE_READ(task, group_leader) != task)
		top = BPF_CORE_READ(task, thread.fsbase);
#endif
	return top;
}

/* Up to top and no further: what lies above it is no stack. */
static __always_inline void emit_copy_into(struct scratch *s, struct stack_record *c, __u32 pages, __u64 top)
{
	__u8 *to = (__u8 *)(c + 1);
	__u32 n = 0;

	c->header.kind = RECORD_STACK;
	c->header.profile = 0;
	c->header.size_bytes = sizeof(*c) + pages * STACK_COPY_PAGE_BYTES;
	c->time_ns = s->record.time_ns;
	c->pc = s->missed.pc;
	c->sp = s->missed.sp;
	c->fp = s->missed.fp;
	c->base = s->missed.sp & ~(__u64)(STACK_COPY_PAGE_BYTES - 1);
	c->pid = s->record.pid;
	c->n_user = s->missed_at;
	c->flags = s->missed_flags;
	c->switches = s->missed_switches;
	c->padding = 0;
	for (__u32 i = 0; i < STACK_COPY_MAPPINGS; i++) {
		c->mappings[i].start = s->mappings[i].start;
		c->mappings[i].end = s->mappings[i].end;
		c->mappings[i].offset = s->mappings[i].offset;
		c->mappings[i].file = s->mappings[i].file;
		c->mappings[i].padding = 0;
	}
	for (__u32 i = 0; i < pages; i++) {
		if (c->base + i * STACK_COPY_PAGE_BYTES >= top ||
		        bpf_probe_read_user(to + i * STACK_COPY_PAGE_BYTES, STACK_COPY_PAGE_BYTES,
		                (const void *)(c->base + i * STACK_COPY_PAGE_BYTES)) != 0)
			break;
		n++;
	}
	c->n_pages = n;
	bpf_ringbuf_submit(c, BPF_RB_FORCE_WAKEUP);
}

/* The ring wants sizes that are known beforehand. */
static __always_inline int emit_copy_of(struct scratch *s, __u32 pages, __u64 top)
{
	const __u64 bytes = sizeof(struct stack_record) + (__u64)pages * STACK_COPY_PAGE_BYTES;
	struct stack_record *c;

	/* half of the ring is for samples */
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) + bytes > constants.ring_wake_bytes)
		return 0;
	c = bpf_ringbuf_reserve(&ring, bytes, 0);
	if (!c)
		return 0;
	emit_copy_into(s, c, pages, top);
	return 1;
}

/* A stack that misses rows leaves as a copy, too; user space finishes it when they are there. Not where that would
 * crowd out samples. Returns 1 where it was sent. */
__noinline int emit_copy(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	__u64 top, pages;

	if (!s)
		return 0;
	top = emit_stack_top(s->missed.sp);
	if (top - s->missed.sp > STACK_BYTES_LIKELY)
		top = s->missed.sp + 4 * STACK_COPY_PAGE_BYTES; /* not known */
	pages = (top - (s->missed.sp & ~(__u64)(STACK_COPY_PAGE_BYTES - 1))) / STACK_COPY_PAGE_BYTES + 1;
	if (pages <= 2)
		return emit_copy_of(s, 2, top);
	if (pages <= 5)
		return emit_copy_of(s, 5, top);
	if (pages <= 9)
		return emit_copy_of(s, 9, top);
	return emit_copy_of(s, STACK_COPY_PAGES_MAX, top);
}

static __always_inline void emit_copy_if_missed(__u32 slot, struct scratch *s)
{
	s->record.is_copied = 0;
	if (!constants.copies_stacks || s->missed.pc == 0)
		return;
	s->record.is_copied = emit_copy(slot);
	count(s->record.is_copied ? COUNTER_STACKS_COPIED : COUNTER_COPIES_SKIPPED);
}

static __always_inline void emit_send(struct scratch *s, __u16 profile, __u64 value, int end)
{
	__u32 n = s->n_frames, size;

	if (n > STACK_FRAMES_MAX)
		n = STACK_FRAMES_MAX;
	size = sizeof(s->record) + n * sizeof(__u64);
	s->record.header.kind = RECORD_SAMPLE;
	s->record.header.profile = profile;
	s->record.header.size_bytes = size;
	s->record.value = value;
	s->record.end = end;
	s->record.cost_ns = bpf_ktime_get_boot_ns() - s->record.time_ns;
	count(COUNTER_END_COMPLETE + (end & 15));
	if (bpf_ringbuf_output(&ring, &s->record, size, ring_flags()) != 0)
		count(COUNTER_RING_FULL);
	else
		count(COUNTER_SAMPLES);
}

/* Where the sample was taken. */
enum {
	EMIT_IN_USER,
	EMIT_IN_KERNEL, /* so there is a kernel stack */
	EMIT_AT_ENTRY,  /* of a function in user space, before it has moved the stack pointer */
};

/* where: EMIT_*. object and period are the source's own. Returns 0 where the task was not selected. */
static __always_inline int emit_sample_object(
        void *ctx, __u16 profile, __u64 value, __u64 object, __u64 period, int where)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	int slot = scratch_take(), end;
	bool in_kernel = where == EMIT_IN_KERNEL;
	struct scratch *s;

	if (slot < 0) {
		count(COUNTER_NO_SCRATCH);
		return 0;
	}
	s = scratch_get(slot);
	if (!s)
		return 0;
	emit_who(slot, s, task);
	if (!select_current(slot)) {
		count(COUNTER_NOT_SELECTED);
		scratch_release(s);
		return 0;
	}
	s->record.object = object;
	s->record.period = period;
	s->n_frames = 0;
	s->record.n_kernel = s->record.n_user = 0;
	emit_exe(slot, s, task);
	if (in_kernel && constants.kernel_stacks)
		emit_kernel_stack(ctx, s);
	s->missed.pc = 0;
	end = emit_registers(s, task);
	if (end == STACK_END_COMPLETE)
		end = unwind_user(slot, s, where == EMIT_AT_ENTRY);
	if (end == STACK_END_BAD_PC && s->record.n_user == 0 && in_kernel) {
		/* in the middle of execve: the registers are still those of the program before */
		count(COUNTER_EXECUTING);
		end = STACK_END_KERNEL_ONLY;
	}
	emit_copy_if_missed(slot, s);
	emit_send(s, profile, value, end);
	scratch_release(s);
	return 1;
}

static __always_inline int emit_sample_from(void *ctx, __u16 profile, __u64 value, bool in_kernel)
{
	return emit_sample_object(ctx, profile, value, 0, 0, in_kernel ? EMIT_IN_KERNEL : EMIT_IN_USER);
}

static __always_inline int emit_sample(void *ctx, __u16 profile, __u64 value)
{
	return emit_sample_from(ctx, profile, value, true);
}
