#include "daemon/source.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/accounting.h"
#include "daemon/sources.h"
#include "daemon/targets.h"

#define COUNTER_NAME_(constant, name) [COUNTER_##constant] = name,
static const char *const counter_names[COUNTER_MAX] = { COUNTERS(COUNTER_NAME_) };

/* As in "[truncated: REASON]". NULL: nothing is missing. */
static const char *const end_texts[STACK_END_MAX] = {
	[STACK_END_MAX_FRAMES] = "too deep",
	[STACK_END_NO_ROWS] = "no rows",
	[STACK_END_NO_RULE] = "no unwind information",
	[STACK_END_BAD_STACK] = "unreadable stack",
	[STACK_END_BAD_PC] = "bad return address",
	[STACK_END_NO_PROGRESS] = "no progress",
	[STACK_END_NO_FP] = "frame pointer lost",
	[STACK_END_COMPAT] = "32-bit program",
	[STACK_END_NO_REGISTERS] = "no registers",
};

#define WAKE_BATCH 256 /* records; the loop has other work, too */

static const char *const followers[] = { "select_fork", "select_exit" };

const struct source *source_find(const char *name)
{
	for (const struct source *const *s = sources; *s; s++) {
		if (strcmp((*s)->name, name) == 0)
			return *s;
	}
	return NULL;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static int sample_check(const struct sample_record *r, size_t size)
{
	if (size < sizeof(*r) || r->n_kernel > STACK_KERNEL_FRAMES_MAX || r->n_user > STACK_USER_FRAMES_MAX ||
	        (size_t)r->n_kernel + r->n_user > (size - sizeof(*r)) / sizeof(uint64_t))
		return -EBADMSG;
	return 0;
}

static void frames_unpack(struct source_instance *i, const uint64_t *packed, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		uint32_t file = FRAME_FILE(packed[k]);

		i->frames[k] = (struct user_frame){
			.file = file < FILE_FIRST ? file : code_id(i->params.code, file),
			.flags = FRAME_FLAGS(packed[k]),
			.offset = FRAME_OFFSET(packed[k]),
		};
	}
}

static void cost_note(struct source_instance *i, uint32_t ns)
{
	i->costs[MIN(ns / 1000, SOURCE_COSTS - 1u)]++;
	if (++i->n_costs < SOURCE_COSTS_HALVE)
		return;
	i->n_costs = 0;
	for (unsigned k = 0; k < SOURCE_COSTS; k++) {
		i->costs[k] /= 2;
		i->n_costs += i->costs[k];
	}
}

static uint64_t cost_median_ns(const struct source_instance *i)
{
	uint32_t sum = 0;

	for (unsigned k = 0; k < SOURCE_COSTS; k++) {
		sum += i->costs[k];
		if (sum > i->n_costs / 2)
			return k * 1000 + 500;
	}
	return 0;
}

static void sample_deliver(struct source_instance *i, const struct sample_record *r)
{
	const uint64_t *frames = (const void *)(r + 1);
	struct sample s = {
		.time_ns = r->time_ns + (uint64_t)i->wall_offset_ns,
		.pid = r->pid,
		.tid = r->tid,
		.process_start_ns = r->process_start_ns,
		.cgroup_id = r->cgroup_id,
		.cpu = r->cpu,
		.exe = r->exe < FILE_FIRST ? r->exe : code_id(i->params.code, r->exe),
		.values = { 1, (int64_t)r->value },
	};

	memcpy(s.comm, r->comm, sizeof(s.comm) - 1);
	memcpy(s.thread, r->thread, sizeof(s.thread) - 1);
	frames_unpack(i, frames + r->n_kernel, r->n_user);
	s.kernel = frames;
	s.n_kernel = r->n_kernel;
	s.user = i->frames;
	s.n_user = r->n_user;
	s.truncated = r->end < STACK_END_MAX ? end_texts[r->end] : "unknown";
	if (i->source->values && !i->source->values(i, r, &s))
		return;
	cost_note(i, r->cost_ns);
	i->delivered++;
	i->truncated += s.truncated != NULL;
	i->sample(i->userdata, i, &s);
}

static void on_finished(void *userdata, const struct sample_record *r, size_t size)
{
	(void)size;
	sample_deliver(userdata, r);
}

static int sample_handle(struct source_instance *i, const struct sample_record *r, size_t size)
{
	if (sample_check(r, size) < 0)
		return -EBADMSG;
	if (!r->is_copied || !unfinished_keep(i->unfinished, r, size))
		sample_deliver(i, r);
	return 0;
}

