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
	__u32 file;   /* index in the table of files; FILE_* below for what is none */
	__u32 flags;  /* FRAME_* */
	__u64 offset; /* file offset of the pc; the plain address where file is FILE_ANONYMOUS or FILE_UNKNOWN */
};
_Static_assert(sizeof(struct user_frame) == 16, "user_frame");

enum {
	FILE_NONE = 0,      /* no VMA holds this address */
	FILE_UNKNOWN = 1,   /* a file, but the table of files is full */
	FILE_ANONYMOUS = 2, /* executable memory without a file: JIT code, looked up in the process's perf map */
	FILE_VDSO = 3,
	FILE_FIRST = 16, /* the first index of a real file */
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
	__u8 cfa;         /* CFA_* */
	__u8 fp;          /* FP_* */
	__s16 fp_offset;  /* meaning depends on fp alone */
	__s32 cfa_offset; /* meaning depends on cfa; 0 where it has none */
};
_Static_assert(sizeof(struct unwind_rule) == 8, "unwind_rule");

enum {
	CFA_UNKNOWN = 0,  /* code without a usable rule: fall back to the frame pointer, say so. The rest is zero */
	CFA_END = 1,      /* outermost frame: the return address is undefined (_start, clone). The rest is zero */
	CFA_SP = 2,       /* rsp + cfa_offset */
	CFA_FP = 3,       /* rbp + cfa_offset */
	CFA_SP_DEREF = 4, /* *(rsp + CFA_DEREF_OFFSET) + CFA_DEREF_ADDEND: a CFA that was saved on the stack */
	CFA_FP_DEREF =
	        5,   /* *(rbp + CFA_DEREF_OFFSET) + CFA_DEREF_ADDEND: stack realigned by DRAP, mostly with FP_AT_FP */
	CFA_PLT = 6, /* rsp + 8 + ((pc & 15) >= cfa_offset ? 8 : 0): lazy PLT entries, cfa_offset is 1..15 */
	CFA_SIGNAL = 7, /* a signal frame: rbp, rsp and rip of the interrupted code are at rsp + cfa_offset + SIGNAL_*;
	                 * that rip is exact, no return address. fp is FP_SAME and means nothing */
	CFA_REGISTER = 8, /* a general register: CFA_REGISTER_NUMBER, plus CFA_REGISTER_OFFSET. In assembly, and where
	                   * gcc realigns a stack. Mostly lost but in the innermost frame: see register_of_frame() */
	CFA_LAST = CFA_REGISTER,
};

#define CFA_DEREF_OFFSET(cfa_offset) ((__s16)(cfa_offset))
#define CFA_DEREF_ADDEND(cfa_offset) ((__s16)((cfa_offset) >> 16))
#define CFA_DEREF_PACK(offset, addend) ((__s32)((__u32)(__u16)(addend) << 16 | (__u16)(offset)))

/* DWARF's number of a general register, 0..15 */
#define CFA_REGISTER_NUMBER(cfa_offset) CFA_DEREF_ADDEND(cfa_offset)
#define CFA_REGISTER_OFFSET(cfa_offset) CFA_DEREF_OFFSET(cfa_offset)
#define CFA_REGISTER_PACK(number, offset) CFA_DEREF_PACK(offset, number)
#define CFA_REGISTERS 16

/* Inside the general registers of x86-64's struct sigcontext, which starts with r8. */
#define SIGNAL_RBP 80
#define SIGNAL_RSP 120
#define SIGNAL_RIP 128

enum {
	FP_SAME = 0,      /* rbp unchanged; fp_offset is 0 */
	FP_AT_CFA = 1,    /* saved at CFA + fp_offset */
	FP_AT_FP = 2,     /* saved at rbp + fp_offset (DRAP) */
	FP_UNDEFINED = 3, /* lost; a later CFA_FP cannot be followed; fp_offset is 0 */
	FP_LAST = FP_UNDEFINED,
};

/* Rows of one 64 KiB page of file offsets, sorted; a row holds from its offset to the next row's. The first row of a
 * page has offset 0 and says what holds at the page's first byte. Rule 0 of each table of rules is CFA_UNKNOWN. */
#define UNWIND_PAGE_SHIFT 16
struct unwind_row {
	__u16 offset_low; /* low 16 bits of the file offset */
	__u16 rule; /* index in a table of rules: the file's own in a symbolizer's answer, the global one in the map */
};
_Static_assert(sizeof(struct unwind_row) == 4, "unwind_row");

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* What tells one file's contents from another's as the kernel knows them. The path is not in it: renames do not matter,
 * a reused inode or a file overwritten in place does. */
