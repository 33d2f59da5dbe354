#include "daemon/heap_probing.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/proc_stat.h"
#include "bpf/abi.h"
#include "daemon/uprobe.h"
#include "daemon/uprobe_queue.h"

/* The kernel spends a link's time on waiting for others (RCU), not on work: some at a time cost no more. */
#define THREADS 8

struct part {
	const struct heap_allocator *allocator;
	struct uprobe *call, *back, *usdt;
	bool is_refused; /* attaching it failed: not tried again */
};

struct heap_probings {
	struct uprobe_queue *queue;
	struct heap_programs programs;
	size_t n;
	bool is_crowded;
};

struct heap_probing {
	struct heap_probings *all;
	pid_t pid;
	uint64_t start_ns;
	bool may_step;
	void (*changed)(void *userdata);
	void *userdata;

	/* The loop's own; the thread reads the first n_parts of files, which never change. */
	const struct heap_allocator *files[HEAP_ALLOCATORS_MAX];
	size_t n_files;
	const struct heap_allocator *loader_file;
	bool is_wanted, is_calls_only, is_let_go, is_to_renew, is_on_its_way;

	/* Where the way leads: set before the job is pushed. */
	struct uprobe_job job;
	size_t n_parts; /* 0: out */
	const struct heap_allocator *loader_to_be;
	bool is_anew, is_calls_to_be;
	atomic_bool is_called_off; /* it need not go in any more */

	/* The thread's own while the job is on its way. */
	struct part parts[HEAP_ALLOCATORS_MAX];
	struct part loader;
	size_t n_tried, n_in; /* of parts */
	bool is_calls_in;     /* no frees are */
	bool is_gone;         /* its PID is another one's */
};

/* ---- in the thread ---- */

static uint64_t cookie_of(const struct site *s)
{
	return HEAP_COOKIE(s->function, s->flags, s->probe) |
	       HEAP_COOKIE_OPERANDS(s->operands[0], s->operands[1], s->operands[2]);
}

/* Adds the sites of one kind to ret and returns how many there are now. */
static size_t collect(
        const struct heap_probing *p, const struct heap_allocator *a, unsigned kind, struct uprobe_site *ret, size_t n)
{
	for (uint32_t i = 0; i < a->n_sites; i++) {
		const struct site *s = &a->sites[i];

		if (heap_site_kind(s) == kind && heap_site_may_probe(s, p->may_step))
			ret[n++] = (struct uprobe_site){
				.offset = s->probe, .counter_offset = s->counter_offset, .cookie = cookie_of(s)
			};
	}
	return n;
}

/* All sites of these kinds by one link, the frees first: an object whose free is missed would be a leak that is none.
 */
static int attach_kinds(const struct heap_probing *p, const struct heap_allocator *a, unsigned kinds,
        const struct bpf_program *program, int type, int is_return, struct uprobe **ret)
{
	struct uprobe_site sites[SITES_MAX];
	size_t n = 0;

	if (*ret)
		return 0;
	for (unsigned kind = HEAP_KIND_FREE; kind <= HEAP_KIND_LOADER; kind <<= 1)
		if (kinds & kind)
			n = collect(p, a, kind, sites, n);
	if (n == 0)
		return 0;
	return uprobe_attach(program, type, is_return, a->fd, p->pid, sites, n, ret);
}

static void part_out(struct part *part)
{
	part->call = uprobe_detach(part->call);
	part->back = uprobe_detach(part->back);
	part->usdt = uprobe_detach(part->usdt);
}

static bool part_is_in(const struct part *part)
{
	return part->call || part->back || part->usdt;
}

