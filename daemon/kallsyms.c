#include "daemon/kallsyms.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/fd.h"

#define MODULES_BYTES_MAX (1u << 20)
#define COPY_BYTES_MAX (64u << 20)
#define LOOK_LINES 5000

/* Addresses hold for one boot and one set of loaded modules; reference counts are none of it. */
static uint64_t hash_modules(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/modules", "re");
	_cleanup_free_ char *line = NULL;
	uint64_t hash = 0;
	size_t room = 0, bytes = 0;

	while (f && bytes < MODULES_BYTES_MAX && getline(&line, &room, f) > 0) {
		char name[128] = "", address[64] = "";

		bytes += strlen(line);
		(void)sscanf(line, "%127s %*s %*s %*s %*s %63s", name, address);
		hash ^= XXH3_64bits(name, sizeof(name)) * 31 + XXH3_64bits(address, sizeof(address));
	}
	return hash;
}

int kallsyms_name(char ret[KALLSYMS_NAME_MAX])
{
	_cleanup_free_ char *boot = NULL;
	size_t size;
	int r = file_read_all(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, &boot, &size);

	if (r < 0)
		return r;
	(void)snprintf(ret, KALLSYMS_NAME_MAX, "kernel-%.*s-%016llx", (int)strcspn(boot, "\n"), boot,
	        (unsigned long long)hash_modules());
	return strchr(ret, '/') ? -EBADMSG : 0;
}

/* A kernel that hides its addresses (kptr_restrict, no CAP_SYSLOG) shows zeros: what it would answer is nothing, and
 * must not be remembered as the truth. */
static bool is_visible(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/kallsyms", "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	/* Per-CPU symbols stand at 0 in many kernels: one address that does not is enough. */
	for (unsigned i = 0; f && i < LOOK_LINES && getline(&line, &room, f) > 0; i++)
		if (strspn(line, "0") < 16)
			return true;
	return false;
}

int kallsyms_open(void)
{
	int fd;

	if (!is_visible())
		return -EPERM;
	fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int copy_lines(FILE *from, FILE *to)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0, bytes = 0;
	ssize_t n;

	while ((n = getline(&line, &room, from)) > 0) {
		bytes += (size_t)n;
		if (bytes > COPY_BYTES_MAX)
			return -E2BIG;
		if (!strstr(line, "\t[bpf]") && fputs(line, to) == EOF)
			return -EIO;
	}
	return fflush(to) == EOF ? -errno : 0;
}

/* Not synced: after a crash another boot has another name. */
static int make_copy(int dirfd, const char *file)
{
	_cleanup_fclose_ FILE *from = NULL, *to = NULL;
	char temporary[KALLSYMS_NAME_MAX + 64];
	_cleanup_close_ int from_fd = kallsyms_open(), to_fd = -1;
	int r;

	if (from_fd < 0)
		return from_fd;
	(void)snprintf(temporary, sizeof(temporary), ".%s.%d.tmp", file, getpid());
	to_fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to_fd < 0)
		return -errno;
	from = fdopen(from_fd, "r");
	to = fdopen(to_fd, "w");
	from_fd = from ? -1 : from_fd;
	to_fd = to ? -1 : to_fd;
	r = from && to ? copy_lines(from, to) : -ENOMEM;
	if (r == 0 && renameat(dirfd, temporary, dirfd, file) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, temporary, 0);
	return r;
}

int kallsyms_open_copy(int dirfd, const char *name)
{
	char file[KALLSYMS_NAME_MAX + 16];
	int fd, r;

	(void)snprintf(file, sizeof(file), "kallsyms-%s", name);
	fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		return fd;
	r = make_copy(dirfd, file);
	if (r < 0)
		return r;
	fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}