struct file_key {
	__u64 inode;
	__u64 size_bytes;
	__u64 mtime_ns;
	__u32 device; /* super block's s_dev: major << 20 | minor, unlike stat's */
	__u32 generation;
};
_Static_assert(sizeof(struct file_key) == 32, "file_key");

#define FILES_MAX 4096 /* indices, FILE_FIRST of them special; 12 bits in a packed frame */

enum {
	FILE_ENTRY_KNOWN = 1 << 0,          /* user space has heard of it and asks for no more events */
	FILE_ENTRY_ROWS = 1 << 1,           /* first_slot and n_pages are valid */
	FILE_ENTRY_FRAME_POINTERS = 1 << 2, /* built with frame pointers throughout (Go): rows are not needed */
	FILE_ENTRY_ANONYMOUS = 1 << 3,      /* not an executable format: frames are reported as FILE_ANONYMOUS (JIT) */
	FILE_ENTRY_NO_ROWS = 1 << 4,        /* it has none, for good */
};

/* One of the table of files, by index. BPF programs write used and asked only. */
struct file_entry {
	__u32 first_slot; /* of this file's pages in the map of pages */
	__u32 first_page; /* file offset >> UNWIND_PAGE_SHIFT of first_slot */
	__u32 n_pages;
	__u32 flags; /* FILE_ENTRY_* */
	__u32 used;  /* coarse_seconds() of the last sample that had it */
	__u32 asked; /* not before this may the next file event be sent */
};
_Static_assert(sizeof(struct file_entry) == 24, "file_entry");

/* One page of code: where its rows are in the pool. */
struct unwind_page {
	__u32 first_row; /* in the map of rows, all blocks taken together */
	__u32 n_rows;    /* 0: not in the pool; UNWIND_PAGE_EMPTY: no code with rows in it */
	__u32 used;
	__u32 asked;
};
_Static_assert(sizeof(struct unwind_page) == 16, "unwind_page");

#define UNWIND_PAGE_EMPTY 0xffffffffu
#define UNWIND_PAGE_ROWS_MAX 65536
#define UNWIND_PAGE_SLOTS 32768 /* 2 GiB of code known at a time */
#define UNWIND_ROWS_PER_BLOCK 128
#define UNWIND_ROW_BLOCKS 14336 /* 7 MiB, 1.8 million rows; user space may choose another number */
#define UNWIND_RULES_MAX 16384

struct unwind_row_block {
	struct unwind_row rows[UNWIND_ROWS_PER_BLOCK];
};

/* A clock for "used" and "asked": about a second a tick, never 0. */
#define COARSE_SHIFT 30
#define COARSE_SECONDS(boot_ns) ((__u32)((boot_ns) >> COARSE_SHIFT) + 1)

/* ---- records of a ring ------------------------------------------------------------------------------------------ */

enum {
	RECORD_SAMPLE = 1,
	RECORD_FILE = 2,
	RECORD_PAGE = 3,
	RECORD_STACK = 4,
	RECORD_SOURCE_FIRST = 16, /* from here on a source's own */
};

/* Profile types, in the order of their making. */
enum {
	PROFILE_CPU = 0,
	PROFILE_OFFCPU,
	PROFILE_LOCK,
	PROFILE_HEAP,
	PROFILE_MEMORY,
	PROFILE_TASK,
	PROFILE_PROBE,
};

/* Why a user stack ends; daemon/source.c has the words. */
enum stack_end {
	STACK_END_COMPLETE = 0,
	STACK_END_KERNEL_ONLY, /* a kernel thread: there is no user stack */
	STACK_END_MAX_FRAMES,
	STACK_END_NO_ROWS,     /* rows are not loaded yet and the frame pointer led nowhere */
	STACK_END_NO_RULE,     /* code without unwind information and the frame pointer led nowhere */
	STACK_END_BAD_STACK,   /* stack memory could not be read */
	STACK_END_BAD_PC,      /* a return address outside any executable mapping */
	STACK_END_NO_PROGRESS, /* the next frame is not above this one */
	STACK_END_NO_FP,       /* the rule wants a frame pointer, or another register, that is lost */
	STACK_END_COMPAT,      /* a 32-bit program */
	STACK_END_NO_REGISTERS,
	STACK_END_MAX,
};

