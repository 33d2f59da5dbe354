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

/* in_kernel: the sample hit the kernel, so there is a kernel stack. object and period are the source's own. Returns 0
 * where the task was not selected. */
static __always_inline int emit_sample_object(
        void *ctx, __u16 profile, __u64 value, __u64 object, __u64 period, bool in_kernel)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	int slot = scratch_take(), end;
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
	end = emit_registers(s, task);
	if (end == STACK_END_COMPLETE)
		end = unwind_user(slot, s);
	if (end == STACK_END_BAD_PC && s->record.n_user == 0 && in_kernel) {
		/* in the middle of execve: the registers are still those of the program before */
		count(COUNTER_EXECUTING);
		end = STACK_END_KERNEL_ONLY;
	}
	emit_send(s, profile, value, end);
	scratch_release(s);
	return 1;
}

static __always_inline int emit_sample_from(void *ctx, __u16 profile, __u64 value, bool in_kernel)
{
	return emit_sample_object(ctx, profile, value, 0, 0, in_kernel);
}

static __always_inline int emit_sample(void *ctx, __u16 profile, __u64 value)
{
	return emit_sample_from(ctx, profile, value, true);
}
