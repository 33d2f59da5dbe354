/* Ownership that a reader can prove inside one function: cleanup attributes and TAKE_.
 * Habit and names as systemd has them (src/fundamental/cleanup-fundamental.h). */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <errno.h>
#include <dirent.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _unused_ __attribute__((unused))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

/* Defines FUNCp(TYPE *), the cleanup handler of an owning local, from TYPE FUNC(TYPE) or void FUNC(TYPE). */
#define DEFINE_CLEANUP(type, func)                                                                                     \
	_unused_ static inline void func##p(type *p)                                                                   \
	{                                                                                                              \
		if (*p) {                                                                                              \
			func(*p);                                                                                      \
			*p = NULL;                                                                                     \
		}                                                                                                      \
	}

#define TAKE_PTR(p)                                                                                                    \
	({                                                                                                             \
		__typeof__(p) _take_p = (p);                                                                           \
		(p) = NULL;                                                                                            \
		_take_p;                                                                                               \
	})

#define TAKE_FD(fd)                                                                                                    \
	({                                                                                                             \
		int _take_fd = (fd);                                                                                   \
		(fd) = -1;                                                                                             \
		_take_fd;                                                                                              \
	})

_unused_ static inline void freep(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

/* Keeps errno, so a cleanup never hides the error that is being returned. Returns -1 for "fd = close_fd(fd)". */
_unused_ static inline int close_fd(int fd)
{
	if (fd >= 0) {
		int saved = errno;
		(void)close(fd);
		errno = saved;
	}
	return -1;
}

_unused_ static inline void close_fdp(int *fd)
{
	*fd = close_fd(*fd);
}

DEFINE_CLEANUP(FILE *, fclose)
DEFINE_CLEANUP(DIR *, closedir)

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument is evaluated once; the numbered names let one stand inside another. */
#define CONCATENATE_(a, b) a##b
#define CONCATENATE(a, b) CONCATENATE_(a, b)
#define PICK_(a, op, b, n)                                                                                             \
	({                                                                                                             \
		__typeof__(a) CONCATENATE(_a_, n) = (a);                                                               \
		__typeof__(b) CONCATENATE(_b_, n) = (b);                                                               \
		CONCATENATE(_a_, n) op CONCATENATE(_b_, n) ? CONCATENATE(_a_, n) : CONCATENATE(_b_, n);                \
	})
#define MIN(a, b) PICK_(a, <, b, __COUNTER__)
#define MAX(a, b) PICK_(a, >, b, __COUNTER__)
