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

#include "base/clock.h"
#include "base/fd.h"
#include "bpf/abi.h"
#include "base/proc_stat.h"
#include "daemon/proc_maps.h"
#include "daemon/reach.h"

_Static_assert((int)HEAP_MALLOC == (int)SITE_MALLOC && (int)HEAP_FREE == (int)SITE_FREE &&
                       (int)HEAP_LOADER == (int)SITE_LOADER && (int)HEAP_NULL_IS_MALLOC == (int)SITE_NULL_IS_MALLOC &&
                       (int)HEAP_MOVED == (int)SITE_MOVED && (int)HEAP_JUMPS == (int)SITE_JUMPS,
        "a site's function and flags travel in the cookie as they are");

bool heap_process_is_same(const struct heap_process *p)
{
	uint64_t start_ns;

	return proc_start_ns(p->pid, &start_ns) >= 0 && start_ns == p->start_ns;
}

int heap_process_new(pid_t pid, struct heap_process **ret)
{
	_cleanup_free_ struct heap_process *p = calloc(1, sizeof(*p));
	int r;

	assert(ret);

	if (!p)
		return -ENOMEM;
	p->pid = pid;
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
	heap_process_detach(p);
	p->loader = uprobe_detach(p->loader);
	free(p->counters);
	free(p);
	return NULL;
}

int heap_process_cpu(const struct heap_process *p, uint64_t *ret_ns)
{
	struct timespec ts;

	if (clock_gettime(p->clock, &ts) < 0)
		return -ESRCH;
	*ret_ns = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
	return 0;
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

int heap_process_read(struct heap_process *p, int counters_fd)
{
	int cpus = libbpf_num_possible_cpus(), r;
	uint32_t id = (uint32_t)p->pid;
	struct heap_meter m = { .time_ns = clock_now_ns(CLOCK_MONOTONIC) };

	if (!p->counters)
		p->counters = calloc((size_t)MAX(cpus, 1), sizeof(*p->counters));
	if (!p->counters)
		return -ENOMEM;
	r = heap_process_cpu(p, &m.cpu_ns);
	if (r < 0)
		return r;
	if (m.cpu_ns < p->meter.cpu_ns)
		return -ESRCH; /* another one runs under its PID */
	if (bpf_map_lookup_elem(counters_fd, &id, p->counters) < 0)
		return -errno;
	for (int cpu = 0; cpu < cpus; cpu++) {
		m.hits += p->counters[cpu].hits;
		m.samples += p->counters[cpu].samples;
		m.calls += p->counters[cpu].calls;
		m.bytes += p->counters[cpu].bytes;
		m.progress += p->counters[cpu].progress;
	}
	p->meter = m;
	return 0;
}

/* ---- its files ---- */

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

static bool has_allocator(const struct heap_process *p, const struct heap_allocator *a)
{
	for (size_t i = 0; i < p->n_links; i++)
		if (p->links[i].allocator == a)
			return true;
	return false;
}

/* Kinds of sites, as bits. */
enum { KIND_FREE = 1, KIND_CALL = 2, KIND_USDT = 4, KIND_LOADER = 8 };

static unsigned kind_of(const struct site *s)
{
	if (s->function == SITE_USDT_ALLOC || s->function == SITE_USDT_FREE)
		return KIND_USDT;
	if (s->function == SITE_LOADER)
		return KIND_LOADER;
	return s->function == SITE_FREE ? KIND_FREE : KIND_CALL;
}

static bool has_kind(const struct heap_allocator *a, unsigned kinds)
{
	for (uint32_t i = 0; i < a->n_sites; i++)
		if (kind_of(&a->sites[i]) & kinds)
			return true;
	return false;
}

/* 1: a new allocator; 0: none; -EAGAIN. */
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
		return r == -EAGAIN ? r : 0;
	if (!a)
		return 0;
	if (p->loader_file != a && has_kind(a, KIND_LOADER)) { /* another one after an exec */
		p->loader = uprobe_detach(p->loader);
		p->loader_file = a;
		p->is_loader_refused = false;
	}
	if (!has_kind(a, ~(unsigned)KIND_LOADER) || has_allocator(p, a) || p->n_links == HEAP_ALLOCATORS_MAX)
		return 0;
	p->links[p->n_links++] = (struct heap_links){ .allocator = a };
	return 1;
}

struct scan {
	struct heap_process *process;
	struct heap_sites *sites;
	struct proc_mapping previous;
	int found;
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
	s->found += r > 0;
	return 0;
}

int heap_process_scan(struct heap_process *p, struct heap_sites *sites)
{
	struct scan s = { .process = p, .sites = sites };
	int r = proc_maps_read(p->pid, scan_mapping, &s);

	if (r < 0)
		return r;
	return s.is_awaited && s.found == 0 ? -EAGAIN : s.found;
}

/* ---- links ---- */

static uint64_t cookie_of(const struct site *s)
{
	return HEAP_COOKIE(s->function, s->flags, s->probe) |
	       HEAP_COOKIE_OPERANDS(s->operands[0], s->operands[1], s->operands[2]);
}

/* An allocator that tells its own samples by USDT is asked nothing else. */
static bool is_wanted(const struct heap_allocator *a, const struct site *s)
{
	unsigned kind = kind_of(s);

	return kind != KIND_LOADER && (kind == KIND_USDT || !has_kind(a, KIND_USDT));
}

