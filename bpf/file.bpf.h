/* Files get their index here, when a sample first meets them, so no frame is ever of an unknown file; user space learns
 * of them by an event with the path, repeated until it has answered. */
#pragma once
#include "bpf/maps.bpf.h"
#include "bpf/path.bpf.h"

#define MTIME_NS_MASK 0x3fffffff /* newer kernels keep flags above */

static __always_inline __u64 inode_mtime_ns(const struct inode *inode)
{
	const struct inode___mtime_split *split = (const void *)inode;
	const struct inode___mtime_renamed *renamed = (const void *)inode;
	const struct inode___mtime *plain = (const void *)inode;
	__u64 seconds, ns;

	if (bpf_core_field_exists(split->i_mtime_sec)) {
		seconds = BPF_CORE_READ(split, i_mtime_sec);
		ns = BPF_CORE_READ(split, i_mtime_nsec);
	} else if (bpf_core_field_exists(renamed->__i_mtime)) {
		seconds = BPF_CORE_READ(renamed, __i_mtime.tv_sec);
		ns = BPF_CORE_READ(renamed, __i_mtime.tv_nsec);
	} else {
		seconds = BPF_CORE_READ(plain, i_mtime.tv_sec);
		ns = BPF_CORE_READ(plain, i_mtime.tv_nsec);
	}
	return seconds * 1000000000ull + (ns & MTIME_NS_MASK);
}

static __always_inline void file_key_read(struct file_key *key, const struct file *file)
{
	const struct inode *inode = BPF_CORE_READ(file, f_inode);

	key->inode = BPF_CORE_READ(inode, i_ino);
	key->size_bytes = BPF_CORE_READ(inode, i_size);
	key->mtime_ns = inode_mtime_ns(inode);
	key->device = BPF_CORE_READ(inode, i_sb, s_dev);
	key->generation = BPF_CORE_READ(inode, i_generation);
}

/* Sends the file event of s->file_record.key. */
__noinline int file_announce(__u32 slot, __u64 file_address, __u32 index)
{
	struct scratch *s = scratch_get(slot);
	__u32 length, size;

	if (!s)
		return 0;
	path_write(slot, file_address);
	length = s->file_record.path_bytes;
	if (length > FILE_RECORD_PATH_BYTES)
		length = FILE_RECORD_PATH_BYTES;
	size = sizeof(s->file_record) + length;
	s->file_record.header.kind = RECORD_FILE;
	s->file_record.header.profile = 0;
	s->file_record.header.size_bytes = size;
	s->file_record.index = index;
	s->file_record.pid = bpf_get_current_pid_tgid() >> 32;
	if (bpf_ringbuf_output(&ring, &s->file_record, size, BPF_RB_FORCE_WAKEUP) != 0) {
		count(COUNTER_FILE_EVENTS_LOST);
		return -1;
	}
	count(COUNTER_FILE_EVENTS);
	return 0;
}

static __always_inline __u32 file_insert(const struct file_key *key)
{
	__u32 index = 0, *found;

	if (bpf_map_pop_elem(&free_files, &index) != 0) {
		count(COUNTER_FILES_FULL);
		return FILE_UNKNOWN;
	}
	if (bpf_map_update_elem(&files, key, &index, BPF_NOEXIST) == 0)
		return index;
	/* another CPU was first, or the table is full */
	count(COUNTER_FILE_RACE);
	bpf_map_push_elem(&free_files, &index, BPF_ANY);
	found = bpf_map_lookup_elem(&files, key);
	return found ? *found : FILE_UNKNOWN;
}

/* The index of a struct file, allotted where it is new; *ret_flags: FILE_ENTRY_*. */
static __always_inline __u32 file_index(
        __u32 slot, struct scratch *s, const struct file *file, __u32 record_flags, __u32 *ret_flags)
{
	struct file_key *key = &s->file_record.key;
	struct file_entry *entry;
	__u32 *found, index;

	file_key_read(key, file);
	found = bpf_map_lookup_elem(&files, key);
	index = found ? *found : file_insert(key);
	entry = bpf_map_lookup_elem(&file_table, &index);
	if (!entry)
		return FILE_UNKNOWN;
	if (entry->used != s->now)
		entry->used = s->now;
	*ret_flags = entry->flags;
	if (index >= FILE_FIRST && (entry->flags & FILE_ENTRY_KNOWN) == 0 && (__s32)(s->now - entry->asked) >= 0) {
		s->file_record.flags = record_flags;
		entry->asked = s->now + 2;
		if (file_announce(slot, (__u64)file, index) < 0)
			entry->asked = s->now;
	}
	return index;
}
