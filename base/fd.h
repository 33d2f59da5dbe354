/* Whole reads and writes, atomic files, and file descriptors passed over Unix sockets. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "base/cleanup.h"

/* Reads or writes all of n bytes; -EIO on a short read, -errno else. */
int fd_read_full(int fd, void *buffer, size_t n);
int fd_write_full(int fd, const void *buffer, size_t n);
int fd_write_parts(int fd, const struct iovec *parts, size_t n_parts);
int fd_pread_full(int fd, void *buffer, size_t n, uint64_t offset);
int fd_pwrite_full(int fd, const void *buffer, size_t n, uint64_t offset);

/* Reads to the end, at most max bytes (-E2BIG beyond). *ret is NUL-terminated (the NUL is not counted) and belongs to
 * the caller. Works for files without a size, as in /proc. */
int fd_read_all(int fd, size_t max, char **ret, size_t *ret_size);
int file_read_all(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size);

/* Writes a file that is there whole or not at all: a temporary name in the same directory, fsync of the file, rename,
 * fsync of the directory. */
int file_write_atomic(int dirfd, const char *name, const void *data, size_t n, mode_t mode);
/* The same without a sync, from several parts: for caches whose readers can tell a file that a crash has damaged. */
int file_replace(int dirfd, const char *name, const struct iovec *parts, size_t n_parts, mode_t mode);

/* mkdir -p below dirfd. 0 also where it exists. */
int dir_make(int dirfd, const char *path, mode_t mode);

/* One message of at most SOCKET_FDS_MAX descriptors. fds are borrowed on sending; received ones are O_CLOEXEC and
 * belong to the caller. Receiving returns the bytes read, 0 at the end of the stream; descriptors beyond max_fds are
 * closed. */
#define SOCKET_FDS_MAX 8
int socket_send_fds(int fd, const void *data, size_t n, const int *fds, size_t n_fds);
ssize_t socket_recv_fds(int fd, void *data, size_t n, int *ret_fds, size_t max_fds, size_t *ret_n_fds);
