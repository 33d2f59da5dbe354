/* memory: who touched the memory that a process now holds. The faults come from bpf/memory.bpf.c, what is left of them
 * at a window's end from daemon/resident.c; here they meet, and the rate is kept within bounds. */
#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/proc_stat.h"
#include "daemon/cpu_events.h"
#include "daemon/forks.h"
#include "daemon/memory_pace.h"
#include "daemon/resident.h"
#include "daemon/sources.h"
#include "daemon/targets.h"
#include "bpf/memory.skel.h"

#define RING_BYTES (128u << 10)

#define FORKS_MAX 4096 /* in a second */

struct memory {
	struct memory_bpf *skel;
	struct cpu_events *events; /* where there is no tracepoint */
	struct resident *resident;
	struct forks *forks;
	struct memory_pace pace;
	struct targets targets;
	int proc_fd;
	uint64_t hold;         /* files of the stacks that still hold memory */
	uint64_t young, grown; /* samples since the last tick */
	bool has_made_room;    /* since then */
	bool is_full;          /* since then, for something new */
	bool is_packed; /* with what is of living processes: to look again is for the next window, unless it is full */
};

static unsigned huge_page_policy(void)
{
	_cleanup_free_ char *text = NULL;

	if (file_read_all(AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/enabled", 256, &text, NULL) < 0 ||
	        strstr(text, "[never]"))
		return 0;
	return strstr(text, "[madvise]") ? 1 : 2;
}

/* Private memory in pieces between a page and a huge page, by any of their sizes ("inherit" goes by the policy above).
 */
static bool has_large_folios(void)
{
	_cleanup_closedir_ DIR *d = opendir("/sys/kernel/mm/transparent_hugepage");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *text = NULL;
		char path[300];

		(void)snprintf(path, sizeof(path), "%s/enabled", e->d_name);
		if (strncmp(e->d_name, "hugepages-", 10) == 0 && strcmp(e->d_name, "hugepages-2048kB") != 0 &&
		        file_read_all(dirfd(d), path, 256, &text, NULL) >= 0 && !strstr(text, "[never]"))
			return true;
	}
	return false;
}

static void memory_close(struct source_instance *i)
{
	struct memory *m = i->implementation;

	if (!m)
		return;
	(void)cpu_events_free(m->events);
	memory_bpf__destroy(m->skel);
	(void)resident_free(m->resident);
	(void)forks_free(m->forks);
	if (m->hold)
		code_release(i->params.code, m->hold);
	(void)close_fd(m->proc_fd);
	free(m);
	i->implementation = NULL;
}

static void set_pace(struct memory *m)
{
	m->skel->bss->page_shift = m->pace.page_shift;
	m->skel->bss->young_shift = m->pace.young_shift;
	m->skel->bss->samples_max = m->pace.samples_max;
}

static int memory_load(struct source_instance *i, struct memory *m)
{
	bool tracepoint = features_has(FEATURE_PAGE_FAULT_TRACEPOINT);

	m->skel = memory_bpf__open();
	if (!m->skel)
		return -errno;
	m->skel->rodata->huge_pages = huge_page_policy();
	m->skel->rodata->large_folios = has_large_folios();
	m->pace = MEMORY_PACE_START;
	set_pace(m);
	(void)bpf_program__set_autoload(m->skel->progs.memory_fault_user, tracepoint);
	(void)bpf_program__set_autoload(m->skel->progs.memory_fault_kernel, tracepoint);
	(void)bpf_program__set_autoload(m->skel->progs.memory_fault_event, !tracepoint);
	return source_load(i, m->skel->skeleton, &m->skel->rodata->constants);
}

static int memory_open(struct source_instance *i)
{
	struct memory *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	i->implementation = m; /* memory_close has it from here on */
	if (i->params.ring_bytes == 0)
		i->params.ring_bytes = RING_BYTES;
	m->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->proc_fd < 0)
		return -errno;
	r = resident_new(&RESIDENT_LIMITS_DEFAULT, &m->resident);
	if (r >= 0)
		r = forks_new(FORKS_MAX, &m->forks);
	if (r < 0)
		return r;
	targets_keep(i->params.targets, &m->targets);
	m->hold = code_hold(i->params.code);
	r = memory_load(i, m);
	if (r < 0)
		return r;
	i->period = 1ull << (MEMORY_PAGE_SHIFT + MEMORY_SHIFT_MIN);
	return 0;
}

static int attach_events(struct memory *m)
{
	const struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = 1,
		.disabled = 1,
	};
	int r = cpu_events_new(m->skel->progs.memory_fault_event, &attr, &m->events);

	return r < 0 ? r : cpu_events_follow(m->events);
}

static int memory_attach(struct source_instance *i)
{
	struct memory *m = i->implementation;
	int r;

	if (features_has(FEATURE_PAGE_FAULT_TRACEPOINT)) {
		m->skel->links.memory_fault_user = bpf_program__attach(m->skel->progs.memory_fault_user);
		m->skel->links.memory_fault_kernel = bpf_program__attach(m->skel->progs.memory_fault_kernel);
		r = m->skel->links.memory_fault_user && m->skel->links.memory_fault_kernel ? 0 : -errno;
	} else {
		r = attach_events(m);
	}
	if (r < 0)
		return r;
	m->skel->links.memory_fork = bpf_program__attach(m->skel->progs.memory_fork);
	if (!m->skel->links.memory_fork)
		return -errno;
	resident_begin(m->resident, clock_now_ns(CLOCK_BOOTTIME));
	return 0;
}