struct record_header {
	__u16 kind; /* RECORD_* */
	__u16 profile;
	__u32 size_bytes; /* whole record */
};

#define COMM_BYTES 16

struct sample_record {
	struct record_header header;
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u64 process_start_ns;
	__u64 cgroup_id;
	__u64 value;
	__u64 object, period; /* the source's own; 0 */
	__u32 pid, tid;
	__u32 cpu;
	__u32 exe;               /* file index */
	char comm[COMM_BYTES];   /* of the group leader */
	char thread[COMM_BYTES]; /* of the thread */
	__u16 n_kernel, n_user;
	__u8 end;       /* enum stack_end */
	__u8 is_copied; /* a stack_record with this time_ns came before it: user space can finish the stack */
	__u8 padding[2];
	__u32 cost_ns; /* of this sample, from the program's start to here */
	__u32 padding2;
	/* n_kernel addresses, then n_user packed frames; both leaf first */
};
_Static_assert(sizeof(struct sample_record) == 120, "sample_record");

/* file index 12 bits | FRAME_* 3 bits | offset 49 bits */
#define FRAME_PACK(file, flags, offset)                                                                                \
	((__u64)(file) << 52 | (__u64)(flags) << 49 | ((__u64)(offset) & ((1ull << 49) - 1)))
#define FRAME_FILE(packed) ((__u32)((packed) >> 52))
#define FRAME_FLAGS(packed) ((__u32)((packed) >> 49) & 7)
#define FRAME_OFFSET(packed) ((packed) & ((1ull << 49) - 1))

#define STACK_FRAMES_MAX (STACK_KERNEL_FRAMES_MAX + STACK_USER_FRAMES_MAX)

enum {
	FILE_RECORD_EXE = 1 << 0, /* it is the process's executable */
	FILE_RECORD_CUT = 1 << 1, /* the path has more components than fit */
	FILE_RECORD_DELETED = 1 << 2,
};

#define FILE_RECORD_COMPONENTS 48
#define FILE_RECORD_NAME_BYTES 256
#define FILE_RECORD_PATH_BYTES 4096

struct file_record {
	struct record_header header;
	struct file_key key;
	__u64 vma_start, vma_end; /* 0, 0: not from a mapping */
	__u32 index;
	__u32 pid;
	__u32 flags;      /* FILE_RECORD_* */
	__u32 path_bytes; /* components leaf first, each ended by a NUL, up to the process's root */
};
_Static_assert(sizeof(struct file_record) == 72, "file_record");

struct page_record {
	struct record_header header;
	__u32 index; /* of the file */
	__u32 page;
};

/* A copy of the stack from where its rows were missing, sent right before its sample: rows come a moment later, the
 * stack does not come again. */
#define STACK_COPY_PAGES_MAX 16
#define STACK_COPY_PAGE_BYTES 4096
#define STACK_COPY_MAPPINGS 8

struct stack_mapping {
	__u64 start, end; /* 0, 0: none */
	__u64 offset;     /* of start in the file */
	__u32 file;       /* file index */
	__u32 padding;
};

struct stack_record {
	struct record_header header;
	__u64 time_ns; /* of the sample */
	__u64 pc, sp, fp;
	__u64 base; /* address of pages: sp, rounded down to a page */
	__u32 pid;
	__u16 n_user;   /* frames of the sample that stand; the next one is the one at pc */
	__u8 flags;     /* FRAME_* of that */
	__u8 n_pages;   /* that could be read */
	__u32 switches; /* as unwind_step.h counts them */
	__u32 padding;
	struct stack_mapping mappings[STACK_COPY_MAPPINGS];
	/* pages: n_pages of them were read, the record may have room for more */
};
_Static_assert(sizeof(struct stack_record) == 64 + 32 * STACK_COPY_MAPPINGS, "stack_record");

/* ---- selection -------------------------------------------------------------------------------------------------- */

#define SELECT_PIDS_MAX 8192
#define SELECT_RULES_MAX 16

enum {
	SELECT_INCLUDE = 0,
	SELECT_EXCLUDE = 1,
	SELECT_LISTS = 2,
};

struct select_cgroup {
	__u64 id;
	__u32 level;
	__u32 padding;
};

struct select_comm {
	char glob[COMM_BYTES];
};

struct select_exe {
	__u64 inode, size_bytes, mtime_ns;
};

