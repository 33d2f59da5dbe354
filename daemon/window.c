#include "daemon/window.h"

#include <assert.h>
#include <string.h>

#include "base/intern.h"

/* Head of a stack's key; the frames' ids follow. */
#define STACK_HEAD 1
#define REASONS_MAX 64
#define COMPLETE UINT32_MAX

struct window {
	struct intern *frames, *stacks, *labels, *samples, *processes, *reasons;
	int64_t *values; /* n_values a sample */
	size_t n_values, room_samples, bytes_max;
	struct window_counts counts;
};

int window_new(size_t n_values, size_t bytes_max, struct window **ret)
{
	_cleanup_(window_freep) struct window *w = NULL;
	uint32_t entries = (uint32_t)MIN(bytes_max / 16, (size_t)1 << 28);
	struct intern **tables[6];

	assert(ret);
	assert(n_values > 0 && n_values <= SAMPLE_VALUES_MAX);

	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->n_values = n_values;
	w->bytes_max = bytes_max;
	tables[0] = &w->frames, tables[1] = &w->stacks, tables[2] = &w->labels;
	tables[3] = &w->samples, tables[4] = &w->processes, tables[5] = &w->reasons;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		int r = intern_new(tables[i] == &w->reasons ? REASONS_MAX : entries, bytes_max, tables[i]);

		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(w);
	return 0;
}

struct window *window_free(struct window *w)
{
	if (!w)
		return NULL;
	intern_free(w->frames);
	intern_free(w->stacks);
	intern_free(w->labels);
	intern_free(w->samples);
	intern_free(w->processes);
	intern_free(w->reasons);
	free(w->values);
	free(w);
	return NULL;
}

/* ---- putting in -------------------------------------------------------------------------------------------------- */

static int add_process(struct window *w, const struct sample *s, uint32_t *ret)
{
	struct window_process p = { .start_ns = s->process_start_ns, .pid = s->pid };
	int r = intern_put(w->processes, &p, sizeof(p), ret);

	return MIN(r, 0);
}

static int add_user_frame(struct window *w, const struct sample *s, const struct user_frame *f, uint32_t *ret)
{
	struct window_frame key = { .address = f->offset };
	int r;

	if ((f->flags & FRAME_RETURN_ADDRESS) && key.address > 0)
		key.address--;
	if (f->file >= FILE_FIRST || f->file == FILE_VDSO) {
		key.space = WINDOW_SPACE_FILE;
		key.file = f->file;
	} else if (f->file == FILE_ANONYMOUS) {
		key.space = WINDOW_SPACE_ANONYMOUS;
		r = add_process(w, s, &key.process);
		if (r < 0)
			return r;
	} else {
		key.space = WINDOW_SPACE_UNKNOWN;
	}
	r = intern_put(w->frames, &key, sizeof(key), ret);
	return MIN(r, 0);
}

static int add_kernel_frame(struct window *w, const struct sample *s, size_t i, uint32_t *ret)
{
	struct window_frame key = { .address = s->kernel[i] - (i > 0 && s->kernel[i] > 0),
		.space = WINDOW_SPACE_KERNEL };
	int r = intern_put(w->frames, &key, sizeof(key), ret);

	return MIN(r, 0);
}

