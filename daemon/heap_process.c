#include "daemon/heap_process.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/fd.h"
#include "bpf/abi.h"
#include "base/proc_stat.h"
#include "daemon/proc_maps.h"
#include "daemon/reach.h"
#include "daemon/targets.h"
#include "profile/window_labels.h"

#define LOAD_SCAN_AFTER_NS (20 * NS_PER_MS) /* a library is opened with those that it needs */
#define LOAD_SCANS_APART_NS (200 * NS_PER_MS)
#define WAITS_APART_NS (250 * NS_PER_MS)
#define INTERVAL_MIN 64.0
#define INTERVAL_MAX (1ull << 40) /* bpf/heap.bpf.c multiplies with it */
#define SAMPLING_SHARE 0.25       /* of the budget, at most, for samples: the rest is for hits */
#define HITS_PER_SAMPLE 16.0

_Static_assert((int)HEAP_MALLOC == (int)SITE_MALLOC && (int)HEAP_FREE == (int)SITE_FREE &&
                       (int)HEAP_LOADER == (int)SITE_LOADER && (int)HEAP_NULL_IS_MALLOC == (int)SITE_NULL_IS_MALLOC &&
                       (int)HEAP_MOVED == (int)SITE_MOVED && (int)HEAP_JUMPS == (int)SITE_JUMPS,
        "a site's function and flags travel in the cookie as they are");

bool heap_process_is_same(const struct heap_process *p)
{
	uint64_t start_ns;

	return proc_start_ns(p->pid, &start_ns) >= 0 && start_ns == p->start_ns;
}

uint64_t heap_process_program(const struct heap_process *p)
{
	struct target_exe exe;

	return target_exe_of_process(p->pid, &exe) < 0 ? 0 : XXH3_64bits(&exe, sizeof(exe));
}

static const char *method_of(bool usdt, bool calls, bool steps)
{
	if (usdt)
		return calls ? "usdt, malloc" : "usdt";
	if (!calls)
		return "no allocator found";
	return steps ? "malloc, stepped" : "malloc";
}

int heap_process_new(pid_t pid, struct heap_process **ret)
{
	_cleanup_free_ struct heap_process *p = calloc(1, sizeof(*p));
	int r;

	assert(ret);

	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->sites.method = method_of(false, false, false);
	r = clock_getcpuclockid(pid, &p->clock);
	if (r != 0)
		return -r;
	r = heap_process_cpu(p, &p->first_cpu_ns);
	if (r >= 0)
		r = proc_start_ns(pid, &p->start_ns);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

struct heap_process *heap_process_free(struct heap_process *p)
{
	if (!p)
		return NULL;
	p->probing = heap_probing_free(p->probing);
	free(p->counters);
	free(p);
	return NULL;
}

int heap_process_cpu(const struct heap_process *p, uint64_t *ret_ns)
{
	struct timespec ts;

	if (clock_gettime(p->clock, &ts) < 0)
		return -ESRCH;
	*ret_ns = clock_timespec_ns(ts);
	return 0;
}

void heap_process_follow_waits(struct heap_process *p)
{
	struct proc_thread threads[HEAP_WAITS_THREADS_MAX];
	uint64_t now = clock_now_ns(CLOCK_BOOTTIME);
	int n;

	if (now - p->waits.at_ns < WAITS_APART_NS || p->meter.cpu_ns == p->cpu_at_wait_ns)
		return; /* what waits still is told when it has got a CPU */
	p->cpu_at_wait_ns = p->meter.cpu_ns;
	n = proc_threads_read(p->pid, threads, ARRAY_SIZE(threads));
	if (n > 0)
		p->meter.denied_ns += heap_waits_follow(&p->waits, threads, (size_t)n, p->start_ns, now);
}

int heap_process_make_known(const struct heap_process *p, int counters_fd)
{
	_cleanup_free_ struct heap_counters *counters = NULL;
	int cpus = libbpf_num_possible_cpus();
	uint32_t id = (uint32_t)p->pid;

	counters = calloc((size_t)MAX(cpus, 1), sizeof(*counters));
	if (!counters)
		return -ENOMEM;
	return bpf_map_update_elem(counters_fd, &id, counters, BPF_ANY) < 0 ? -errno : 0;
}

/* All but its CPU time. */
static int read_counters(struct heap_process *p, int counters_fd, struct heap_meter *ret)
{
	int cpus = libbpf_num_possible_cpus();
	uint32_t id = (uint32_t)p->pid;

	*ret = (struct heap_meter){
		.time_ns = clock_now_ns(CLOCK_MONOTONIC), .denied_ns = p->meter.denied_ns, .tick = p->meter.tick
	};
	if (!p->counters)
		p->counters = calloc((size_t)MAX(cpus, 1), sizeof(*p->counters));
	if (!p->counters)
		return -ENOMEM;
	if (bpf_map_lookup_elem(counters_fd, &id, p->counters) < 0)
		return -errno;
	for (int cpu = 0; cpu < cpus; cpu++) {
		ret->hits += p->counters[cpu].hits;
		ret->samples += p->counters[cpu].samples;
		ret->calls += p->counters[cpu].calls;
		ret->bytes += p->counters[cpu].bytes;
		ret->frees += p->counters[cpu].frees;
		ret->ticks += p->counters[cpu].ticks;
		ret->progress += p->counters[cpu].progress;
	}
	return 0;
}

int heap_process_read(struct heap_process *p, int counters_fd)
{
	struct heap_meter m;
	uint64_t cpu_ns;
	int r = heap_process_cpu(p, &cpu_ns);

	if (r < 0)
		return r;
	if (cpu_ns < p->meter.cpu_ns)
		return -ESRCH; /* another one runs under its PID */
	r = read_counters(p, counters_fd, &m);
	if (r < 0)
		return r;
	m.cpu_ns = cpu_ns;
	p->meter = m;
	return 0;
}

int heap_process_read_last(struct heap_process *p, int counters_fd)
{
	struct heap_meter m;
	int r = heap_process_read(p, counters_fd);

	if (r >= 0)
		return r;
	r = read_counters(p, counters_fd, &m);
	if (r < 0)
		return r;
	m.cpu_ns = p->meter.cpu_ns + (uint64_t)heap_budget_cost_ns(&p->budget, &m);
	m.is_cpu_guessed = true;
	p->meter = m;
	return 0;
}

void heap_process_add_unseen(struct heap_process *p, uint64_t since_ns)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	double most = since_ns && now > since_ns ? (double)(now - since_ns) * libbpf_num_possible_cpus() : 0;

	heap_estimate_add(
	        &p->budget.estimate, &(struct heap_stretch){ .total_ns = MIN((double)p->first_cpu_ns, most) });
}

