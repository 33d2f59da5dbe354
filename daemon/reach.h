/* Reaching the file that a mapping or an executable is of, and making sure that it is that one: through the process's
 * map_files, its exe link, its root, or the path as it stands. Anything but a regular file with the inode, size and
 * modification time that the kernel told is refused, so a replaced file, a FIFO or a device is never read. On
 * overlayfs, whose numbers of inodes are made up, the other two must do. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "bpf/abi.h"

struct reach {
	struct file_key key;
	bool has_inode_only; /* of the key, as /proc/PID/maps tells it */
	pid_t pid;           /* 0: none */
	const char *path;    /* as the process sees it */
	uint64_t start, end; /* of the mapping; 0, 0: none */
	bool is_exe;
};

/* An O_RDONLY descriptor that belongs to the caller. -ENOENT: no way leads there; -ESTALE: a way led to another file.
 */
int reach_open(const struct reach *r);
/* Opens a regular file, whoever put it there: looks first, by O_PATH, because opening a FIFO or a device has effects.
 * -ESTALE: it is none. */
int reach_regular(const char *path, struct stat *ret);
/* Whether the path alone leads to the file from where we are (same mount namespace, not deleted or replaced). */
bool reach_by_path(const struct reach *r);
bool reach_is_same(const struct file_key *key, const struct stat *st);

/* Names leaf first, each ended by a NUL, as a file record has them -> "/a/b/c". Control bytes become '?'. Returns the
 * length, -EBADMSG where the record is malformed. */
int reach_path(const char *names, size_t size, char *path, size_t room);
