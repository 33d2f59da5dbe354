/* The path of a file as its process sees it: names from dentry and mounts, leaf first, up to the process's root. Once
 * for each file that user space has not heard of, so its 3 us do not matter. Reads only; a rename that runs at the same
 * time can mix two paths, which user space notices when it compares the inode. */
#pragma once
#include "bpf/maps.bpf.h"

struct path_walk {
	const struct dentry *dentry;
	const struct mount *mount;
	const struct dentry *root;
	const struct mount *root_mount;
};

static __always_inline const struct mount *mount_of(const struct vfsmount *mnt)
{
	return (const void *)((__u64)mnt - bpf_core_field_offset(struct mount, mnt));
}

/* One component, or one mount. 0: there is more; 1: the root is reached; -1: no room. */
static __always_inline int path_step(struct scratch *s, struct path_walk *w)
{
	const struct dentry *dentry = w->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	const struct mount *mount = w->mount;
	const unsigned char *name;
	__u32 length;
	long n;

	if (dentry == w->root && mount == w->root_mount)
		return 1;
	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root) || dentry == parent) {
		const struct mount *above = BPF_CORE_READ(mount, mnt_parent);

		if (above == mount || !above)
			return 1;
		w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		w->mount = above;
		return 0;
	}
	/* the length lives in memory so that the verifier takes it for any number and joins all runs of the loop */
	length = s->file_record.path_bytes;
	if (length > FILE_RECORD_PATH_BYTES - FILE_RECORD_NAME_BYTES)
		return -1;
	name = BPF_CORE_READ(dentry, d_name.name);
	n = bpf_probe_read_kernel_str(s->path + length, FILE_RECORD_NAME_BYTES, name);
	if (n <= 0)
		return -1;
	s->file_record.path_bytes = length + n;
	w->dentry = parent;
	return 0;
}

/* Where the process sees the file: of a file on overlayfs the kernel maps one that lies in a layer, where nobody looks.
 */
static __always_inline void path_of(struct path_walk *w, const struct file *file)
{
	const struct backing_file___user *backing = (const void *)file;

	if (bpf_core_field_exists(backing->user_path) && (BPF_CORE_READ(file, f_mode) & FMODE_BACKING_FLAG)) {
		w->dentry = BPF_CORE_READ(backing, user_path.dentry);
		w->mount = mount_of(BPF_CORE_READ(backing, user_path.mnt));
	} else {
		w->dentry = BPF_CORE_READ(file, f_path.dentry);
		w->mount = mount_of(BPF_CORE_READ(file, f_path.mnt));
	}
}

/* A memory file stands in no directory: its name alone ("memfd:NAME"). */
static __always_inline void path_of_nowhere(struct scratch *s, const struct dentry *dentry)
{
	long n = bpf_probe_read_kernel_str(s->path, FILE_RECORD_NAME_BYTES, BPF_CORE_READ(dentry, d_name.name));

	s->file_record.path_bytes = n > 0 ? n : 0;
}

/* Writes s->path, s->file_record.path_bytes and flags. */
__noinline int path_write(__u32 slot, __u64 file_address)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct scratch *s = scratch_get(slot);
	struct path_walk w = { 0 };
	const struct dentry *dentry;
	const struct fs_struct *fs;
	int r = 0;

	if (!s)
		return 0;
	s->file_record.path_bytes = 0;
	fs = BPF_CORE_READ(task, fs);
	w.root = BPF_CORE_READ(fs, root.dentry);
	w.root_mount = mount_of(BPF_CORE_READ(fs, root.mnt));
	path_of(&w, (const void *)file_address);
	dentry = w.dentry;
	if (!BPF_CORE_READ(dentry, d_hash.pprev))
		s->file_record.flags |= FILE_RECORD_DELETED;
	for (int i = 0; i < 2 * FILE_RECORD_COMPONENTS && r == 0; i++)
		r = path_step(s, &w);
	if (r != 1) {
		count(COUNTER_PATH_CUT);
		s->file_record.flags |= FILE_RECORD_CUT;
	}
	if (s->file_record.path_bytes == 0)
		path_of_nowhere(s, dentry);
	return 0;
}
