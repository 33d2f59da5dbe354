#include "daemon/heap_sites.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <xxhash.h>

#include "daemon/symbolizer.h"
#include "symbolizer/answer.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, size, value) ((value) = (unsigned)XXH3_64bits((key), (size)))
#include <uthash.h>

struct file_id {
	uint64_t device, inode, size_bytes, mtime_ns;
};

struct file {
	struct file_id id;
	struct heap_sites *owner; /* NULL: nobody waits for the answer any more */
	struct heap_allocator allocator;
	bool is_known;
	UT_hash_handle hh;
};

struct heap_sites {
	struct symbolizer *symbolizer;
	void (*ready)(void *userdata);
	void *userdata;
	struct file *files;
};

int heap_sites_new(
        struct symbolizer *symbolizer, void (*ready)(void *userdata), void *userdata, struct heap_sites **ret)
{
	struct heap_sites *h;

	assert(symbolizer);
	assert(ret);

	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	*h = (struct heap_sites){ .symbolizer = symbolizer, .ready = ready, .userdata = userdata };
	*ret = h;
	return 0;
}

static void file_free(struct file *f)
{
	(void)close_fd(f->allocator.fd);
	free((void *)f->allocator.sites);
	free(f);
}

DEFINE_CLEANUP(struct file *, file_free)

struct heap_sites *heap_sites_free(struct heap_sites *h)
{
	struct file *f, *next;

	if (!h)
		return NULL;
	HASH_ITER (hh, h->files, f, next) {
		HASH_DEL(h->files, f);
		if (f->is_known)
			file_free(f);
		else
			f->owner = NULL; /* the answer frees it */
	}
	free(h);
	return NULL;
}

static void keep_sites(struct file *f, const struct site *sites, uint32_t n)
{
	struct site *copy = malloc(n * sizeof(*copy));

	if (!copy)
		return;
	memcpy(copy, sites, n * sizeof(*copy));
	f->allocator.sites = copy;
	f->allocator.n_sites = n;
}

static void on_answer(void *userdata, int result, const void *answer, size_t bytes)
{
	struct file *f = userdata;
	const struct site *sites;
	uint32_t n = 0;

	if (!f->owner) {
		file_free(f);
		return;
	}
	f->is_known = true; /* a file that cannot be read has no allocator for us */
	if (result >= 0 && answer_sites(answer, bytes, &sites, &n) >= 0 && n > 0)
		keep_sites(f, sites, n);
	if (f->allocator.n_sites == 0)
		f->allocator.fd = close_fd(f->allocator.fd);
	f->owner->ready(f->owner->userdata);
}

static int ask(struct heap_sites *h, const struct file_id *id, int fd)
{
	_cleanup_(file_freep) struct file *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->id = *id;
	f->owner = h;
	f->allocator.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (f->allocator.fd < 0)
		return -errno;
	if (HASH_COUNT(h->files) >= HEAP_SITES_FILES_MAX)
		return -ENOSPC;
	HASH_ADD(hh, h->files, id, sizeof(f->id), f);
	if (!f->hh.tbl)
		return -ENOMEM;
	r = symbolizer_request(h->symbolizer, SYMBOLIZER_SITES, 0, &fd, 1, NULL, 0, on_answer, f);
	if (r < 0) {
		HASH_DEL(h->files, f);
		return r;
	}
	(void)TAKE_PTR(f);
	return -EAGAIN;
}

int heap_sites_get(struct heap_sites *h, int fd, const struct stat *st, const struct heap_allocator **ret)
{
	struct file_id id = {
		.device = st->st_dev,
		.inode = st->st_ino,
		.size_bytes = (uint64_t)st->st_size,
		.mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000ull + (uint64_t)st->st_mtim.tv_nsec,
	};
	struct file *f;

	HASH_FIND(hh, h->files, &id, sizeof(id), f);
	if (!f)
		return ask(h, &id, fd);
	if (!f->is_known)
		return -EAGAIN;
	*ret = f->allocator.n_sites ? &f->allocator : NULL;
	return 0;
}

unsigned heap_site_kind(const struct site *s)
{
	if (s->function == SITE_USDT_ALLOC || s->function == SITE_USDT_FREE)
		return HEAP_KIND_USDT;
	if (s->function == SITE_LOADER)
		return HEAP_KIND_LOADER;
	return s->function == SITE_FREE ? HEAP_KIND_FREE : HEAP_KIND_CALL;
}

bool heap_site_may_probe(const struct site *s, bool may_step)
{
	return may_step || (s->flags & SITE_EMULATED);
}

unsigned heap_allocator_kinds(const struct heap_allocator *a)
{
	unsigned kinds = 0;

	for (uint32_t i = 0; i < a->n_sites; i++)
		kinds |= heap_site_kind(&a->sites[i]);
	return kinds;
}

unsigned heap_allocator_kinds_wanted(const struct heap_allocator *a)
{
	unsigned kinds = heap_allocator_kinds(a);

	return kinds & (kinds & HEAP_KIND_USDT ? HEAP_KIND_USDT : HEAP_KIND_FREE | HEAP_KIND_CALL);
}
