#include "daemon/forks.h"

#include <assert.h>
#include <stdlib.h>

#include "base/fd.h"
#include "daemon/process.h"

struct fork {
	uint64_t child_start_ns;
	uint32_t parent, child;
};

struct forks {
	size_t n, n_max;
	struct fork waiting[];
};

int forks_new(size_t n_max, struct forks **ret)
{
	struct forks *f;

	assert(ret);

	f = calloc(1, sizeof(*f) + n_max * sizeof(f->waiting[0]));
	if (!f)
		return -ENOMEM;
	f->n_max = n_max;
	*ret = f;
	return 0;
}

struct forks *forks_free(struct forks *f)
{
	free(f);
	return NULL;
}

int forks_add(struct forks *f, uint32_t parent, uint32_t child, uint64_t child_start_ns)
{
	assert(f);

	if (f->n == f->n_max)
		return -ENOSPC;
	f->waiting[f->n++] = (struct fork){ .child_start_ns = child_start_ns, .parent = parent, .child = child };
	return 0;
}

void forks_settle(struct forks *f, int proc_dirfd, forks_each_t each, void *userdata)
{
	assert(f);
	assert(each);

	for (size_t i = 0; i < f->n; i++) {
		const struct fork *w = &f->waiting[i];
		_cleanup_close_ int dirfd = process_open(proc_dirfd, w->child, w->child_start_ns);

		if (dirfd >= 0)
			each(userdata, w->parent, w->child, w->child_start_ns);
	}
	f->n = 0;
}