static int part_attach(const struct heap_probing *p, struct part *part)
{
	const struct heap_programs *programs = &p->all->programs;
	const struct heap_allocator *a = part->allocator;
	unsigned kinds = heap_allocator_kinds_wanted(a);
	unsigned calls = kinds & (p->is_calls_to_be ? HEAP_KIND_CALL : HEAP_KIND_FREE | HEAP_KIND_CALL);
	int r = 0;

	if (programs->call_type != UPROBE_ATTACH_SESSION)
		r = attach_kinds(p, a, calls & HEAP_KIND_CALL, programs->back, programs->other_type, 1, &part->back);
	if (r >= 0)
		r = attach_kinds(p, a, calls, programs->call, programs->call_type, 0, &part->call);
	if (r >= 0)
		r = attach_kinds(p, a, kinds & HEAP_KIND_USDT, programs->usdt, programs->other_type, 0, &part->usdt);
	return r;
}

static bool is_same(const struct heap_probing *p)
{
	uint64_t start_ns;

	return proc_start_ns(p->pid, &start_ns) >= 0 && start_ns == p->start_ns;
}

/* A dynamic linker that cannot be watched is none to fail for. */
static void loader_in(struct heap_probing *p)
{
	struct part *l = &p->loader;

	if (!l->allocator || l->call || l->is_refused)
		return;
	l->is_refused = attach_kinds(p, l->allocator, HEAP_KIND_LOADER, p->all->programs.load,
	                        p->all->programs.other_type, 0, &l->call) < 0;
}

static void loader_out(struct heap_probing *p)
{
	part_out(&p->loader);
	p->loader = (struct part){ .allocator = p->loader_to_be };
}

static void parts_in(struct heap_probing *p)
{
	p->is_calls_in = p->is_calls_to_be;
	for (size_t i = 0; i < p->n_parts && !atomic_load(&p->is_called_off); i++) {
		struct part *part = &p->parts[i];

		part->allocator = p->files[i];
		if (!part->is_refused)
			part->is_refused = part_attach(p, part) < 0;
		if (part->is_refused)
			part_out(part);
		p->n_tried = MAX(p->n_tried, i + 1);
	}
}

static void parts_out(struct heap_probing *p)
{
	for (size_t i = 0; i < HEAP_ALLOCATORS_MAX; i++)
		part_out(&p->parts[i]);
	p->n_tried = 0;
}

static void count_parts(struct heap_probing *p)
{
	p->n_in = 0;
	for (size_t i = 0; i < HEAP_ALLOCATORS_MAX; i++)
		p->n_in += part_is_in(&p->parts[i]);
}

/* The kernel finds a process by its PID, which may be another one's by now: asked before and after. */
static void go(void *userdata)
{
	struct heap_probing *p = userdata;

	if (p->is_anew || p->n_parts == 0)
		parts_out(p);
	if (p->is_anew || p->loader.allocator != p->loader_to_be)
		loader_out(p);
	p->is_gone |= !is_same(p);
	if (!p->is_gone) {
		loader_in(p);
		parts_in(p);
		p->is_gone = !is_same(p);
	}
	if (p->is_gone) {
		parts_out(p);
		p->loader_to_be = NULL;
		loader_out(p);
	}
	count_parts(p);
}

/* ---- on the loop ---- */

static size_t parts_to_be(const struct heap_probing *p)
{
	return p->is_wanted && !p->is_let_go && !p->is_gone ? p->n_files : 0;
}

static const struct heap_allocator *loader_to_be(const struct heap_probing *p)
{
	return p->is_let_go || p->is_gone || p->all->is_crowded ? NULL : p->loader_file;
}

static bool is_there(const struct heap_probing *p)
{
	return !p->is_to_renew && p->loader.allocator == loader_to_be(p) &&
	       (parts_to_be(p) ? p->n_tried == p->n_files && p->is_calls_in == p->is_calls_only : p->n_in == 0);
}

/* Sets out for what is wanted now, if anything else is in force. */
static void set_out(struct heap_probing *p)
{
	int r;

	if (p->is_on_its_way || is_there(p))
		return;
	p->n_parts = parts_to_be(p);
	p->loader_to_be = loader_to_be(p);
	p->is_anew = p->is_to_renew || p->is_calls_in != p->is_calls_only;
	p->is_calls_to_be = p->is_calls_only;
	p->is_to_renew = false;
	atomic_store(&p->is_called_off, false);
	p->is_on_its_way = true;
	r = uprobe_queue_push(p->all->queue, &p->job);
	assert(r >= 0); /* one job each, and it has room for HEAP_PROBINGS_MAX */
	(void)r;
}

