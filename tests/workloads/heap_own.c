/* A whole allocator that is nobody else's: blocks of one size from mappings, under names that Rust's crates give
 * theirs. With LARGER another file of the same kind. */
#include <stddef.h>
#include <sys/mman.h>

void *_rjem_malloc(size_t size);
void _rjem_free(void *p);
#ifdef LARGER
const char larger[4096] = "another file";
#endif
void *late_alloc(size_t size);
void late_free(void *p);

static void *freed;
static char *at, *end;
__attribute__((noinline)) void *_rjem_malloc(size_t size)
{
	void *p = freed;
	if (size > 2048)
		return NULL;
	if (p) {
		freed = *(void **)p;
		return p;
	}
	if (end - at < 2048) {
		at = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		end = at + (1 << 20);
	}
	p = at;
	at += 2048;
	return p;
}
__attribute__((noinline)) void _rjem_free(void *p)
{
	if (!p)
		return;
	*(void **)p = freed;
	freed = p;
}
void *late_alloc(size_t size)
{
	return _rjem_malloc(size);
}
void late_free(void *p)
{
	_rjem_free(p);
}
