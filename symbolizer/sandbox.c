#include "symbolizer/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "base/cleanup.h"
#include "base/fd.h"

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release)

static int limit(int resource, uint64_t value)
{
	struct rlimit l = { .rlim_cur = value, .rlim_max = value }, now;

	if (getrlimit(resource, &now) < 0)
		return -errno;
	if (now.rlim_max < value) /* raising needs a privilege, and is not wanted */
		l.rlim_cur = l.rlim_max = now.rlim_max;
	return setrlimit(resource, &l) < 0 ? -errno : 0;
}

/* A sanitizer's shadow memory alone is larger than any limit: where the process is over it already, there is none. */
static int limit_memory(uint64_t bytes)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long pages = 0;
	int r;

	if (bytes == 0)
		return 0;
	r = file_read_all(AT_FDCWD, "/proc/self/statm", 4096, &text, NULL);
	if (r == 0)
		pages = strtoull(text, NULL, 10);
	if (pages * (unsigned long long)sysconf(_SC_PAGESIZE) >= bytes)
		return 0;
	return limit(RLIMIT_AS, bytes);
}

static int limit_resources(const struct sandbox_limits *limits)
{
	const struct {
		int resource;
		uint64_t value;
	} table[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NPROC, 0 },
		{ RLIMIT_NOFILE, 32 },
		{ RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_FSIZE, limits->file_bytes },
		{ RLIMIT_STACK, 8 << 20 },
		{ RLIMIT_CPU, limits->cpu_seconds },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int r = limit((int)table[i].resource, table[i].value);

		if (r < 0)
			return r;
	}
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR) /* EFBIG instead */
		return -errno;
	return limit_memory(limits->memory_bytes);
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Without CAP_SETPCAP neither step can be taken, nor is it needed: no_new_privs and an empty permitted set
	 * hold. */
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		(void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
	(void)prctl(PR_SET_SECUREBITS, SECURE_ALL_BITS | SECURE_ALL_LOCKS, 0, 0, 0);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* A rule set that handles every access right the kernel knows and allows none. */
static int deny_files(void)
{
	struct landlock_ruleset_attr attr = { 0 };
	_cleanup_close_ int fd = -1;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	/* Version 1 has 13 rights, 2 adds REFER, 3 TRUNCATE, 5 IOCTL_DEV. */
	attr.handled_access_fs = (1ull << (abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13)) - 1;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return -errno;
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

static int allow(scmp_filter_ctx filter)
{
	static const int calls[] = {
		SCMP_SYS(read),
		SCMP_SYS(pread64),
		SCMP_SYS(write),
		SCMP_SYS(pwrite64),
		SCMP_SYS(recvmsg),
		SCMP_SYS(sendmsg),
		SCMP_SYS(munmap),
		SCMP_SYS(mremap),
		SCMP_SYS(brk),
		SCMP_SYS(madvise),
		SCMP_SYS(close),
		SCMP_SYS(fstat),
		SCMP_SYS(lseek),
		SCMP_SYS(ftruncate),
		SCMP_SYS(futex),
		SCMP_SYS(clock_gettime),
		SCMP_SYS(sysinfo),
		SCMP_SYS(getrandom),
		SCMP_SYS(sched_yield),
		SCMP_SYS(restart_syscall),
		SCMP_SYS(rt_sigreturn),
		SCMP_SYS(sigaltstack), /* a sanitizer looks at it before exit */
		SCMP_SYS(exit),
		SCMP_SYS(exit_group),
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
		if (r < 0)
			return r;
	}
	/* glibc's fstat(). The flag does not forbid a path, Landlock does not either: a name's existence is all it
	 * tells. */
	r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
	        SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	if (r < 0)
		return r;
	/* Memory: never executable, and never shared and writable, so that an answer can be sealed. */
	r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r < 0)
		return r;
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
	        SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_TYPE, MAP_PRIVATE));
}

/* Libraries look for files they can do without (a debug link, a locale): they are told that there is none. */
static int refuse_softly(scmp_filter_ctx filter)
{
	static const int calls[] = {
		SCMP_SYS(open),
		SCMP_SYS(openat),
		SCMP_SYS(access),
		SCMP_SYS(faccessat),
		SCMP_SYS(faccessat2),
		SCMP_SYS(readlink),
		SCMP_SYS(readlinkat),
		SCMP_SYS(stat),
		SCMP_SYS(lstat),
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), calls[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

static int deny_calls(void)
{
	_cleanup_(seccomp_releasep) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!filter)
		return -ENOMEM;
	r = allow(filter);
	if (r < 0)
		return r;
	r = refuse_softly(filter);
	if (r < 0)
		return r;
	return seccomp_load(filter);
}

int sandbox_enter(const struct sandbox_limits *limits)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	r = limit_resources(limits); /* reads /proc */
	if (r < 0)
		return r;
	r = deny_files();
	if (r < 0)
		return r;
	r = drop_capabilities();
	if (r < 0)
		return r;
	return deny_calls();
}