bool heap_process_adapt_interval(struct heap_process *p, uint64_t coarsest, unsigned halvings)
{
	double hits = (double)(p->meter.hits - p->meter_at_tick.hits);
	double bytes = (double)(p->meter.bytes - p->meter_at_tick.bytes);
	double paid = p->budget.paid_ns - p->paid_at_tick, samples, interval;

	p->meter_at_tick = p->meter;
	p->paid_at_tick = p->budget.paid_ns;
	if (hits < 1 || bytes < 1)
		return false;
	samples = MAX(SAMPLING_SHARE * paid / p->budget.prices.sample_ns, hits / HITS_PER_SAMPLE / 4);
	samples = MIN(samples, hits / HITS_PER_SAMPLE * 4);
	interval = MIN(MAX(bytes / MAX(samples, 1.0), INTERVAL_MIN), (double)coarsest) * (double)(1ull << halvings);
	interval = MIN(interval, (double)INTERVAL_MAX);
	if (interval >= 0.8 * (double)p->interval && interval <= 1.25 * (double)p->interval)
		return false;
	p->interval = (uint64_t)interval;
	return true;
}

void heap_process_halve_samples(struct heap_process *p)
{
	p->interval = MIN(2 * p->interval, INTERVAL_MAX);
}

/* ---- its files ---- */

size_t heap_process_files(const struct heap_process *p, const struct heap_allocator *const **ret)
{
	return heap_probing_files(p->probing, ret);
}

static void add_sites(const struct heap_process *p, const struct heap_allocator *a, struct heap_process_sites *ret)
{
	unsigned wanted = heap_allocator_kinds_wanted(a);

	for (uint32_t i = 0; i < a->n_sites; i++) {
		const struct site *s = &a->sites[i];

		if (!(heap_site_kind(s) & wanted))
			continue;
		if (!heap_site_may_probe(s, p->may_step)) {
			ret->refused++;
			continue;
		}
		ret->sites++;
		ret->steps |= !heap_site_may_probe(s, false);
	}
}

static void set_sites(struct heap_process *p)
{
	const struct heap_allocator *const *files;
	size_t n = heap_process_files(p, &files);
	struct heap_process_sites sites = { 0 };
	unsigned kinds = 0;

	for (size_t k = 0; k < n; k++) {
		kinds |= heap_allocator_kinds_wanted(files[k]);
		add_sites(p, files[k], &sites);
	}
	sites.method = method_of(kinds & HEAP_KIND_USDT, kinds & (HEAP_KIND_CALL | HEAP_KIND_FREE), sites.steps);
	p->sites = sites;
}

/* By the mapping itself, which needs a capability that emberd may not have; else through the process's root. */
static int open_mapped(pid_t pid, const struct proc_mapping *m)
{
	struct reach reach = { .key = { .inode = m->inode },
		.has_inode_only = true,
		.pid = pid,
		.path = m->path,
		.start = m->start,
		.end = m->end };
	int fd = reach_open(&reach);

	if (fd >= 0)
		return fd;
	reach.is_exe = true;
	return reach_open(&reach);
}