static int record_handle(struct source_instance *i, const struct record_header *h, size_t size)
{
	if (size < sizeof(*h) || h->size_bytes > size)
		return -EBADMSG;
	switch (h->kind) {
	case RECORD_SAMPLE:
		return sample_handle(i, (const void *)h, size);
	case RECORD_STACK:
		return unfinished_copy(i->unfinished, (const void *)h, size);
	case RECORD_FILE:
	case RECORD_PAGE:
		return code_event(i->params.code, h, size);
	default:
		return i->source->record ? i->source->record(i, h, size) : -EBADMSG;
	}
}

static int on_record(void *userdata, void *data, size_t size)
{
	struct source_instance *i = userdata;

	if (record_handle(i, data, size) < 0)
		i->malformed++;
	return --i->room == 0 ? -EAGAIN : 0; /* ends this drain; the record counts as consumed */
}

int source_drain(struct source_instance *i, unsigned max)
{
	int r;

	assert(max > 0);
	i->room = max;
	i->wall_offset_ns = clock_wall_offset_ns(CLOCK_BOOTTIME);
	r = ring_buffer__consume(i->ring);
	unfinished_run(i->unfinished, false, on_finished, i);
	return r < 0 && r != -EAGAIN ? r : (int)(max - i->room);
}

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	(void)source_drain(userdata, WAKE_BATCH);
	return 0;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int targets_apply(const struct targets *t, struct bpf_object *obj, struct source_constants *constants)
{
	struct bpf_map *pids = bpf_object__find_map_by_name(obj, "selected_pids");
	bool has_pids = t && (t->include.n_pids > 0 || t->exclude.n_pids > 0);
	int r = 0;

	if (t)
		r = targets_to_rules(&t->include, &constants->select[SELECT_INCLUDE]);
	if (t && r == 0)
		r = targets_to_rules(&t->exclude, &constants->select[SELECT_EXCLUDE]);
	if (r < 0)
		return r;
	for (unsigned k = 0; k < ARRAY_SIZE(followers); k++) {
		struct bpf_program *p = bpf_object__find_program_by_name(obj, followers[k]);

		if (p)
			(void)bpf_program__set_autoload(p, has_pids);
	}
	return pids && !has_pids ? bpf_map__set_max_entries(pids, 1) : 0;
}

static void counters_find(struct source_instance *i)
{
	struct bpf_map *map = bpf_object__find_map_by_name(i->obj, "counters");

	i->counters_fd = map ? bpf_map__fd(map) : -1;
}

static int follow(struct source_instance *i, const char *program, struct bpf_link **ret)
{
	struct bpf_program *p = bpf_object__find_program_by_name(i->obj, program);
	struct bpf_link *link;

	if (!p || !bpf_program__autoload(p))
		return 0;
	link = bpf_program__attach(p);
	if (!link)
		return -errno;
	*ret = link;
	return 0;
}

/* The followers of forks come first, so that no child is missed. */
static int pids_select(struct source_instance *i)
{
	struct bpf_map *pids = bpf_object__find_map_by_name(i->obj, "selected_pids");
	const struct targets *t = i->params.targets;
	int r;

	if (!pids || !t || (t->include.n_pids == 0 && t->exclude.n_pids == 0))
		return 0;
	r = follow(i, followers[0], &i->fork_link);
	if (r == 0)
		r = follow(i, followers[1], &i->exit_link);
	return r == 0 ? targets_fill_pids(t, bpf_map__fd(pids)) : r;
}

int source_load(struct source_instance *i, struct bpf_object_skeleton *skeleton, struct source_constants *constants)
{
	struct bpf_object *obj = *skeleton->obj;
	const uint32_t ring_bytes = i->params.ring_bytes     ? i->params.ring_bytes
	                            : i->params.is_on_demand ? SOURCE_RING_BYTES_ON_DEMAND
	                                                     : SOURCE_RING_BYTES_DEFAULT;
	struct bpf_map *ring = bpf_object__find_map_by_name(obj, "ring");
	int r;

	*constants = (struct source_constants){ .ring_wake_bytes = ring_bytes / 2,
		.kernel_stacks = i->params.kernel_stacks != 0,
		.copies_stacks = !i->source->is_ordered };
	r = targets_apply(i->params.targets, obj, constants);
	if (r == 0)
		r = bpf_map__set_max_entries(ring, ring_bytes);
	if (r == 0)
		r = code_share_maps(i->params.code, obj);
	if (r == 0)
		r = bpf_object__load_skeleton(skeleton);
	if (r < 0)
		return r;
	i->obj = obj;
	counters_find(i);
	r = pids_select(i);
	if (r < 0)
		return r;
	i->ring = ring_buffer__new(bpf_map__fd(ring), on_record, i, NULL);
	if (!i->ring)
		return -errno;
	r = sd_event_add_io(code_loop(i->params.code), &i->wake, ring_buffer__epoll_fd(i->ring), EPOLLIN, on_wake, i);
	return MIN(r, 0);
}

