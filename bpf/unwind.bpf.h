/* Unwinds the user stack of the current task into s->frames: for each frame the mapping of its pc, that file's rows,
 * one step. Global functions are verified once each instead of once a frame; they pass a slot number because the
 * verifier then needs to know nothing about memory. */
#pragma once
#include "bpf/maps.bpf.h"
#include "bpf/file.bpf.h"
#include "bpf/vma.bpf.h"

#define VM_EXEC_FLAG 4

static __always_inline bool mapping_known(struct scratch *s, __u64 address)
{
	for (__u32 i = 0; i < MAPPINGS_KEPT; i++) {
		if (s->mappings[i].start <= address && address < s->mappings[i].end) {
			s->mapping = i;
			return true;
		}
	}
	return false;
}

/* Makes s->mapping the one that holds s->lookup. 0, or an enum stack_end. */
__noinline int mapping_find(__u32 slot)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	const struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct scratch *s = scratch_get(slot);
	const struct vm_area_struct *vma;
	const struct file *file;
	struct mapping *m;

	if (!s)
		return STACK_END_BAD_PC;
	s->mapping = s->n_mappings++ & (MAPPINGS_KEPT - 1);
	m = &s->mappings[s->mapping & (MAPPINGS_KEPT - 1)];
	m->end = 0;
	count(COUNTER_VMA_LOOKUPS);
	vma = (const void *)vma_find(slot, s, mm, m);
	if (!vma || !(BPF_CORE_READ(vma, vm_flags) & VM_EXEC_FLAG)) {
		m->start = m->end = 0;
		return STACK_END_BAD_PC;
	}
	file = BPF_CORE_READ(vma, vm_file);
	m->flags = 0;
	m->offset = m->start; /* anonymous frames are plain addresses */
	if (file) {
		m->offset = BPF_CORE_READ(vma, vm_pgoff) << 12;
		s->file_record.vma_start = m->start;
		s->file_record.vma_end = m->end;
		m->file = s->record.exe;
		m->flags = s->exe_flags;
		if ((__u64)file != s->exe_file)
			m->file = file_index(slot, s, file, 0, &m->flags);
		if (m->flags & FILE_ENTRY_ANONYMOUS) {
			m->file = FILE_ANONYMOUS;
			m->offset = m->start;
		}
	} else if ((__u64)BPF_CORE_READ(mm, context.vdso) == m->start) {
		m->file = FILE_VDSO;
		m->offset = 0;
		m->flags = FILE_ENTRY_ROWS;
	} else {
		m->file = FILE_ANONYMOUS;
	}
	return 0;
}

/* Row of a page that holds low; the page's rows are n at first. Branchless where it depends on data: see maple_slot. at
 * is 0; it is an argument because the verifier then takes it for any number and joins all runs of the loop. */
__noinline int row_find(__u32 first, __u32 n, __u32 low, __u32 at)
{
	struct unwind_row_block *b;
	__u32 block;

	at &= 0xffff;
	for (int bit = 15; bit >= 0; bit--) {
		__u32 next = at + (1u << bit), take;

		if ((1u << bit) >= n)
			continue;
		take = is_below(next, n);
		next = first + next * take;
		block = next / UNWIND_ROWS_PER_BLOCK;
		b = bpf_map_lookup_elem(&unwind_rows, &block);
		if (!b)
			return -1;
		barrier_var(next);
		take &= is_below(b->rows[next & (UNWIND_ROWS_PER_BLOCK - 1)].offset_low, low + 1);
		at = (at + (take << bit)) & 0xffff;
	}
	at += first;
	block = at / UNWIND_ROWS_PER_BLOCK;
	b = bpf_map_lookup_elem(&unwind_rows, &block);
	if (!b)
		return -1;
	barrier_var(at);
	return b->rows[at & (UNWIND_ROWS_PER_BLOCK - 1)].rule;
}

