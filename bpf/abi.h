/* What BPF programs and emberd both see: the only home of a type, a constant or a map size that crosses the kernel
 * boundary. __u8..__u64 only, padding explicit and zeroed, no pointers, no bit-fields. */
#pragma once
#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* ---- stacks ---------------------------------------------------------------------------------------------------- */

#define STACK_USER_FRAMES_MAX 1000 /* 512 or more is asked for; profile/ takes 1024 locations a sample */
#define STACK_KERNEL_FRAMES_MAX 127

/* A user frame travels as (file, offset in that file), so it means the same when the process is gone. */
struct user_frame {
	__u32 file;	/* index in the table of files; FILE_* below for what is none */
	__u32 flags;	/* FRAME_* */
	__u64 offset;	/* file offset of the pc; the plain address where file is FILE_ANONYMOUS or FILE_UNKNOWN */
};
_Static_assert(sizeof(struct user_frame) == 16, "user_frame");

enum {
	FILE_NONE = 0,	    /* no VMA holds this address */
	FILE_UNKNOWN = 1,   /* a file that user space has not announced yet; a miss event tells of it */
	FILE_ANONYMOUS = 2, /* executable memory without a file: JIT code, looked up in the process's perf map */
	FILE_VDSO = 3,
	FILE_FIRST = 16,    /* the first index of a real file */
};

enum {
	FRAME_RETURN_ADDRESS = 1 << 0, /* symbolize offset - 1 */
	FRAME_BY_FRAME_POINTER = 1 << 1,
	FRAME_SIGNAL = 1 << 2,
};

/* ---- unwind rows ----------------------------------------------------------------------------------------------- */

/* How to find the caller's registers at one place of the code. The return address stands at CFA - 8, except in signal
 * frames and where the rule says that there is no caller. Made by ember-symbolizer from .eh_frame; validated by emberd;
 * applied by unwind_step.h. DWARF 5, section 6.4. */
struct unwind_rule {
	__u8 cfa;	   /* CFA_* */
	__u8 fp;	   /* FP_* */
	__s16 fp_offset;   /* meaning depends on fp; for CFA_*_DEREF with FP_SAME: added after the dereference */
	__s32 cfa_offset;  /* added to the register that cfa names */
};
_Static_assert(sizeof(struct unwind_rule) == 8, "unwind_rule");

enum {
	CFA_UNKNOWN = 0,  /* code without a usable rule: fall back to the frame pointer, say so */
	CFA_END = 1,	  /* outermost frame: the return address is undefined (_start, clone) */
	CFA_SP = 2,	  /* rsp + cfa_offset */
	CFA_FP = 3,	  /* rbp + cfa_offset */
	CFA_SP_DEREF = 4, /* *(rsp + cfa_offset) + addend, packed: cfa_offset = addend << 16 | (u16) offset, both signed */
	CFA_FP_DEREF = 5, /* the same from rbp: stack realigned through a saved pointer (DRAP) */
	CFA_PLT = 6,	  /* rsp + 8 + ((rip & 15) >= 11 ? 8 : 0): lazy PLT entries; cfa_offset 16-byte slot threshold (11 or 10..) */
	CFA_SIGNAL = 7,	  /* a signal frame: all registers from the ucontext on the stack, cfa_offset = offset of gregs from rsp */
};

enum {
	FP_SAME = 0,	  /* rbp unchanged */
	FP_AT_CFA = 1,	  /* saved at CFA + fp_offset */
	FP_AT_FP = 2,	  /* saved at rbp + fp_offset (DRAP) */
	FP_UNDEFINED = 3, /* lost; a later CFA_FP cannot be followed */
};

/* Rows of one 64 KiB page of file offsets, sorted; a row holds from its offset to the next row's. The first row of a
 * page says what holds at the page's first byte. */
#define UNWIND_PAGE_SHIFT 16
struct unwind_row {
	__u16 offset_low; /* low 16 bits of the file offset */
	__u16 rule;	  /* index in a table of rules: the file's own in a symbolizer's answer, the global one in the map */
};
_Static_assert(sizeof(struct unwind_row) == 4, "unwind_row");