/* Adds the sites of one kind to ret and returns how many there are now. */
static size_t collect(
        struct heap_process *p, const struct heap_allocator *a, unsigned kind, struct uprobe_site *ret, size_t n)
{
	for (uint32_t i = 0; i < a->n_sites; i++) {
		const struct site *s = &a->sites[i];

		if (kind_of(s) != kind)
			continue;
		if (!(s->flags & SITE_EMULATED) && !p->may_step) {
			p->refused++;
			continue;
		}
		p->steps |= !(s->flags & SITE_EMULATED);
		ret[n++] = (struct uprobe_site){
			.offset = s->probe, .counter_offset = s->counter_offset, .cookie = cookie_of(s)
		};
	}
	return n;
}

/* All sites of these kinds by one link, the frees first: an object whose free is missed would be a leak that is none.
 * An allocator that tells its own samples by USDT is asked nothing else. */
static int attach_kinds(struct heap_process *p, struct heap_links *l, unsigned kinds, const struct bpf_program *program,
        int type, int is_return, struct uprobe **ret)
{
	struct uprobe_site sites[SITES_MAX];
	size_t n = 0;

	if (*ret)
		return 0;
	kinds &= has_kind(l->allocator, KIND_USDT) ? KIND_USDT : ~(unsigned)KIND_USDT;
	for (unsigned kind = KIND_FREE; kind <= KIND_USDT; kind <<= 1)
		if (kinds & kind)
			n = collect(p, l->allocator, kind, sites, n);
	if (n == 0)
		return 0;
	return uprobe_attach(program, type, is_return, l->allocator->fd, p->pid, sites, n, ret);
}

static void detach_links(struct heap_links *l)
{
	l->call = uprobe_detach(l->call);
	l->back = uprobe_detach(l->back);
	l->usdt = uprobe_detach(l->usdt);
}

static int attach_links(struct heap_process *p, struct heap_links *l, const struct heap_programs *programs)
{
	int r = 0;

	if (programs->call_type != UPROBE_ATTACH_SESSION)
		r = attach_kinds(p, l, KIND_CALL, programs->back, programs->other_type, 1, &l->back);
	if (r >= 0)
		r = attach_kinds(p, l, p->budget.kind == HEAP_STRETCH_CALLS ? KIND_CALL : KIND_FREE | KIND_CALL,
		        programs->call, programs->call_type, 0, &l->call);
	if (r >= 0)
		r = attach_kinds(p, l, KIND_USDT, programs->usdt, programs->other_type, 0, &l->usdt);
	if (r < 0)
		detach_links(l);
	return r;
}

/* A dynamic linker that cannot be watched is none to fail for. */
void heap_process_watch(struct heap_process *p, const struct heap_programs *programs)
{
	struct uprobe_site sites[SITES_MAX];
	size_t n;

	if (!p->loader_file || p->loader || p->is_loader_refused)
		return;
	n = collect(p, p->loader_file, KIND_LOADER, sites, 0);
	p->is_loader_refused = n == 0 || uprobe_attach(programs->load, programs->other_type, 0, p->loader_file->fd,
	                                         p->pid, sites, n, &p->loader) < 0;
}

static const char *method_of(const struct heap_process *p, bool usdt, bool calls)
{
	if (p->n_links == 0)
		return "no allocator found";
	if (usdt)
		return calls ? "usdt, malloc" : "usdt";
	return p->steps ? "malloc, stepped" : "malloc";
}

void heap_process_sites(const struct heap_process *p, struct heap_process_sites *ret)
{
	bool usdt = false, calls = false;

	*ret = (struct heap_process_sites){ .refused = p->refused };
	for (size_t k = 0; k < p->n_links; k++) {
		const struct heap_links *l = &p->links[k];

		usdt |= has_kind(l->allocator, KIND_USDT);
		calls |= !has_kind(l->allocator, KIND_USDT);
		for (uint32_t i = 0; i < l->allocator->n_sites; i++)
			ret->sites += is_wanted(l->allocator, &l->allocator->sites[i]);
	}
	ret->sites -= MIN(ret->sites, p->refused);
	ret->method = method_of(p, usdt, calls);
}

bool heap_process_is_nested(const struct heap_process *p, const struct user_frame *frames, size_t n)
{
	if (n < 2 || frames[0].file != frames[1].file)
		return false;
	for (size_t k = 0; k < p->n_links; k++) {
		const struct heap_allocator *a = p->links[k].allocator;
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

int heap_process_attach(struct heap_process *p, const struct heap_programs *programs)
{
	int r, result = p->n_links ? -ENODEV : 0;

	p->refused = 0;
	for (size_t i = 0; i < p->n_links; i++) {
		struct heap_links *l = &p->links[i];

		if (l->is_refused)
			continue;
		r = attach_links(p, l, programs);
		if (r == -ESRCH)
			return r;
		l->is_refused = r < 0;
		if (r >= 0)
			result = 0;
		else if (result != 0)
			result = r;
	}
	return result;
}

void heap_process_detach(struct heap_process *p)
{
	for (size_t i = 0; i < p->n_links; i++)
		detach_links(&p->links[i]);
}
