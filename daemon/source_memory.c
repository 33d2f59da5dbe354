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
#include "daemon/resident.h"
#include "daemon/sources.h"
#include "daemon/targets.h"
#include "bpf/memory.skel.h"

#define RING_BYTES (128u << 10)

/* Of all processes, over the last ten seconds or so: each has its own limit before (bpf/memory.bpf.c). A sample costs
 * some 10 us there and as much here: 300 a second are 0.3 % of a core in emberd. */
#define SAMPLES_PER_SECOND_MAX 300
#define CALM_SECONDS 30 /* of few samples, before more is watched again */

struct memory {
	struct memory_bpf *skel;
	struct cpu_events *events; /* where there is no tracepoint */
	struct resident *resident;
	struct targets targets;
	int proc_fd;
	uint64_t hold; /* files of the stacks that still hold memory */
	uint64_t samples, samples_at_tick;
	double samples_per_second;
	unsigned calm_seconds;
	bool is_full; /* no room for a fault */
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
	if (m->hold)
		code_release(i->params.code, m->hold);
	(void)close_fd(m->proc_fd);
	free(m);
	i->implementation = NULL;
}

static int memory_load(struct source_instance *i, struct memory *m)
{
	bool tracepoint = features_has(FEATURE_PAGE_FAULT_TRACEPOINT);

	m->skel = memory_bpf__open();
	if (!m->skel)
		return -errno;
	m->skel->rodata->huge_pages = huge_page_policy();
	m->skel->rodata->large_folios = has_large_folios();
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
	m->samples++;
	if (resident_touch(m->resident, s, &f) == -ENOSPC)
		m->is_full = true; /* the next tick sees to it */
	return true;
}

static int memory_record(struct source_instance *i, const void *record, size_t size)
{
	const struct fork_record *r = record;
	struct memory *m = i->implementation;

	if (size < sizeof(*r) || r->header.kind != RECORD_FORK)
		return -EBADMSG;
	(void)resident_fork(m->resident, r->parent, r->child, r->child_start_ns);
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
	int r = resident_report(m->resident, m->proc_fd, deliver, i);

	if (r >= 0)
		tell_unseen(i);
	resident_stats(m->resident, &stats);
	if (stats.page_bytes_mean > 0)
		i->period = stats.page_bytes_mean;
	return r < 0 ? r : 0;
}

/* Watches less where faults are many or the table is full, more again after a calm while; what is held keeps its
 * weight. */
static void memory_tick(struct source_instance *i)
{
	struct memory *m = i->implementation;
	uint64_t samples = m->samples - m->samples_at_tick;
	unsigned shift = m->skel->data->page_shift;
	struct resident_stats stats;

	if (m->events)
		(void)cpu_events_follow(m->events);
	m->samples_at_tick = m->samples;
	m->samples_per_second += ((double)samples - m->samples_per_second) / 10;
	m->calm_seconds = samples < SAMPLES_PER_SECOND_MAX / 4 ? m->calm_seconds + 1 : 0;
	resident_stats(m->resident, &stats);
	if ((m->is_full || m->samples_per_second > SAMPLES_PER_SECOND_MAX) && shift < MEMORY_SHIFT_MAX) {
		m->skel->data->page_shift = shift + 1;
		m->samples_per_second /= 2; /* as it will be from now on */
		if (m->is_full)
			resident_coarsen(m->resident, shift + 1);
	} else if (m->calm_seconds >= CALM_SECONDS && shift > MEMORY_SHIFT_MIN &&
	           stats.pages < RESIDENT_LIMITS_DEFAULT.pages / 3) {
		m->calm_seconds = 0;
		m->skel->data->page_shift = shift - 1;
	}
	m->is_full = false;
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