/* One list of rules. A process is selected when any rule of SELECT_INCLUDE matches, or there is none, and no rule of
 * SELECT_EXCLUDE does. PIDs are in a map of their own, value SELECT_INCLUDE or SELECT_EXCLUDE. */
struct select_rules {
	__u32 has_pids, n_cgroups, n_comms, n_exes;
	struct select_cgroup cgroups[SELECT_RULES_MAX];
	struct select_comm comms[SELECT_RULES_MAX];
	struct select_exe exes[SELECT_RULES_MAX];
};

/* What user space sets before an instance is loaded. */
struct source_constants {
	struct select_rules select[SELECT_LISTS];
	__u32 ring_wake_bytes; /* wake user space when this much waits */
	__u32 kernel_stacks;   /* 0 or 1 */
	__u32 copies_stacks;   /* 0 or 1: stacks whose rows are missing are sent to be finished */
	__u32 padding;
};

/* ---- counters --------------------------------------------------------------------------------------------------- */

/* One for every early return of a BPF program; X(constant, name). Per instance of a source. */
#define COUNTERS(X)                                                                                                    \
	X(SAMPLES, "samples")                                                                                          \
	X(IDLE, "idle")                                                                                                \
	X(NOT_SELECTED, "not-selected")                                                                                \
	X(NO_SCRATCH, "lost-no-scratch")                                                                               \
	X(RING_FULL, "lost-ring-full")                                                                                 \
	X(EXITING, "no-user-memory")                                                                                   \
	X(EXECUTING, "registers-of-the-program-before")                                                                \
	X(NO_KERNEL_STACK, "no-kernel-stack")                                                                          \
	X(FRAMES_BY_ROWS, "frames-by-rows")                                                                            \
	X(FRAMES_BY_FP, "frames-by-frame-pointer")                                                                     \
	X(RETURN_PROBES, "return-probes-seen-through")                                                                 \
	X(RETURN_PROBES_UNKNOWN, "return-probes-unknown")                                                              \
	X(FILE_EVENTS, "file-events")                                                                                  \
	X(FILE_EVENTS_LOST, "file-events-lost")                                                                        \
	X(FILES_FULL, "file-table-full")                                                                               \
	X(FILE_RACE, "file-insert-race")                                                                               \
	X(PAGE_EVENTS, "page-events")                                                                                  \
	X(PAGE_EVENTS_LOST, "page-events-lost")                                                                        \
	X(VMA_LOOKUPS, "vma-lookups")                                                                                  \
	X(VMA_RETRIES, "vma-retries")                                                                                  \
	X(VMA_NONE, "vma-none")                                                                                        \
	X(VMA_STALE, "vma-stale")                                                                                      \
	X(STACKS_COPIED, "copies-of-stacks")                                                                           \
	X(COPIES_SKIPPED, "copies-of-stacks-skipped")                                                                  \
	X(PATH_CUT, "path-cut")                                                                                        \
	X(FORKS_FULL, "pid-table-full")                                                                                \
	X(HEAP_OTHER_PROCESS, "heap-other-process")                                                                    \
	X(HEAP_LIVE_FULL, "heap-live-full")                                                                            \
	X(HEAP_CALLS_FULL, "heap-calls-full")                                                                          \
	X(END_COMPLETE, "stack-complete")                                                                              \
	X(END_KERNEL_ONLY, "stack-kernel-only")                                                                        \
	X(END_MAX_FRAMES, "stack-max-frames")                                                                          \
	X(END_NO_ROWS, "stack-no-rows")                                                                                \
	X(END_NO_RULE, "stack-no-rule")                                                                                \
	X(END_BAD_STACK, "stack-unreadable")                                                                           \
	X(END_BAD_PC, "stack-bad-return-address")                                                                      \
	X(END_NO_PROGRESS, "stack-no-progress")                                                                        \
	X(END_NO_FP, "stack-frame-pointer-lost")                                                                       \
	X(END_COMPAT, "stack-32-bit")                                                                                  \
	X(END_NO_REGISTERS, "stack-no-registers")

#define COUNTER_CONSTANT_(constant, name) COUNTER_##constant,
enum counter { COUNTERS(COUNTER_CONSTANT_) COUNTER_MAX };
_Static_assert(COUNTER_END_NO_REGISTERS - COUNTER_END_COMPLETE == STACK_END_NO_REGISTERS, "one counter for each end");

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* Memory is sampled in space (daemon/resident.h says why): one page of each 512 KiB (a stratum) is watched, at another
 * place in each, as what lies in memory is often periodic; for larger shifts those of one stratum in two or four, then
 * of one region of 2 MiB in so many. A larger shift watches a subset of what a smaller one does. */