static __always_inline void page_ask(struct scratch *s, struct unwind_page *p, __u32 file, __u32 page)
{
	struct page_record record = {
		.header = { .kind = RECORD_PAGE, .size_bytes = sizeof(record) },
		.index = file,
		.page = page,
	};

	if ((__s32)(s->now - p->asked) < 0)
		return;
	p->asked = s->now + 2;
	if (bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_FORCE_WAKEUP) != 0) {
		p->asked = s->now;
		count(COUNTER_PAGE_EVENTS_LOST);
		return;
	}
	count(COUNTER_PAGE_EVENTS);
}

enum {
	RULE_NO_ROWS = -1,       /* not loaded yet */
	RULE_FRAME_POINTER = -2, /* code that keeps frame pointers */
	RULE_NONE = -3,          /* no unwind information */
};

/* The rule of an offset of a file: an index in unwind_rules, or RULE_*. */
__noinline int rule_find(__u32 slot, __u32 file, __u64 offset)
{
	struct scratch *s = scratch_get(slot);
	struct file_entry *entry = bpf_map_lookup_elem(&file_table, &file);
	__u32 page = offset >> UNWIND_PAGE_SHIFT, at;
	struct unwind_page *p;
	int rule;

	if (!entry || !s)
		return RULE_NO_ROWS;
	if (entry->flags & FILE_ENTRY_FRAME_POINTERS)
		return RULE_FRAME_POINTER;
	if (!(entry->flags & FILE_ENTRY_ROWS))
		return entry->flags & FILE_ENTRY_NO_ROWS ? RULE_NONE : RULE_NO_ROWS;
	at = page - entry->first_page;
	if (at >= entry->n_pages)
		return RULE_NONE;
	at += entry->first_slot;
	p = bpf_map_lookup_elem(&unwind_pages, &at);
	if (!p)
		return RULE_NO_ROWS;
	if (p->used != s->now)
		p->used = s->now;
	if (p->n_rows == UNWIND_PAGE_EMPTY)
		return RULE_NONE;
	if (p->n_rows == 0) {
		page_ask(s, p, file, page);
		return RULE_NO_ROWS;
	}
	rule = row_find(p->first_row, p->n_rows, offset & ((1 << UNWIND_PAGE_SHIFT) - 1), 0);
	return rule < 0 ? RULE_NO_ROWS : rule;
}

/* Whether a call stands before address, as before each true return address: "call rel32", or "call r/m64" with an
 * operand of 0, 1 or 4 bytes and perhaps a SIB byte. */
static __always_inline bool is_behind_call(__u64 address)
{
#if defined(__TARGET_ARCH_x86)
	__u8 code[8];

	if (bpf_probe_read_user(code, sizeof(code), (const void *)(address - sizeof(code))) != 0)
		return false;
	return code[3] == 0xe8 || (code[6] == 0xff && (code[7] & 0x38) == 0x10) ||
	       (code[5] == 0xff && (code[6] & 0x38) == 0x10) || (code[4] == 0xff && (code[5] & 0x38) == 0x10) ||
	       (code[2] == 0xff && (code[3] & 0x38) == 0x10) || (code[1] == 0xff && (code[2] & 0x38) == 0x10);
#else
	return true;
#endif
}

/* One step where no rule applies. Only code that is known to keep frame pointers may end the stack by rbp == 0 without
 * a doubt; elsewhere the doubt's reason is what cut the stack. */
static __always_inline int step_by_frame_pointer(struct scratch *s, int why)
{
	__u32 doubt = why == RULE_NO_ROWS ? STACK_END_NO_ROWS : STACK_END_NO_RULE;
	int trusted = why == RULE_FRAME_POINTER, end;

	if (!trusted && !s->doubt)
		s->doubt = doubt;
	end = unwind_by_frame_pointer(&s->registers, &s->window, trusted, &s->switches);
	if (end == UNWIND_CONTINUE) {
		/* rbp may be any number that looks like a stack address: rather a stack cut short than a wrong frame */
		if (!trusted && !is_behind_call(s->registers.pc))
			return s->doubt;
		s->by_fp++;
		return end;
	}
	/* rbp == 0 in code without rows says nothing while rows are on their way */
	if (end == STACK_END_COMPLETE && why != RULE_NO_ROWS)
		return s->doubt == STACK_END_NO_ROWS ? STACK_END_NO_ROWS : end;
	return s->doubt ? s->doubt : end;
}

