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
	__s16 fp_offset;   /* meaning depends on fp alone */
	__s32 cfa_offset;  /* meaning depends on cfa; 0 where it has none */
};
_Static_assert(sizeof(struct unwind_rule) == 8, "unwind_rule");

enum {
	CFA_UNKNOWN = 0,  /* code without a usable rule: fall back to the frame pointer, say so. The rest is zero */
	CFA_END = 1,	  /* outermost frame: the return address is undefined (_start, clone). The rest is zero */
	CFA_SP = 2,	  /* rsp + cfa_offset */
	CFA_FP = 3,	  /* rbp + cfa_offset */
	CFA_SP_DEREF = 4, /* *(rsp + CFA_DEREF_OFFSET) + CFA_DEREF_ADDEND: a CFA that was saved on the stack */
	CFA_FP_DEREF = 5, /* *(rbp + CFA_DEREF_OFFSET) + CFA_DEREF_ADDEND: stack realigned by DRAP, mostly with FP_AT_FP */
	CFA_PLT = 6,	  /* rsp + 8 + ((pc & 15) >= cfa_offset ? 8 : 0): lazy PLT entries, cfa_offset is 1..15 */
	CFA_SIGNAL = 7,	  /* a signal frame: rbp, rsp and rip of the interrupted code are at rsp + cfa_offset + SIGNAL_*;
			   * that rip is exact, no return address. fp is FP_SAME and means nothing */
	CFA_LAST = CFA_SIGNAL,
};

#define CFA_DEREF_OFFSET(cfa_offset) ((__s16)(cfa_offset))
#define CFA_DEREF_ADDEND(cfa_offset) ((__s16)((cfa_offset) >> 16))
#define CFA_DEREF_PACK(offset, addend) ((__s32)((__u32)(__u16)(addend) << 16 | (__u16)(offset)))

/* Inside the general registers of x86-64's struct sigcontext, which starts with r8. */
#define SIGNAL_RBP 80
#define SIGNAL_RSP 120
#define SIGNAL_RIP 128

enum {
	FP_SAME = 0,	  /* rbp unchanged; fp_offset is 0 */
	FP_AT_CFA = 1,	  /* saved at CFA + fp_offset */
	FP_AT_FP = 2,	  /* saved at rbp + fp_offset (DRAP) */
	FP_UNDEFINED = 3, /* lost; a later CFA_FP cannot be followed; fp_offset is 0 */
	FP_LAST = FP_UNDEFINED,
};

/* Rows of one 64 KiB page of file offsets, sorted; a row holds from its offset to the next row's. The first row of a
 * page has offset 0 and says what holds at the page's first byte. Rule 0 of each table of rules is CFA_UNKNOWN. */
#define UNWIND_PAGE_SHIFT 16
struct unwind_row {
	__u16 offset_low; /* low 16 bits of the file offset */
	__u16 rule;	  /* index in a table of rules: the file's own in a symbolizer's answer, the global one in the map */
};
_Static_assert(sizeof(struct unwind_row) == 4, "unwind_row");