#define MEMORY_PAGE_SHIFT 12
#define MEMORY_BLOCK_SHIFT 16 /* what the kernel maps around one fault on a file, aligned */
#define MEMORY_REGION_SHIFT 21
#define MEMORY_PAGES_PER_REGION_SHIFT 9
#define MEMORY_SHIFT_MIN 7 /* one page in 512 KiB */
#define MEMORY_SHIFT_MAX 20
#define MEMORY_YOUNG_SHIFT_MIN 1 /* beyond a process's own */

/* The same pages in every process, so that a child of fork goes on where its parent was; address space randomisation
 * spreads them. Multiplicative hash: the upper half of a 64-bit product mixes best. */
#define MEMORY_REGION_HASH(region) ((__u32)((((__u64)(region) + 1) * 0x9e3779b97f4a7c15ull) >> 32))
#define MEMORY_REGION_WATCHED(hash, shift)                                                                             \
	((shift) <= MEMORY_PAGES_PER_REGION_SHIFT ||                                                                   \
	        (((hash) >> 12) & ((1u << ((shift)-MEMORY_PAGES_PER_REGION_SHIFT)) - 1)) == 0)
/* page: number within its region */
#define MEMORY_STRATUM(page) ((page) >> MEMORY_SHIFT_MIN)
#define MEMORY_STRATUM_MASK(shift)                                                                                     \
	((1u << ((shift) < MEMORY_PAGES_PER_REGION_SHIFT ? (shift)-MEMORY_SHIFT_MIN                                    \
	                                                 : MEMORY_PAGES_PER_REGION_SHIFT - MEMORY_SHIFT_MIN)) -        \
	        1)
#define MEMORY_STRATUM_WATCHED(hash, stratum, shift)                                                                   \
	(MEMORY_REGION_WATCHED(hash, shift) && (((stratum) + ((hash) >> 28)) & MEMORY_STRATUM_MASK(shift)) == 0)
/* The page of a stratum that is watched, from its first. */
#define MEMORY_STRATUM_PAGE(hash, stratum) (((hash) >> MEMORY_SHIFT_MIN * (stratum)) & ((1u << MEMORY_SHIFT_MIN) - 1))
#define MEMORY_PAGE_WATCHED(hash, page, shift)                                                                         \
	(((page) & ((1u << MEMORY_SHIFT_MIN) - 1)) == MEMORY_STRATUM_PAGE(hash, MEMORY_STRATUM(page)) &&               \
	        MEMORY_STRATUM_WATCHED(hash, MEMORY_STRATUM(page), shift))

/* Which pages a fault may have brought in. */
enum {
	MEMORY_REACH_PAGE = 0,   /* the one it was on */
	MEMORY_REACH_BLOCK = 1,  /* its 64 KiB: a file's pages, a large folio */
	MEMORY_REACH_REGION = 2, /* its 2 MiB: it may have become a huge page */
};

/* How many faults one stands for that is seen, as a power of two: all of those that may have become huge pages are
 * seen, of those on files one in so many blocks, of others one in so many pages. */
#define MEMORY_FAULTS_SHIFT(shift, reach)                                                                              \
	((reach) == MEMORY_REACH_REGION        ? 0                                                                     \
	        : (reach) == MEMORY_REACH_PAGE ? (shift)                                                               \
	        : (shift) > MEMORY_BLOCK_SHIFT - MEMORY_PAGE_SHIFT                                                     \
	                ? (shift) - (MEMORY_BLOCK_SHIFT - MEMORY_PAGE_SHIFT)                                           \
	                : 0)

/* The value of a sample of the memory source: the address of the fault, with the shift, the reach and whether
 * that shift is this fault's alone (the process is young, or was not seen before) in its low bits. */
#define MEMORY_VALUE(address, shift, reach, once)                                                                      \
	(((address) & ~0xfffull) | (__u64) !!(once) << 10 | (__u64)(reach) << 8 | (shift))
#define MEMORY_VALUE_SHIFT(value) ((__u32)(value)&0xff)
#define MEMORY_VALUE_REACH(value) ((__u32)((value) >> 8) & 3)
#define MEMORY_VALUE_ONCE(value) ((__u32)((value) >> 10) & 1)
#define MEMORY_VALUE_ADDRESS(value) ((value) & ~0xfffull)