static void copy_to_child(void *userdata, uint32_t parent, uint32_t child, uint64_t child_start_ns)
{
	struct memory *m = userdata;

	m->is_full |= resident_fork(m->resident, parent, child, child_start_ns) == -ENOSPC;
}

static void settle_forks(struct memory *m)
{
	forks_settle(m->forks, m->proc_fd, copy_to_child, m);
}

/* What is of processes that are gone gives its room; a child may have its memory from one of them. */
static void make_room(struct memory *m)
{
	settle_forks(m);
	(void)resident_forget_gone(m->resident, m->proc_fd);
}

/* A fault: one of a fraction, so it stands for as many as are not watched. What it holds is told at the window's end.
 */
static bool memory_values(struct source_instance *i, const struct sample_record *r, struct sample *s)
{
	struct memory *m = i->implementation;
	const struct resident_fault f = {
		.address = MEMORY_VALUE_ADDRESS(r->value),
		.shift = MIN(MEMORY_VALUE_SHIFT(r->value), (unsigned)MEMORY_SHIFT_MAX),
		.reach = MEMORY_VALUE_REACH(r->value),
		.once = MEMORY_VALUE_ONCE(r->value),
	};

	s->n_kernel = 0;
	s->values[0] = (int64_t)1 << MEMORY_FAULTS_SHIFT(f.shift, f.reach);
	s->values[1] = 0;
	m->young += f.once;
	m->grown += !f.once;
	if (!m->has_made_room && !m->is_packed && resident_is_crowded(m->resident)) {
		m->has_made_room = true;
		make_room(m);
	}
	m->is_full |= resident_touch(m->resident, s, &f) == -ENOSPC;
	return true;
}

static int memory_record(struct source_instance *i, const void *record, size_t size)
{
	const struct fork_record *r = record;
	struct memory *m = i->implementation;

	if (size < sizeof(*r) || r->header.kind != RECORD_FORK)
		return -EBADMSG;
	if (forks_add(m->forks, r->parent, r->child, r->child_start_ns) == -ENOSPC) {
		settle_forks(m);
		(void)forks_add(m->forks, r->parent, r->child, r->child_start_ns);
	}
	return 0;
}

static void deliver(void *userdata, struct sample *s, uint64_t bytes)
{
	struct source_instance *i = userdata;

	s->values[0] = 0;
	s->values[1] = (int64_t)bytes;
	i->sample(i->userdata, i, s);
}

static void deliver_unseen(void *userdata, struct sample *s, uint64_t bytes)
{
	struct source_instance *i = userdata;
	struct memory *m = i->implementation;

	if (!targets_match(&m->targets, bpf_map__fd(m->skel->maps.selected_pids), (pid_t)s->pid))
		return;
	s->cgroup_id = target_cgroup_of_process((pid_t)s->pid);
	deliver(i, s, bytes);
}

static void tell_unseen(struct source_instance *i)
{
	struct memory *m = i->implementation;
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	int pid;

	while ((pid = proc_next(proc)))
		resident_tell_unseen(m->resident, m->proc_fd, (uint32_t)pid, deliver_unseen, i);
}

static int memory_flush(struct source_instance *i)
{
	struct memory *m = i->implementation;
	struct resident_stats stats;
	int r;

	settle_forks(m);
	m->is_packed = false;
	r = resident_report(m->resident, m->proc_fd, deliver, i);
	if (r >= 0)
		tell_unseen(i);
	resident_stats(m->resident, &stats);
	if (stats.page_bytes_mean > 0)
		i->period = stats.page_bytes_mean;
	return r < 0 ? r : 0;
}

static void memory_tick(struct source_instance *i)
{
	struct memory *m = i->implementation;

	if (m->events)
		(void)cpu_events_follow(m->events);
	settle_forks(m);
	if (resident_is_crowded(m->resident) && (m->is_full || !m->is_packed))
		make_room(m);
	if (m->is_full && resident_is_full(m->resident)) {
		memory_pace_coarsen(&m->pace);
		resident_coarsen(m->resident, m->pace.page_shift);
	}
	m->is_packed = resident_is_crowded(m->resident);
	memory_pace_follow(&m->pace, m->young, m->grown, resident_is_roomy(m->resident));
	set_pace(m);
	m->young = m->grown = 0;
	m->has_made_room = m->is_full = false;
}

static unsigned memory_notes(struct source_instance *i, struct source_note *ret)
{
	const struct memory *m = i->implementation;
	struct resident_stats stats;

	resident_stats(m->resident, &stats);
	ret[0] = (struct source_note){ "memory.faults_dropped_max", stats.dropped };
	ret[1] = (struct source_note){ "memory.page_stands_for_bytes_max", stats.page_bytes_max };
	return 2;
}

const struct source memory_source = {
	.name = "memory",
	.types = { { "faults", "count" }, { "resident", "bytes" } },
	.period_type = { "space", "bytes" },
	.needs = FEATURE_BPF,
	.open = memory_open,
	.attach = memory_attach,
	.record = memory_record,
	.values = memory_values,
	.flush = memory_flush,
	.notes = memory_notes,
	.tick = memory_tick,
	.close = memory_close,
};