static int add_stack(struct window *w, const struct sample *s, uint32_t *ret)
{
	uint32_t key[STACK_HEAD + WINDOW_FRAMES_MAX];
	size_t n = STACK_HEAD;
	int r;

	key[0] = COMPLETE;
	if (s->truncated) {
		r = intern_put(w->reasons, s->truncated, strlen(s->truncated) + 1, &key[0]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < s->n_kernel && n < ARRAY_SIZE(key); i++) {
		r = add_kernel_frame(w, s, i, &key[n++]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < s->n_user && n < ARRAY_SIZE(key); i++) {
		r = add_user_frame(w, s, &s->user[i], &key[n++]);
		if (r < 0)
			return r;
	}
	r = intern_put(w->stacks, key, n * sizeof(*key), ret);
	return MIN(r, 0);
}

static int add_labels(struct window *w, const struct sample *s, uint32_t *ret)
{
	struct window_labels key = {
		.start_ns = s->process_start_ns, .cgroup_id = s->cgroup_id, .pid = s->pid, .tid = s->tid, .exe = s->exe
	};
	int r;

	/* Bytes behind the NUL are whatever the kernel left there: they must not tell equal names apart. */
	memcpy(key.comm, s->comm, strnlen(s->comm, sizeof(key.comm) - 1));
	memcpy(key.thread, s->thread, strnlen(s->thread, sizeof(key.thread) - 1));
	memcpy(key.own, s->labels, sizeof(key.own));
	r = intern_put(w->labels, &key, sizeof(key), ret);
	return MIN(r, 0);
}

static int grow_values(struct window *w)
{
	size_t room = w->room_samples ? w->room_samples * 2 : 256;
	int64_t *values = reallocarray(w->values, room, w->n_values * sizeof(*values));

	if (!values)
		return -ENOMEM;
	w->values = values;
	w->room_samples = room;
	return 0;
}

static int add(struct window *w, const struct sample *s)
{
	struct window_sample key;
	uint32_t i;
	int r;

	/* Checked before: one sample can pass the bound by its own size only. */
	if (window_bytes(w) >= w->bytes_max)
		return -ENOSPC;
	r = add_stack(w, s, &key.stack);
	if (r < 0)
		return r;
	r = add_labels(w, s, &key.labels);
	if (r < 0)
		return r;
	if (intern_count(w->samples) >= w->room_samples) {
		r = grow_values(w);
		if (r < 0)
			return r;
	}
	r = intern_put(w->samples, &key, sizeof(key), &i);
	if (r < 0)
		return r;
	for (size_t v = 0; v < w->n_values; v++) {
		int64_t *value = &w->values[i * w->n_values + v];
		int64_t before = r > 0 ? 0 : *value;

		if (__builtin_add_overflow(before, s->values[v], value))
			*value = before > 0 ? INT64_MAX : INT64_MIN;
	}
	return 0;
}

int window_add(struct window *w, const struct sample *s)
{
	int r;

	assert(w);
	assert(s);

	r = add(w, s);
	if (r < 0) {
		w->counts.lost++;
		return r;
	}
	w->counts.samples++;
	w->counts.truncated += s->truncated != NULL;
	return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

size_t window_n_values(const struct window *w)
{
	return w->n_values;
}

uint32_t window_n_samples(const struct window *w)
{
	return intern_count(w->samples);
}

uint32_t window_n_frames(const struct window *w)
{
	return intern_count(w->frames);
}

uint32_t window_n_stacks(const struct window *w)
{
	return intern_count(w->stacks);
}

uint32_t window_n_label_sets(const struct window *w)
{
	return intern_count(w->labels);
}

uint32_t window_n_processes(const struct window *w)
{
	return intern_count(w->processes);
}

const struct window_sample *window_sample(const struct window *w, uint32_t i)
{
	return intern_get(w->samples, i, NULL);
}

const int64_t *window_values(const struct window *w, uint32_t sample)
{
	assert(sample < intern_count(w->samples));
	return &w->values[sample * w->n_values];
}

const struct window_frame *window_frame(const struct window *w, uint32_t i)
{
	return intern_get(w->frames, i, NULL);
}

struct window_stack window_stack(const struct window *w, uint32_t i)
{
	size_t size;
	const uint32_t *key = intern_get(w->stacks, i, &size);

	return (struct window_stack){
		.frames = key + STACK_HEAD,
		.n = size / sizeof(*key) - STACK_HEAD,
		.truncated = key[0] == COMPLETE ? NULL : intern_get(w->reasons, key[0], NULL),
	};
}

const struct window_labels *window_labels(const struct window *w, uint32_t i)
{
	return intern_get(w->labels, i, NULL);
}

const struct window_process *window_process(const struct window *w, uint32_t i)
{
	return intern_get(w->processes, i, NULL);
}

const struct window_counts *window_counts(const struct window *w)
{
	return &w->counts;
}

size_t window_bytes(const struct window *w)
{
	return sizeof(*w) + intern_bytes(w->frames) + intern_bytes(w->stacks) + intern_bytes(w->labels) +
	       intern_bytes(w->samples) + intern_bytes(w->processes) + intern_bytes(w->reasons) +
	       w->room_samples * w->n_values * sizeof(*w->values);
}