/* A general register of the innermost frame, by DWARF's number; 0 where it cannot be had. */
static __always_inline __u64 register_read(__u32 number)
{
#if defined(__TARGET_ARCH_x86)
	const struct pt_regs *regs = (const void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (!regs)
		return 0;
	switch (number) {
	case 0:
		return BPF_CORE_READ(regs, ax);
	case 1:
		return BPF_CORE_READ(regs, dx);
	case 2:
		return BPF_CORE_READ(regs, cx);
	case 3:
		return BPF_CORE_READ(regs, bx);
	case 4:
		return BPF_CORE_READ(regs, si);
	case 5:
		return BPF_CORE_READ(regs, di);
	case 8:
		return BPF_CORE_READ(regs, r8);
	case 9:
		return BPF_CORE_READ(regs, r9);
	case 10:
		return BPF_CORE_READ(regs, r10);
	case 11:
		return BPF_CORE_READ(regs, r11);
	case 12:
		return BPF_CORE_READ(regs, r12);
	case 13:
		return BPF_CORE_READ(regs, r13);
	case 14:
		return BPF_CORE_READ(regs, r14);
	case 15:
		return BPF_CORE_READ(regs, r15);
	}
#endif
	return 0;
}

#define CALLEE_SAVED (1u << 3 | 1u << 6 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15)

/* A register as the frame that was pushed last has it. The innermost frame's own are known. A caller that counts its
 * CFA from a register which callees may overwrite calls one that is known not to (assembly's own subroutines): it is
 * still there one frame up. 0 where it is lost. */
static __always_inline __u64 register_of_frame(const struct scratch *s, __u32 number)
{
	bool is_kept = s->record.n_user == 2 && !(CALLEE_SAVED & (1u << (number & 15)));

	return s->record.n_user == 1 || is_kept ? register_read(number) : 0;
}

static __always_inline void frame_push(struct scratch *s, const struct mapping *m, __u64 pc, __u32 flags)
{
	__u32 at = s->n_frames;

	if (at < STACK_FRAMES_MAX) {
		s->frames[at] = FRAME_PACK(m->file, flags, pc - m->start + m->offset);
		s->n_frames = at + 1;
		s->record.n_user++;
	}
}

/* ---- return probes: the kernel has put the address of a trampoline in place of a return address and keeps the true
 * one in a list of the thread, with the place on the stack that it was taken from. ---- */

#define RETURN_PROBES_MAX 64 /* the kernel's own limit */

/* 0 for a thread in which none is armed, which is nearly always: two reads. */
static __always_inline __u64 trampoline_read(const struct task_struct *task)
{
	const struct uprobe_task *utask;

	if (!bpf_core_field_exists(struct task_struct, utask) ||
	        !bpf_core_field_exists(struct uprobe_task, return_instances) ||
	        !bpf_core_field_exists(struct mm_struct, uprobes_state))
		return 0;
	utask = BPF_CORE_READ(task, utask);
	if (!utask || !BPF_CORE_READ(utask, return_instances))
		return 0;
	return BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr);
}

/* Puts the true return address in place of the trampoline's. 0, or STACK_END_BAD_PC. */
__noinline int return_probe_pass(__u32 slot)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct scratch *s = scratch_get(slot);
	const struct return_instance *instance;

	if (!s)
		return STACK_END_BAD_PC;
	instance = BPF_CORE_READ(task, utask, return_instances);
	for (int i = 0; i < RETURN_PROBES_MAX && instance; i++) {
		/* several probes on one call: all have the true address */
		if (BPF_CORE_READ(instance, stack) == s->registers.sp - 8) {
			s->registers.pc = BPF_CORE_READ(instance, orig_ret_vaddr);
			count(COUNTER_RETURN_PROBES);
			return 0;
		}
		instance = BPF_CORE_READ(instance, next);
	}
	count(COUNTER_RETURN_PROBES_UNKNOWN);
	return STACK_END_BAD_PC;
}

