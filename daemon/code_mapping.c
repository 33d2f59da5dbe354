/* Code by what a process has mapped: for learning ahead, and for stacks that are finished in user space. */
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/clock.h"
#include "daemon/code_table.h"

/* The key as the kernel will see it; where it does not come out the same (btrfs, overlay) nothing is gained or lost. */
static int key_of(int fd, const struct stat *st, struct file_key *ret)
{
	int generation = 0;

	if (ioctl(fd, FS_IOC_GETVERSION, &generation) < 0)
		return -ENOTTY;
	*ret = (struct file_key){
		.inode = st->st_ino,
		.size_bytes = (uint64_t)st->st_size,
		.mtime_ns = clock_timespec_ns(st->st_mtim),
		.device = (uint32_t)(major(st->st_dev) << 20 | minor(st->st_dev)),
		.generation = (uint32_t)generation,
	};
	return 0;
}

/* Where the file system does not tell the generation: a file that samples have met already. */
static int find_met(const struct code *c, const struct stat *st, uint32_t *ret_index)
{
	for (uint32_t index = FILE_FIRST; index < FILES_MAX; index++) {
		if (c->entries[index] && reach_is_same(&c->entries[index]->key, st)) {
			*ret_index = index;
			return 0;
		}
	}
	return -ENOENT;
}

int code_expect(struct code *c, pid_t pid, const struct proc_mapping *mapping, bool is_sampled, uint32_t *ret_index)
{
	struct code_meeting m = {
		.reach = { .pid = pid, .path = mapping->path, .start = mapping->start, .end = mapping->end },
		.is_sampled = is_sampled,
	};
	_cleanup_close_ int fd = -1;
	char name[128];
	struct stat st;
	int r;

	(void)snprintf(
	        name, sizeof(name), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, mapping->start, mapping->end);
	fd = reach_regular(name, &st);
	if (fd < 0)
		return fd;
	if (key_of(fd, &st, &m.reach.key) < 0)
		return find_met(c, &st, ret_index);
	r = code_allot(c, &m.reach.key, ret_index);
	if (r == 1)
		code_meet(c, *ret_index, &m);
	return r;
}

int code_rule(struct code *c, uint32_t index, uint64_t offset, struct unwind_rule *ret)
{
	const struct code_entry *e = index < FILES_MAX ? c->entries[index] : NULL;
	uint32_t told;
	int r;

	if (!e || e->leaving_ns)
		return -EAGAIN;
	if (e->rows) {
		r = rows_rule(c->rows, e->rows, offset, ret);
		return r < 0 ? CODE_RULE_NONE : CODE_RULE;
	}
	told = code_entry_told(c, index).flags;
	if (told & (FILE_ENTRY_FRAME_POINTERS | FILE_ENTRY_ANONYMOUS))
		return CODE_RULE_FRAME_POINTERS;
	return told & FILE_ENTRY_NO_ROWS ? CODE_RULE_NONE : -EAGAIN;
}
