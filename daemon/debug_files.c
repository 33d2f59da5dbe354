#include "daemon/debug_files.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#include "base/clock.h"
#include "base/fd.h"
#include "daemon/reach.h"

static void add(struct debug_files *d, const struct code_file *f, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	uint64_t version[5];

	if (d->n == SYMBOLIZER_DEBUG_FILES_MAX)
		return;
	fd = reach_regular(path, &st);
	if (fd < 0 || (st.st_ino == f->inode && (uint64_t)st.st_size == f->size_bytes)) /* a link to itself */
		return;
	version[0] = d->version;
	version[1] = st.st_dev;
	version[2] = st.st_ino;
	version[3] = (uint64_t)st.st_size;
	version[4] = clock_timespec_ns(st.st_mtim);
	d->version = XXH3_64bits(version, sizeof(version));
	d->fds[d->n++] = TAKE_FD(fd);
}

_printf_(3, 4) static void add_path(struct debug_files *d, const struct code_file *f, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(path))
		add(d, f, path);
}

static void add_by_build_id(
        struct debug_files *d, const struct code_file *f, char *const *directories, size_t n_directories)
{
	if (f->identity.build_id_size == 0 || strlen(f->file_id) < 3 || strchr(f->file_id, '/'))
		return;
	for (size_t i = 0; i < n_directories; i++)
		add_path(d, f, "%s/.build-id/%.2s/%s.debug", directories[i], f->file_id, f->file_id + 2);
}

static void add_by_link(
        struct debug_files *d, const struct code_file *f, char *const *directories, size_t n_directories)
{
	const char *slash = strrchr(f->path, '/'), *name = f->identity.debug_link;
	int n = slash ? (int)(slash - f->path) : 0;

	if (f->path[0] != '/' || !name[0])
		return;
	add_path(d, f, "%.*s/%s", n, f->path, name);
	add_path(d, f, "%.*s/.debug/%s", n, f->path, name);
	for (size_t i = 0; i < n_directories; i++)
		add_path(d, f, "%s%.*s/%s", directories[i], n, f->path, name);
}

void debug_files_find(
        const struct code_file *f, char *const *directories, size_t n_directories, struct debug_files *ret)
{
	struct debug_files d = { 0 };

	if (!(f->identity.flags & IDENTITY_HAS_DEBUG_INFO)) {
		add_by_build_id(&d, f, directories, n_directories);
		add_by_link(&d, f, directories, n_directories);
	}
	*ret = d;
}

void debug_files_done(struct debug_files *d)
{
	for (size_t i = 0; i < d->n; i++)
		close_fd(d->fds[i]);
	d->n = 0;
}
