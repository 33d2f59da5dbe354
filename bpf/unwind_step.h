/* One step of unwinding: registers of a frame and the rule of its place -> registers of its caller. A pure function,
 * compiled for BPF and for the host; it touches memory only through READ_USER(to, bytes, address), 0 on success, which
 * whoever includes this defines first.
 *
 * Stack memory is read in windows of 512 bytes, because a read costs the same whatever its size: a window serves
 * several frames (docs/ARCHITECTURE.md has the figures). */
#pragma once
#include "bpf/abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

struct unwind_registers {
	__u64 pc, sp, fp;
	__u64 other; /* the one that a CFA_REGISTER rule counts from; 0: lost */
};

#define UNWIND_WINDOW_WORDS 64
#define UNWIND_WINDOW_BYTES (UNWIND_WINDOW_WORDS * 8)
#define UNWIND_WINDOW_BEFORE                                                                                           \
	64 /* bytes kept below an address far above sp: the saved rbp is below the return address */

struct unwind_window {
	__u64 base; /* 0: holds nothing */
	__u64 words[UNWIND_WINDOW_WORDS];
};

/* A frame pointer may lead to another stack (Go's system stack, a signal's) but not again and again. */
#define UNWIND_STACK_SWITCHES_MAX 8
#define UNWIND_FRAME_BYTES_MAX (1u << 20) /* a frame pointer further up than this is not one */

/* What a step returns besides an enum stack_end. */
#define UNWIND_CONTINUE (STACK_END_MAX + 1)

static __always_inline int unwind_window_fill(struct unwind_window *w, __u64 sp, __u64 address)
{
	__u64 base = address;

	if (address >= sp && address - sp <= UNWIND_WINDOW_BYTES - 64)
		base = sp;
	else if (address > sp)
		base = address - UNWIND_WINDOW_BEFORE;
	if (READ_USER(w->words, UNWIND_WINDOW_BYTES, base) != 0) {
		w->base = 0;
		return -1;
	}
	w->base = base;
	return 0;
}

static __always_inline int unwind_read(struct unwind_window *w, __u64 sp, __u64 address, __u64 *ret)
{
	__u64 at = address - w->base;

	if ((address | sp) & 7)
		return READ_USER(ret, 8, address) == 0 ? 0 : -1;
	if (w->base == 0 || at > UNWIND_WINDOW_BYTES - 8) {
		/* near the top of a stack a window does not fit, a word does */
		if (unwind_window_fill(w, sp, address) < 0)
			return READ_USER(ret, 8, address) == 0 ? 0 : -1;
		at = address - w->base;
	}
	*ret = w->words[(at >> 3) & (UNWIND_WINDOW_WORDS - 1)];
	return 0;
}

/* Where a function was just called: nothing was pushed yet but the return address. */
static __always_inline int unwind_at_entry(struct unwind_registers *r, struct unwind_window *w)
{
	__u64 pc;

	if (unwind_read(w, r->sp, r->sp, &pc) < 0)
		return STACK_END_BAD_STACK;
	r->pc = pc;
	r->sp += 8;
	return UNWIND_CONTINUE;
}

static __always_inline int unwind_signal_frame(__s32 gregs, struct unwind_registers *r, struct unwind_window *w)
{
	__u64 at = r->sp + gregs, fp, sp, pc;

	if (unwind_read(w, r->sp, at + SIGNAL_RBP, &fp) < 0 || unwind_read(w, r->sp, at + SIGNAL_RSP, &sp) < 0 ||
	        unwind_read(w, r->sp, at + SIGNAL_RIP, &pc) < 0)
		return STACK_END_BAD_STACK;
	r->fp = fp;
	r->sp = sp;
	r->pc = pc;
	return UNWIND_CONTINUE;
}