/* One frame: notes it and moves the registers to its caller. UNWIND_CONTINUE or an enum stack_end. */
__noinline int unwind_frame(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct unwind_rule *rule;
	struct mapping *m;
	__u32 flags, index;
	int found, end;
	bool at_entry;

	if (!s)
		return STACK_END_NO_REGISTERS;
	if (s->registers.pc == 0)
		return STACK_END_COMPLETE;
	if (s->registers.pc == s->trampoline && return_probe_pass(slot) != 0)
		return STACK_END_BAD_PC;
	flags = s->frame_flags;
	s->lookup = s->registers.pc - (flags & FRAME_RETURN_ADDRESS ? 1 : 0);
	if (!mapping_known(s, s->lookup)) {
		end = mapping_find(slot);
		if (end)
			return s->doubt ? s->doubt : end;
	}
	m = &s->mappings[s->mapping & (MAPPINGS_KEPT - 1)];
	found = m->file == FILE_ANONYMOUS ? RULE_FRAME_POINTER
	                                  : rule_find(slot, m->file, s->lookup - m->start + m->offset);
	s->frame_flags = FRAME_RETURN_ADDRESS;
	at_entry = s->at_entry;
	s->at_entry = 0;
	index = found;
	rule = found >= 0 ? bpf_map_lookup_elem(&unwind_rules, &index) : NULL;
	if ((!rule || rule->cfa == CFA_UNKNOWN) && at_entry) {
		frame_push(s, m, s->registers.pc, flags);
		return unwind_at_entry(&s->registers, &s->window);
	}
	if (found == RULE_NO_ROWS && s->missed.pc == 0) {
		s->missed = s->registers;
		s->missed_at = s->record.n_user;
		s->missed_flags = flags;
		s->missed_switches = s->switches;
	}
	if (!rule || rule->cfa == CFA_UNKNOWN) {
		frame_push(s, m, s->registers.pc, flags | FRAME_BY_FRAME_POINTER);
		return step_by_frame_pointer(s, found >= 0 ? RULE_NONE : found);
	}
	if (rule->cfa == CFA_SIGNAL) {
		flags |= FRAME_SIGNAL;
		s->frame_flags = 0; /* interrupted there, not called from there */
	}
	frame_push(s, m, s->registers.pc, flags);
	s->by_rows++;
	if (rule->cfa == CFA_REGISTER)
		s->registers.other = register_of_frame(s, CFA_REGISTER_NUMBER(rule->cfa_offset));
	end = unwind_by_rule(rule, &s->registers, &s->window);
	return end != UNWIND_CONTINUE && end != STACK_END_COMPLETE && s->doubt ? (int)s->doubt : end;
}

/* From s->registers to the root. Returns an enum stack_end. */
static __always_inline int unwind_user(__u32 slot, struct scratch *s, bool at_entry)
{
	int end = UNWIND_CONTINUE;

	s->n_mappings = 0;
	s->trampoline = trampoline_read((const void *)bpf_get_current_task());
	s->frame_flags = 0;
	s->switches = 0;
	s->doubt = 0;
	s->at_entry = at_entry;
	s->by_rows = s->by_fp = 0;
	s->window.base = 0;
	for (__u32 i = 0; i < MAPPINGS_KEPT; i++)
		s->mappings[i].end = 0;
	for (__u32 i = 0; i < STACK_USER_FRAMES_MAX && end == UNWIND_CONTINUE; i++)
		end = unwind_frame(slot);
	if (end == UNWIND_CONTINUE)
		end = STACK_END_MAX_FRAMES;
	count_add(COUNTER_FRAMES_BY_ROWS, s->by_rows);
	count_add(COUNTER_FRAMES_BY_FP, s->by_fp);
	return end;
}
