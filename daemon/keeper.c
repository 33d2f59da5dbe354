#include "daemon/keeper.h"

#include <assert.h>
#include <string.h>

#include "base/intern.h"

/* What is interned; every byte of it counts, so padding is explicit and zeroed. */
struct kept {
	uint64_t process_start_ns, cgroup_id;
	const char *truncated; /* a literal: equal texts are one pointer */
	uint32_t pid, tid, exe, n_user;
	char comm[SAMPLE_COMM_MAX], thread[SAMPLE_COMM_MAX];
	struct user_frame user[];
};

struct keeper {
	struct intern *samples;
};

int keeper_new(uint32_t samples_max, size_t bytes_max, struct keeper **ret)
{
	_cleanup_(keeper_freep) struct keeper *k = NULL;
	int r;

	assert(ret);

	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	r = intern_new(samples_max, bytes_max, &k->samples);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(k);
	return 0;
}

struct keeper *keeper_free(struct keeper *k)
{
	if (!k)
		return NULL;
	(void)intern_free(k->samples);
	free(k);
	return NULL;
}

int keeper_put(struct keeper *k, const struct sample *s, uint32_t *ret_id)
{
	size_t frames_bytes = s->n_user * sizeof(*s->user), size = sizeof(struct kept) + frames_bytes;
	_cleanup_free_ struct kept *kept = calloc(1, size);
	int r;

	if (!kept)
		return -ENOMEM;
	kept->process_start_ns = s->process_start_ns;
	kept->cgroup_id = s->cgroup_id;
	kept->truncated = s->truncated;
	kept->pid = s->pid;
	kept->tid = s->tid;
	kept->exe = s->exe;
	kept->n_user = (uint32_t)s->n_user;
	memcpy(kept->comm, s->comm, sizeof(kept->comm));
	memcpy(kept->thread, s->thread, sizeof(kept->thread));
	if (frames_bytes)
		memcpy(kept->user, s->user, frames_bytes);
	r = intern_put(k->samples, kept, size, ret_id);
	return r < 0 ? r : 0;
}

void keeper_get(const struct keeper *k, uint32_t id, struct sample *ret)
{
	const struct kept *kept = intern_get(k->samples, id, NULL);

	*ret = (struct sample){
		.pid = kept->pid,
		.tid = kept->tid,
		.process_start_ns = kept->process_start_ns,
		.cgroup_id = kept->cgroup_id,
		.exe = kept->exe,
		.user = kept->user,
		.n_user = kept->n_user,
		.truncated = kept->truncated,
	};
	memcpy(ret->comm, kept->comm, sizeof(ret->comm));
	memcpy(ret->thread, kept->thread, sizeof(ret->thread));
}

int keeper_copy(struct keeper *to, const struct keeper *from, uint32_t id, uint32_t *ret_id)
{
	size_t size;
	const void *kept = intern_get(from->samples, id, &size);
	int r = intern_put(to->samples, kept, size, ret_id);

	return r < 0 ? r : 0;
}

uint32_t keeper_count(const struct keeper *k)
{
	return intern_count(k->samples);
}

size_t keeper_bytes(const struct keeper *k)
{
	return sizeof(*k) + intern_bytes(k->samples);
}