static void arrived(void *userdata)
{
	struct heap_probing *p = userdata;

	p->is_on_its_way = false;
	set_out(p);
	if (!p->is_let_go) {
		p->changed(p->userdata);
		return;
	}
	if (p->is_on_its_way)
		return;
	p->all->n--;
	free(p);
}

int heap_probings_new(sd_event *loop, const struct heap_programs *programs, struct heap_probings **ret)
{
	_cleanup_free_ struct heap_probings *all = calloc(1, sizeof(*all));
	int r;

	assert(programs);
	assert(ret);

	if (!all)
		return -ENOMEM;
	all->programs = *programs;
	r = uprobe_queue_new(loop, THREADS, HEAP_PROBINGS_MAX, &all->queue);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(all);
	return 0;
}

struct heap_probings *heap_probings_free(struct heap_probings *all)
{
	if (!all)
		return NULL;
	all->queue = uprobe_queue_free(all->queue);
	assert(all->n == 0);
	free(all);
	return NULL;
}

size_t heap_probings_n(const struct heap_probings *all)
{
	return all->n;
}

void heap_probings_set_crowded(struct heap_probings *all, bool is_crowded)
{
	all->is_crowded = is_crowded;
}

int heap_probing_new(struct heap_probings *all, pid_t pid, uint64_t start_ns, bool may_step,
        void (*changed)(void *userdata), void *userdata, struct heap_probing **ret)
{
	struct heap_probing *p;

	assert(all);
	assert(changed);
	assert(ret);

	if (all->n >= HEAP_PROBINGS_MAX)
		return -EAGAIN;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct heap_probing){ .all = all,
		.pid = pid,
		.start_ns = start_ns,
		.may_step = may_step,
		.changed = changed,
		.userdata = userdata,
		.job = { .work = go, .done = arrived, .userdata = p } };
	all->n++;
	*ret = p;
	return 0;
}

struct heap_probing *heap_probing_free(struct heap_probing *p)
{
	if (!p)
		return NULL;
	p->is_let_go = true;
	atomic_store(&p->is_called_off, true);
	set_out(p);
	if (!p->is_on_its_way) {
		p->all->n--;
		free(p);
	}
	return NULL;
}

int heap_probing_add(struct heap_probing *p, const struct heap_allocator *a)
{
	for (size_t i = 0; i < p->n_files; i++)
		if (p->files[i] == a)
			return 0;
	if (p->n_files == HEAP_ALLOCATORS_MAX)
		return -ENOSPC;
	p->files[p->n_files++] = a;
	set_out(p);
	return 1;
}

size_t heap_probing_files(const struct heap_probing *p, const struct heap_allocator *const **ret)
{
	*ret = p->files;
	return p->n_files;
}

void heap_probing_set_loader(struct heap_probing *p, const struct heap_allocator *a)
{
	p->loader_file = a;
	set_out(p);
}

void heap_probing_renew(struct heap_probing *p)
{
	p->is_to_renew = true;
	set_out(p);
}

void heap_probing_want(struct heap_probing *p, bool in, bool calls_only)
{
	p->is_wanted = in;
	p->is_calls_only = in ? calls_only : p->is_calls_only;
	if (!in)
		atomic_store(&p->is_called_off, true);
	set_out(p);
}

bool heap_probing_is_wanted(const struct heap_probing *p)
{
	return p->is_wanted;
}

bool heap_probing_is_in(const struct heap_probing *p)
{
	return p->is_wanted && !p->is_on_its_way && p->n_in > 0;
}

bool heap_probing_is_on_its_way(const struct heap_probing *p)
{
	return p->is_on_its_way;
}

bool heap_probing_is_out(const struct heap_probing *p)
{
	return !p->is_wanted && !p->is_on_its_way && p->n_in == 0;
}