static __always_inline int unwind_cfa(
        const struct unwind_rule *rule, const struct unwind_registers *r, struct unwind_window *w, __u64 *ret)
{
	__s32 offset = rule->cfa_offset;
	__u64 base = r->sp;

	if (rule->cfa == CFA_FP || rule->cfa == CFA_FP_DEREF) {
		if (r->fp == 0)
			return STACK_END_NO_FP;
		base = r->fp;
	}
	switch (rule->cfa) {
	case CFA_SP:
	case CFA_FP:
		*ret = base + offset;
		return UNWIND_CONTINUE;
	case CFA_SP_DEREF:
	case CFA_FP_DEREF:
		if (unwind_read(w, r->sp, base + CFA_DEREF_OFFSET(offset), &base) < 0)
			return STACK_END_BAD_STACK;
		*ret = base + CFA_DEREF_ADDEND(offset);
		return UNWIND_CONTINUE;
	case CFA_REGISTER:
		if (r->other < r->sp || r->other - r->sp > UNWIND_FRAME_BYTES_MAX)
			return STACK_END_NO_FP;
		*ret = r->other + CFA_REGISTER_OFFSET(offset);
		return UNWIND_CONTINUE;
	case CFA_PLT:
		*ret = r->sp + 8 + ((__s32)(r->pc & 15) >= offset ? 8 : 0);
		return UNWIND_CONTINUE;
	}
	return STACK_END_NO_RULE;
}

/* Applies a rule of the table. CFA_UNKNOWN is not for this function: see unwind_by_frame_pointer. On anything but
 * UNWIND_CONTINUE *r is what it was. */
static __always_inline int unwind_by_rule(
        const struct unwind_rule *rule, struct unwind_registers *r, struct unwind_window *w)
{
	__u64 cfa = 0, fp = r->fp, pc = 0;
	int end;

	if (rule->cfa == CFA_END)
		return STACK_END_COMPLETE;
	if (rule->cfa == CFA_SIGNAL)
		return unwind_signal_frame(rule->cfa_offset, r, w);
	end = unwind_cfa(rule, r, w, &cfa);
	if (end != UNWIND_CONTINUE)
		return end;
	if (cfa <= r->sp)
		return STACK_END_NO_PROGRESS;
	if (unwind_read(w, r->sp, cfa - 8, &pc) < 0)
		return STACK_END_BAD_STACK;
	if (rule->fp == FP_AT_CFA) {
		if (unwind_read(w, r->sp, cfa + rule->fp_offset, &fp) < 0)
			return STACK_END_BAD_STACK;
	} else if (rule->fp == FP_AT_FP) {
		if (unwind_read(w, r->sp, r->fp + rule->fp_offset, &fp) < 0)
			return STACK_END_BAD_STACK;
	} else if (rule->fp == FP_UNDEFINED) {
		fp = 0;
	}
	if (pc == 0)
		return STACK_END_COMPLETE;
	r->pc = pc;
	r->sp = cfa;
	r->fp = fp;
	return UNWIND_CONTINUE;
}

/* Follows the frame pointer: *rbp is the caller's rbp, the word above it the return address. rbp == 0 is an end. Where
 * the code is known to keep frame pointers they may change stacks, a bounded number of times; elsewhere the pointer
 * must look like one. */
static __always_inline int unwind_by_frame_pointer(
        struct unwind_registers *r, struct unwind_window *w, int trusted, __u32 *switches)
{
	__u64 fp = 0, pc = 0;

	if (r->fp == 0)
		return STACK_END_COMPLETE;
	if (r->fp < r->sp || r->fp - r->sp > UNWIND_FRAME_BYTES_MAX) {
		if (!trusted || ++*switches > UNWIND_STACK_SWITCHES_MAX)
			return STACK_END_NO_PROGRESS;
	}
	if (r->fp & 7)
		return STACK_END_NO_PROGRESS;
	if (unwind_read(w, r->sp, r->fp, &fp) < 0 || unwind_read(w, r->sp, r->fp + 8, &pc) < 0)
		return STACK_END_BAD_STACK;
	if (pc == 0)
		return STACK_END_COMPLETE;
	r->sp = r->fp + 16;
	r->pc = pc;
	r->fp = fp;
	return UNWIND_CONTINUE;
}