/* 1: a new allocator; 0: none; -EAGAIN; -ENOSPC: one too many. */
static int look_at(struct heap_process *p, struct heap_sites *sites, const struct proc_mapping *m)
{
	const struct heap_allocator *a = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	fd = open_mapped(p->pid, m);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* gone by now, or not for us */
	r = heap_sites_get(sites, fd, &st, &a);
	if (r < 0)
		return r == -EAGAIN || r == -ENOSPC ? r : 0;
	if (!a)
		return 0;
	if (heap_allocator_kinds(a) & HEAP_KIND_LOADER) /* another one after an exec */
		heap_probing_set_loader(p->probing, a);
	if (!heap_allocator_kinds_wanted(a))
		return 0;
	return heap_probing_add(p->probing, a);
}

struct scan {
	struct heap_process *process;
	struct heap_sites *sites;
	struct proc_mapping previous;
	int found;
	uint32_t n_over;
	bool is_awaited;
};

static int scan_mapping(void *userdata, const struct proc_mapping *m)
{
	struct scan *s = userdata;
	int r;

	if (m->inode == 0 || (m->inode == s->previous.inode && m->device_major == s->previous.device_major &&
	                             m->device_minor == s->previous.device_minor))
		return 0;
	s->previous = *m;
	r = look_at(s->process, s->sites, m);
	s->is_awaited |= r == -EAGAIN;
	s->n_over += r == -ENOSPC;
	s->found += r > 0;
	return 0;
}

int heap_process_scan(struct heap_process *p, struct heap_sites *sites)
{
	struct scan s = { .process = p, .sites = sites };
	int r = proc_maps_read(p->pid, scan_mapping, &s);

	if (r < 0)
		return r;
	set_sites(p);
	p->sites.files_over = s.n_over;
	p->is_awaited = s.is_awaited;
	return s.is_awaited && s.found == 0 ? -EAGAIN : s.found;
}

void heap_process_opened(struct heap_process *p)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	uint64_t at = MAX(now + LOAD_SCAN_AFTER_NS, p->last_scan_ns + LOAD_SCANS_APART_NS);

	if (p->next_scan_ns == 0 || p->next_scan_ns > at)
		p->next_scan_ns = at;
}

/* ---- what is known of it ---- */

bool heap_process_has_allocator(const struct heap_process *p)
{
	const struct heap_allocator *const *files;

	return heap_process_files(p, &files) > 0;
}

void heap_process_describe(const struct heap_process *p, struct source_process *ret)
{
	double own = (double)(p->meter.cpu_ns - p->first_cpu_ns) - p->budget.cost_ns;

	ret->pid = p->pid;
	ret->method = p->sites.method;
	ret->sites = p->sites.sites;
	ret->refused = p->sites.refused;
	ret->files_over = p->sites.files_over;
	ret->is_waiting = p->turn.is_waiting;
	ret->is_in = p->budget.is_attached;
	ret->slow_down = own > 0 ? p->budget.cost_ns / own : 0;
}

void heap_process_label(const struct heap_process *p, struct sample_label ret[SAMPLE_LABELS_MAX])
{
	int64_t frees, error;

	memset(ret, 0, SAMPLE_LABELS_MAX * sizeof(*ret));
	if (p->is_duty)
		ret[0] = (struct sample_label){ WINDOW_LABEL_SURVIVORS, 1 };
	else if (heap_unseen_frees(&p->unseen, p->meter.frees, &frees, &error)) {
		ret[0] = (struct sample_label){ WINDOW_LABEL_UNSEEN_FREES, frees };
		ret[1] = (struct sample_label){ WINDOW_LABEL_UNSEEN_ERROR, error };
	}
}

bool heap_process_is_nested(const struct heap_process *p, const struct user_frame *frames, size_t n)
{
	const struct heap_allocator *const *files;
	size_t n_files = heap_process_files(p, &files);

	if (n < 2 || frames[0].file != frames[1].file)
		return false;
	for (size_t k = 0; k < n_files; k++) {
		const struct heap_allocator *a = files[k];
		bool is_leaf = false, is_caller = false;

		for (uint32_t i = 0; i < a->n_sites; i++) {
			const struct site *s = &a->sites[i];

			is_leaf |= s->probe == frames[0].offset;
			/* what goes on to malloc is told by its flag, and counted there */
			is_caller |= !(s->flags & SITE_NULL_IS_MALLOC) && frames[1].offset >= s->entry &&
			             frames[1].offset - s->entry < s->size_bytes;
		}
		if (is_leaf && is_caller)
			return true;
	}
	return false;
}