int source_open(const struct source *source, const struct source_params *params, source_sample_t sample, void *userdata,
        struct source_instance **ret)
{
	_cleanup_(source_closep) struct source_instance *i = NULL;
	int r;

	assert(params->code);
	if (!features_has(source->needs))
		return -EOPNOTSUPP;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->source = source;
	i->params = *params;
	i->sample = sample;
	i->userdata = userdata;
	i->counters_fd = -1;
	r = unfinished_new(params->code, &i->unfinished);
	if (r == 0)
		r = source->open(i);
	if (r < 0)
		return r;
	i->params.targets = NULL;
	*ret = TAKE_PTR(i);
	return 0;
}

struct source_instance *source_close(struct source_instance *i)
{
	if (!i)
		return NULL;
	bpf_link__destroy(i->fork_link);
	bpf_link__destroy(i->exit_link);
	sd_event_source_disable_unref(i->wake);
	ring_buffer__free(i->ring);
	i->source->close(i);
	unfinished_free(i->unfinished);
	free(i);
	return NULL;
}

int source_attach(struct source_instance *i)
{
	return i->source->attach(i);
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

int source_ring_fd(const struct source_instance *i)
{
	return ring_buffer__epoll_fd(i->ring);
}

int source_flush(struct source_instance *i)
{
	unfinished_run(i->unfinished, true, on_finished, i);
	return i->source->flush ? i->source->flush(i) : 0;
}

unsigned source_unfinished(const struct source_instance *i)
{
	return unfinished_count(i->unfinished);
}

unsigned source_notes(struct source_instance *i, struct source_note *ret)
{
	return i->source->notes ? i->source->notes(i, ret) : 0;
}

int source_set_rate(struct source_instance *i, uint64_t rate)
{
	return i->source->set_rate ? i->source->set_rate(i, rate) : -EOPNOTSUPP;
}

bool source_is_ready(struct source_instance *i)
{
	return !i->source->is_ready || i->source->is_ready(i);
}

void source_tick(struct source_instance *i)
{
	if (i->source->tick)
		i->source->tick(i);
}

const struct source *source_of(const struct source_instance *i)
{
	return i->source;
}

int64_t source_period(const struct source_instance *i)
{
	return (int64_t)i->period;
}

uint64_t source_rate(const struct source_instance *i)
{
	return i->rate;
}

static uint64_t counter_read(const struct source_instance *i, uint32_t counter)
{
	const int n = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *values = calloc((size_t)MAX(n, 1), sizeof(*values));
	uint64_t total = 0;

	if (!values || i->counters_fd < 0 || bpf_map_lookup_elem(i->counters_fd, &counter, values) < 0)
		return 0;
	for (int cpu = 0; cpu < n; cpu++)
		total += values[cpu];
	return total;
}

void source_counters(
        struct source_instance *i, void (*each)(void *userdata, const char *name, uint64_t value), void *userdata)
{
	for (uint32_t k = 0; k < COUNTER_MAX; k++)
		each(userdata, counter_names[k], counter_read(i, k));
	each(userdata, "stacks-finished-late", unfinished_done(i->unfinished));
	each(userdata, "malformed-records", i->malformed);
}

static const char *const own_maps[] = { "ring", "counters", "selected_pids" };

void source_stats(struct source_instance *i, struct source_stats *ret)
{
	*ret = (struct source_stats){
		.samples = i->delivered,
		.lost = counter_read(i, COUNTER_RING_FULL) + counter_read(i, COUNTER_NO_SCRATCH),
		.truncated = i->truncated,
		.median_ns = cost_median_ns(i),
	};
	accounting_object_run_time(i->obj, &ret->bpf_ns, &ret->bpf_runs);
	for (unsigned k = 0; k < ARRAY_SIZE(own_maps); k++) {
		struct bpf_map *map = bpf_object__find_map_by_name(i->obj, own_maps[k]);

		ret->map_bytes += map ? accounting_map_bytes(bpf_map__fd(map)) : 0;
	}
}

int source_accounting_open(void)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	return fd < 0 ? -errno : fd;
}

void source_processes(
        struct source_instance *i, void (*each)(void *userdata, const struct source_process *process), void *userdata)
{
	if (i->source->processes)
		i->source->processes(i, each, userdata);
}
