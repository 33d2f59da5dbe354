/* The few kernel types that our BPF programs read, so that a build host needs no BTF and no kernel headers. libbpf
 * moves each field to where the running kernel has it (CO-RE); a struct ___name is another kernel's form of the same
 * type. With -Dvmlinux_h=PATH a generated header stands in for the first part. */
#pragma once

#ifdef VMLINUX_H
#include VMLINUX_H
#else
#define __VMLINUX_H__ /* abi.h must not include <linux/types.h> */

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
enum { false = 0, true = 1 };

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_USER_STACK = 256 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };

/* The context of perf_event programs is user ABI: fixed, never moved. */
#if defined(__TARGET_ARCH_x86)
struct bpf_perf_event_data {
	struct {
		__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
	} regs;
	__u64 sample_period;
	__u64 addr;
};
#elif defined(__TARGET_ARCH_arm64)
struct bpf_perf_event_data {
	struct {
		__u64 regs[31], sp, pc, pstate;
	} regs;
	__u64 sample_period;
	__u64 addr;
};
#endif

/* The registers as a uprobe's program gets them: the context, whose layout the kernel keeps (user ABI). */
#if defined(__TARGET_ARCH_x86)
struct uprobe_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct uprobe_regs {
	__u64 regs[31], sp, pc, pstate;
};
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip;
	u16 cs;
	unsigned long flags, sp;
	u16 ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31], sp, pc, pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
};
#endif

struct qstr {
	union {
		struct {
			u32 hash, len;
		};
		u64 hash_len;
	};
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
};

struct inode;
struct super_block {
	u32 s_dev;
	unsigned long s_magic;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	long long i_size;
	u32 i_generation;
};

struct file {
	unsigned int f_mode;
	struct inode *f_inode;
	struct path f_path;
};

struct maple_tree {
	void *ma_root;
};

struct maple_metadata {
	unsigned char end, gap;
};

struct maple_range_64 {
	unsigned long pivot[15];
	union {
		void *slot[16];
		struct {
			void *pad[15];
			struct maple_metadata meta;
		};
	};
};

struct maple_arange_64 {
	unsigned long pivot[9];
	void *slot[10];
	unsigned long gap[10];
	struct maple_metadata meta;
};

enum maple_type { maple_dense = 0, maple_leaf_64 = 1, maple_range_64 = 2, maple_arange_64 = 3 };

struct mm_struct;
struct vm_area_struct {
	unsigned long vm_start, vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
};

typedef struct {
	void *vdso;
} mm_context_t;

struct xol_area {
	unsigned long vaddr;
};

struct uprobes_state {
	struct xol_area *xol_area;
};

struct return_instance {
	unsigned long stack, orig_ret_vaddr;
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

struct mm_struct {
	struct maple_tree mm_mt;
	struct file *exe_file;
	mm_context_t context;
	struct uprobes_state uprobes_state;
	unsigned long start_stack;
};

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase;
};
#endif

struct fs_struct {
	struct path root;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct task_struct {
	unsigned int flags;
	int pid, tgid;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	char comm[16];
	u64 start_boottime;
	struct fs_struct *fs;
	struct signal_struct *signal;
	struct uprobe_task *utask;
	unsigned long min_flt;
#if defined(__TARGET_ARCH_x86)
	struct thread_struct thread;
#endif
};

#pragma clang attribute pop

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};
#endif

/* ---- other kernels' forms ---- */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct timespec64___any {
	long long tv_sec;
	long tv_nsec;
};

struct inode___mtime_split { /* 6.11 and later */
	long long i_mtime_sec;
	u32 i_mtime_nsec;
};

struct inode___mtime_renamed { /* 6.7 to 6.10 */
	struct timespec64___any __i_mtime;
};

struct inode___mtime { /* before */
	struct timespec64___any i_mtime;
};

struct backing_file___user { /* 6.8 and later: what is mapped where a file on overlayfs is */
	struct path user_path;
};

struct rb_node___old {
	struct rb_node___old *rb_right, *rb_left;
};

struct rb_root___old {
	struct rb_node___old *rb_node;
};

struct mm_struct___old { /* before 6.1: a red-black tree of VMAs */
	struct rb_root___old mm_rb;
};

struct vm_area_struct___old {
	struct rb_node___old vm_rb;
};

#pragma clang attribute pop

#define PF_KTHREAD_FLAG 0x00200000
#define PF_EXITING_FLAG 0x00000004
#define FMODE_BACKING_FLAG (1u << 25)
