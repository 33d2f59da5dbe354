#include "base/fd.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

int fd_read_full(int fd, void *buffer, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t k = read(fd, (char *)buffer + done, n - done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -EIO;
		done += (size_t)k;
	}
	return 0;
}

int fd_write_full(int fd, const void *buffer, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t k = write(fd, (const char *)buffer + done, n - done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		done += (size_t)k;
	}
	return 0;
}

int fd_pread_full(int fd, void *buffer, size_t n, uint64_t offset)
{
	for (size_t done = 0; done < n;) {
		ssize_t k = pread(fd, (char *)buffer + done, n - done, (off_t)(offset + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -EIO;
		done += (size_t)k;
	}
	return 0;
}

int fd_pwrite_full(int fd, const void *buffer, size_t n, uint64_t offset)
{
	for (size_t done = 0; done < n;) {
		ssize_t k = pwrite(fd, (const char *)buffer + done, n - done, (off_t)(offset + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		done += (size_t)k;
	}
	return 0;
}

int fd_read_all(int fd, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *data = NULL;
	size_t size = 0, room = 0;
	struct stat st;

	assert(ret);

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		room = MIN((size_t)st.st_size, max);
	room = MAX(room, (size_t)4000) + 2;
	for (;;) {
		char *bigger;
		ssize_t k;

		if (!data || size + 1 >= room) {
			room = data ? room * 2 : room;
			bigger = realloc(data, room);
			if (!bigger)
				return -ENOMEM;
			data = bigger;
		}
		k = read(fd, data + size, room - size - 1);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		size += (size_t)k;
		if (size > max)
			return -E2BIG;
	}
	data[size] = 0;
	*ret = TAKE_PTR(data);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int file_read_all(int dirfd, const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	return fd_read_all(fd, max, ret, ret_size);
}

static int sync_parent(int dirfd, const char *name)
{
	_cleanup_free_ char *copy = strdup(name);
	_cleanup_close_ int fd = -1;
	char *slash;

	if (!copy)
		return -ENOMEM;
	slash = strrchr(copy, '/');
	if (slash)
		*slash = 0;
	fd = openat(dirfd, slash ? (slash == copy ? "/" : copy) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

int fd_write_parts(int fd, const struct iovec *parts, size_t n_parts)
{
	for (size_t i = 0; i < n_parts; i++) {
		int r = fd_write_full(fd, parts[i].iov_base, parts[i].iov_len);

		if (r < 0)
			return r;
	}
	return 0;
}

static int write_new(int dirfd, const char *name, const struct iovec *parts, size_t n_parts, mode_t mode, bool sync)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_parts(fd, parts, n_parts);
	if (r < 0)
		return r;
	return sync && fsync(fd) < 0 ? -errno : 0;
}

static int replace(int dirfd, const char *name, const struct iovec *parts, size_t n_parts, mode_t mode, bool sync)
{
	_cleanup_free_ char *temporary = NULL;
	uint64_t nonce;
	int r;

	assert(name);

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return -errno;
	if (asprintf(&temporary, "%s.tmp-%016llx", name, (unsigned long long)nonce) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	r = write_new(dirfd, temporary, parts, n_parts, mode, sync);
	if (r >= 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, temporary, 0);
		return r;
	}
	return sync ? sync_parent(dirfd, name) : 0;
}

int file_write_atomic(int dirfd, const char *name, const void *data, size_t n, mode_t mode)
{
	const struct iovec part = { .iov_base = (void *)data, .iov_len = n };

	return replace(dirfd, name, &part, 1, mode, true);
}

int file_replace(int dirfd, const char *name, const struct iovec *parts, size_t n_parts, mode_t mode)
{
	return replace(dirfd, name, parts, n_parts, mode, false);
}

int dir_make(int dirfd, const char *path, mode_t mode)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *copy; p++) {
		char c = *p;

		if (c != '/' && c)
			continue;
		*p = 0;
		if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (!c)
			break;
	}
	return 0;
}

int socket_send_fds(int fd, const void *data, size_t n, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * SOCKET_FDS_MAX)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t k;

	if (n_fds > SOCKET_FDS_MAX)
		return -E2BIG;
	if (n_fds) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int) * n_fds)
		};
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
	}
	do
		k = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return -errno;
	if ((size_t)k < n)
		return fd_write_full(fd, (const char *)data + k, n - (size_t)k);
	return 0;
}

/* CMSG_NXTHDR compares unsigned with signed inside its macro; clang's -Wsign-compare objects to the system header. */
static void take_fds(struct msghdr *m, int *ret_fds, size_t max_fds, size_t *count)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*count < max_fds)
				ret_fds[(*count)++] = fd;
			else
				(void)close_fd(fd);
		}
	}
}

ssize_t socket_recv_fds(int fd, void *data, size_t n, int *ret_fds, size_t max_fds, size_t *ret_n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * SOCKET_FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = n };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	size_t count = 0;
	ssize_t k;

	do
		k = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return -errno;
	take_fds(&m, ret_fds, max_fds, &count);
	if (ret_n_fds)
		*ret_n_fds = count;
	return k;
}