enum { RECORD_FORK = RECORD_SOURCE_FIRST };

struct fork_record {
	struct record_header header;
	__u64 child_start_ns;
	__u32 parent, child; /* processes */
};
_Static_assert(sizeof(struct fork_record) == 24, "fork_record");

/* ---- heap ------------------------------------------------------------------------------------------------------- */

/* What a probe's attach cookie says: enum site_function of symbolizer/protocol.h, its flags, where the probe is, and
 * which registers (by DWARF numbers) hold the arguments, where those are not in their usual ones. */
#define HEAP_COOKIE(function, flags, probe) ((__u64)(function) | (__u64)(flags) << 8 | ((__u64)(probe)&0xfff) << 16)
#define HEAP_COOKIE_FUNCTION(cookie) ((__u32)(cookie)&0xff)
#define HEAP_COOKIE_FLAGS(cookie) ((__u32)((cookie) >> 8) & 0xff)
#define HEAP_COOKIE_PROBE(cookie) ((__u32)((cookie) >> 16) & 0xfff)
#define HEAP_COOKIE_OPERANDS(a, b, c) ((__u64)(a) << 32 | (__u64)(b) << 40 | (__u64)(c) << 48)
#define HEAP_COOKIE_OPERAND(cookie, i) ((__u32)((cookie) >> (32 + 8 * (i))) & 15)

enum {
	HEAP_MALLOC = 1,
	HEAP_CALLOC,
	HEAP_REALLOC,
	HEAP_REALLOCARRAY,
	HEAP_ALIGNED_ALLOC,
	HEAP_POSIX_MEMALIGN,
	HEAP_FREE,
	HEAP_USDT_ALLOC,
	HEAP_USDT_FREE,
	HEAP_LOADER,
};
enum { HEAP_NULL_IS_MALLOC = 1 << 2, HEAP_MOVED = 1 << 3, HEAP_JUMPS = 1 << 4 };

/* Places right after probes, by their offsets in a page: one bit each. */
#define HEAP_AFTER_WORDS (4096 / 64)

#define HEAP_PROCESSES_MAX 1024
#define HEAP_LIVE_MAX 16384
#define HEAP_CALLS_MAX 1024 /* sampled calls that have not returned yet */

/* One of each process that is probed and each CPU; the program counts. emberd says in another map how many bytes apart
 * its samples are to be on average; 0: the gate is closed, only hits are counted. With HEAP_ALLOCATED_ONLY frees are
 * not seen, and what is sampled is not followed. */
#define HEAP_ALLOCATED_ONLY (1ull << 62)
struct heap_counters {
	__s64 countdown; /* bytes until the next sample, drawn for an interval */
	__u64 interval;
	__u64 hits; /* of the probes on allocations and frees */
	__u64 samples;
	__u64 calls;    /* of allocating functions while the gate was open, sampled or not: exact */
	__u64 bytes;    /* of those */
	__u64 frees;    /* of something, by realloc too; of those that came to a probe */
	__u64 ticks;    /* of heap_tick, that came upon it */
	__u64 progress; /* in user mode, by the ticks of heap_tick: nanoseconds, or instructions */
	/* The last call of a function that may end in a jump to another one: its thread, where it was, its stack
	 * pointer and what stood there. */
	__u64 jump_thread, jump_pc, jump_sp, jump_back;
};
_Static_assert(sizeof(struct heap_counters) == 104, "heap_counters");

struct heap_key {
	__u64 address;
	__u32 pid, padding;
};

/* A sample record of the heap source: value = size, object = id of the allocation, period = interval in force, or
 * HEAP_PERIOD_GIVEN | weighted bytes where the allocator has sampled by itself. */
#define HEAP_PERIOD_GIVEN (1ull << 63)

enum {
	RECORD_HEAP_LIVE = RECORD_SOURCE_FIRST + 1, /* the call that id was sampled in has returned address */
	RECORD_HEAP_FREE,                           /* id is freed */
	RECORD_HEAP_EXEC, /* pid runs another program now; its objects are gone. id: not its first thread called it */
	RECORD_HEAP_FORK, /* id is the parent of pid; address of both: when, monotonic */
	RECORD_HEAP_EXIT,
	RECORD_HEAP_LOAD, /* pid has opened or closed libraries */
};

struct heap_record {
	struct record_header header;
	__u64 id;
	__u64 address;
	__u32 pid, padding;
};
_Static_assert(sizeof(struct heap_record) == 32, "heap_record");
