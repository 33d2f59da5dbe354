#include "symbolizer/demangle.h"

#include <assert.h>
#include <setjmp.h>
#include <string.h>
#include <libiberty/demangle.h>

struct output {
	char *to;
	size_t size, max;
	jmp_buf full;
};

/* libiberty offers no way to stop from a callback but not to come back; it holds nothing on the heap meanwhile (its
 * components are on the stack), so a jump out leaks nothing. */
static void append(const char *s, size_t n, void *userdata)
{
	struct output *o = userdata;
	size_t room = o->max - o->size;

	if (n > room) {
		memcpy(o->to + o->size, s, room);
		memcpy(o->to + o->max - 3, "...", 3);
		o->size = o->max;
		longjmp(o->full, 1);
	}
	memcpy(o->to + o->size, s, n);
	o->size += n;
}

static size_t run(
        int (*callback)(const char *, int, demangle_callbackref, void *), const char *name, char *to, size_t max)
{
	struct output o = { .to = to, .max = max };

	if (setjmp(o.full) != 0)
		return max;
	if (!callback(name, DMGL_PARAMS | DMGL_ANSI | DMGL_RET_DROP, append, &o))
		return 0;
	return o.size;
}

size_t demangle(const char *name, char *to, size_t max)
{
	size_t n;

	assert(name);
	assert(max > 3);

	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R') ||
	        strnlen(name, DEMANGLE_INPUT_MAX) == DEMANGLE_INPUT_MAX)
		return 0;
	n = run(rust_demangle_callback, name, to, max); /* refuses what is not Rust; legacy names look like C++ */
	if (n == 0 && name[1] == 'Z')
		n = run(cplus_demangle_v3_callback, name, to, max);
	return n;
}
