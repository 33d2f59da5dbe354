#include "daemon/resident.h"

#include <assert.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/proc_stat.h"
#include "daemon/keeper.h"
#include "daemon/process.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, size, value) ((value) = (unsigned)XXH3_64bits((key), (size)))
#include <uthash.h>

#define PAGE_BYTES (1ull << MEMORY_PAGE_SHIFT)

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FILE (1ull << 61) /* or shared memory */

struct process_key {
	uint64_t start_ns;
	uint32_t pid, padding;
};

struct page_key {
	struct process_key process;
	uint64_t number; /* address >> MEMORY_PAGE_SHIFT */
};

struct page {
	struct page_key key;
	uint32_t stack; /* of its last toucher */
	uint16_t shift;
	uint16_t kind; /* of the last report */
	UT_hash_handle hh;
};

/* Of a process that holds pages. */
struct process {
	struct process_key key;
	unsigned shift; /* of its last fault */
	bool holds;     /* seen to, by the report under way */
	UT_hash_handle hh;
};

struct resident {
	struct resident_limits limits;
	struct keeper *stacks;
	struct page *pages;
	struct process *processes;
	uint32_t *told; /* PIDs, ascending, by the last report */
	size_t n_told;
	uint64_t dropped, begin_ns;
	uint64_t page_bytes_max, page_bytes_mean;
};

int resident_new(const struct resident_limits *limits, struct resident **ret)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	int error;

	assert(limits);
	assert(ret);

	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->limits = *limits;
	r->begin_ns = UINT64_MAX;
	error = keeper_new(limits->stacks, limits->stack_bytes, &r->stacks);
	if (error < 0)
		return error;
	*ret = TAKE_PTR(r);
	return 0;
}

void resident_begin(struct resident *r, uint64_t boot_ns)
{
	r->begin_ns = boot_ns;
}

static void forget(struct resident *r, struct page *p)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an element that is in has a table */
	HASH_DEL(r->pages, p);
	free(p);
}

static void forget_process(struct resident *r, struct process *p)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an element that is in has a table */
	HASH_DEL(r->processes, p);
	free(p);
}

struct resident *resident_free(struct resident *r)
{
	struct process *process, *next_process;
	struct page *p, *next;

	if (!r)
		return NULL;
	HASH_ITER (hh, r->pages, p, next)
		forget(r, p);
	HASH_ITER (hh, r->processes, process, next_process)
		forget_process(r, process);
	(void)keeper_free(r->stacks);
	free(r->told);
	free(r);
	return NULL;
}

static int get_page(struct resident *r, const struct page_key *key, struct page **ret)
{
	struct page *p;

	HASH_FIND(hh, r->pages, key, sizeof(*key), p);
	if (p) {
		*ret = p;
		return 0;
	}
	if (HASH_COUNT(r->pages) >= r->limits.pages)
		return -ENOSPC;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct page){ .key = *key };
	HASH_ADD(hh, r->pages, key, sizeof(p->key), p);
	if (!p->hh.tbl) { /* uthash could not grow: it is not in */
		free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

#define CROWDED (3. / 4)
#define FULL (15. / 16)

static double pages_taken(const struct resident *r)
{
	return (double)HASH_COUNT(r->pages) / r->limits.pages;
}

static double stacks_taken(const struct resident *r)
{
	return fmax((double)keeper_count(r->stacks) / r->limits.stacks,
	        (double)keeper_bytes(r->stacks) / (double)r->limits.stack_bytes);
}

bool resident_is_crowded(const struct resident *r)
{
	return pages_taken(r) > CROWDED || stacks_taken(r) > CROWDED;
}

bool resident_is_full(const struct resident *r)
{
	return pages_taken(r) > FULL || stacks_taken(r) > FULL;
}

bool resident_is_roomy(const struct resident *r)
{
	return 2 * pages_taken(r) < CROWDED && stacks_taken(r) < 1. / 2; /* pages of one stack are many */
}

static bool is_same_process(const struct process_key *a, const struct process_key *b)
{
	return a->pid == b->pid && a->start_ns == b->start_ns;
}

static int by_process(const struct page *a, const struct page *b)
{
	const struct process_key *x = &a->key.process, *y = &b->key.process;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return a->key.number < b->key.number ? -1 : a->key.number > b->key.number;
}

/* Where they are sorted. */
static bool is_last_of_process(const struct page *p)
{
	const struct page *next = p->hh.next;

	return !next || !is_same_process(&p->key.process, &next->key.process);
}

/* Tells whether the page stays: it is watched still, and stands for more. */
static bool coarsen_page(struct page *p, unsigned shift)
{
	const uint64_t per_region = 1u << MEMORY_PAGES_PER_REGION_SHIFT;
	uint32_t hash = MEMORY_REGION_HASH(p->key.number / per_region);

	if (!MEMORY_PAGE_WATCHED(hash, (uint32_t)(p->key.number % per_region), shift))
		return false;
	p->shift = (uint16_t)MAX(p->shift, shift);
	return true;
}

/* Before the page of a watched fault is added, so none need stay. */
static void coarsen_process(struct resident *r, const struct process_key *process, unsigned shift)
{
	struct page *p, *next;

	HASH_ITER (hh, r->pages, p, next)
		if (is_same_process(process, &p->key.process) && !coarsen_page(p, shift))
			forget(r, p);
}

/* Stacks that hold nothing any more leave the table: those that are left move to a new one, which is never larger. */
static int drop_unused_stacks(struct resident *r)
{
	_cleanup_(keeper_freep) struct keeper *kept = NULL;
	struct page *p, *next;
	int error;

	error = keeper_new(r->limits.stacks, r->limits.stack_bytes, &kept);
	if (error < 0)
		return error;
	HASH_ITER (hh, r->pages, p, next) {
		error = keeper_copy(kept, r->stacks, p->stack, &p->stack);
		if (error < 0) { /* out of memory: it would name a stack of the old table */
			forget(r, p);
			r->dropped++;
		}
	}
	(void)keeper_free(r->stacks);
	r->stacks = TAKE_PTR(kept);
	return 0;
}

/* The last page of a process stays if no other does, for what it stood for: so that the process is still known, and its
 * sum. */
void resident_coarsen(struct resident *r, unsigned shift)
{
	struct page *p, *next;
	bool has_other = false;

	assert(r);

	HASH_SORT(r->pages, by_process);
	HASH_ITER (hh, r->pages, p, next) {
		bool is_last = is_last_of_process(p);

		if (coarsen_page(p, shift))
			has_other = true;
		else if (has_other || !is_last)
			forget(r, p);
		has_other &= !is_last;
	}
	(void)drop_unused_stacks(r); /* where it can't, those that hold nothing stay */
}

/* No more of them than of pages: each report forgets those without. */
static int get_process(struct resident *r, const struct process_key *key, struct process **ret)
{
	struct process *p;

	HASH_FIND(hh, r->processes, key, sizeof(*key), p);
	if (p) {
		*ret = p;
		return 0;
	}
	if (HASH_COUNT(r->processes) >= r->limits.pages)
		return -ENOSPC;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct process){ .key = *key };
	HASH_ADD(hh, r->processes, key, sizeof(p->key), p);
	if (!p->hh.tbl) {
		free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

static int follow_shift(struct resident *r, const struct process_key *key, unsigned shift)
{
	struct process *p;
	int error = get_process(r, key, &p);

	if (error < 0)
		return error;
	if (shift > p->shift)
		coarsen_process(r, key, shift);
	p->shift = shift;
	return 0;
}

/* The watched pages among those that a fault may have brought in. */
static int touch_pages(
        struct resident *r, const struct process_key *process, const struct resident_fault *f, uint32_t stack)
{
	static const unsigned reach_shift[] = { [MEMORY_REACH_PAGE] = MEMORY_PAGE_SHIFT,
		[MEMORY_REACH_BLOCK] = MEMORY_BLOCK_SHIFT,
		[MEMORY_REACH_REGION] = MEMORY_REGION_SHIFT };
	const uint64_t per_region = 1u << MEMORY_PAGES_PER_REGION_SHIFT;
	const uint64_t n = 1ull << (reach_shift[f->reach] - MEMORY_PAGE_SHIFT);
	const uint64_t first = f->address >> reach_shift[f->reach] << (reach_shift[f->reach] - MEMORY_PAGE_SHIFT);
	uint32_t hash = MEMORY_REGION_HASH(first / per_region);

	for (uint64_t i = 0; i < n; i++) {
		struct page_key key = { .process = *process, .number = first + i };
		struct page *p;
		int error;

		if (!MEMORY_PAGE_WATCHED(hash, (uint32_t)(key.number % per_region), f->shift))
			continue;
		error = get_page(r, &key, &p);
		if (error < 0)
			return error;
		p->stack = stack;
		p->shift = (uint16_t)f->shift;
	}
	return 0;
}

int resident_touch(struct resident *r, const struct sample *s, const struct resident_fault *f)
{
	struct process_key process;
	uint32_t stack;
	int error;

	assert(r);
	assert(s);
	assert(f);

	if (f->reach > MEMORY_REACH_REGION || f->shift > MEMORY_SHIFT_MAX)
		return -EINVAL;
	process = (struct process_key){ .start_ns = s->process_start_ns, .pid = s->pid };
	error = keeper_put(r->stacks, s, &stack);
	if (error >= 0 && !f->once)
		error = follow_shift(r, &process, f->shift);
	if (error >= 0) /* where that has forgotten pages there is room: none is left without */
		error = touch_pages(r, &process, f, stack);
	if (error < 0)
		r->dropped++;
	return error;
}

/* The child's samples are its own: the parent's stack under another process. */
static int copy_page(struct resident *r, const struct page *from, uint32_t child, uint64_t child_start_ns)
{
	struct page_key key = { .process = { .start_ns = child_start_ns, .pid = child }, .number = from->key.number };
	struct sample s;
	struct page *p;
	uint32_t stack;
	int error;

	HASH_FIND(hh, r->pages, &key, sizeof(key), p);
	if (p) /* the child has touched it itself by now */
		return 0;
	keeper_get(r->stacks, from->stack, &s);
	s.pid = s.tid = child;
	s.process_start_ns = child_start_ns;
	error = keeper_put(r->stacks, &s, &stack);
	if (error >= 0)
		error = get_page(r, &key, &p);
	if (error < 0)
		return error;
	p->stack = stack;
	p->shift = from->shift;
	return 0;
}

int resident_fork(struct resident *r, uint32_t parent, uint32_t child, uint64_t child_start_ns)
{
	struct page *p, *next;
	int error = 0;

	HASH_ITER (hh, r->pages, p, next) {
		if (p->key.process.pid != parent)
			continue;
		error = copy_page(r, p, child, child_start_ns);
		if (error < 0) {
			r->dropped++;
			break;
		}
	}
	return error;
}

/* ---- report ---- */

/* What there is of a process, in the two kinds that the kernel tells apart. */
enum { KIND_PRIVATE, KIND_FILE, KINDS, KIND_GONE = KINDS };
struct kind {
	double bytes, squares; /* what its pages stand for, and the sum of the squares */
};

static double page_bytes(const struct page *p)
{
	return (double)(PAGE_BYTES << p->shift);
}

/* Whether it is there, and of which kind. */
static bool look_at_page(int pagemap, struct page *p)
{
	uint64_t entry;

	if (pagemap < 0 || fd_pread_full(pagemap, &entry, sizeof(entry), p->key.number * sizeof(entry)) < 0 ||
	        !(entry & PAGEMAP_PRESENT))
		return false;
	p->kind = entry & PAGEMAP_FILE ? KIND_FILE : KIND_PRIVATE;
	return true;
}

/* What the kernel says that the process has. proc_dirfd: /proc/PID. */
static int read_statm(int proc_dirfd, double ret[static KINDS])
{
	const double page = (double)sysconf(_SC_PAGESIZE);
	_cleanup_free_ char *text = NULL;
	unsigned long long resident, shared;
	int error = file_read_all(proc_dirfd, "statm", 256, &text, NULL);

	if (error < 0)
		return error;
	if (sscanf(text, "%*u %llu %llu", &resident, &shared) != 2 || shared > resident)
		return -EBADMSG;
	ret[KIND_PRIVATE] = (double)(resident - shared) * page;
	ret[KIND_FILE] = (double)shared * page;
	return 0;
}

/* The kernel may count a process's pages in batches for each CPU (percpu_counter, lib/percpu_counter.c). */
static double statm_error(void)
{
	const double cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);

	return fmax(32, 2 * cpus) * cpus * (double)sysconf(_SC_PAGESIZE);
}

struct report {
	struct resident *resident;
	int proc_dirfd;
	double statm_error; /* of each of its sums, in bytes */
	uint64_t *bytes;    /* by stack */
	double told;
	resident_each_t each;
	void *userdata;
};

#define STANDARD_ERRORS 3
#define NO_FAULT_SEEN "no fault seen"

/* By how much the pages of a kind are to weigh more or less. *ret_rest: what nobody was seen to bring in. */
static double correction(const struct kind *k, double known, double known_error, double *ret_rest)
{
	const double chance = sqrt(k->squares), missing = known - k->bytes;

	*ret_rest = 0;
	if (fabs(missing) > STANDARD_ERRORS * chance) { /* where there is no page, any is more than chance */
		*ret_rest = fmax(missing, 0);
		return 1;
	}
	return k->bytes > 0 && known_error <= chance ? known / k->bytes : 1;
}

/* Of a process that began under watch. Returns the bytes without a fault that was seen. */
static double find_corrections(const struct report *t, const struct process_key *process, int dirfd,
        const struct kind *kinds, double ret[static KINDS])
{
	double known[KINDS], rest, sum = 0;
	bool all_known = process->start_ns >= t->resident->begin_ns && read_statm(dirfd, known) >= 0;

	for (unsigned i = 0; i < KINDS; i++) {
		ret[i] = all_known ? correction(&kinds[i], known[i], t->statm_error, &rest) : 1;
		sum += all_known ? rest : 0;
	}
	return sum > t->statm_error ? sum : 0;
}

static void mark_holder(struct resident *r, const struct process_key *key)
{
	struct process *p;

	HASH_FIND(hh, r->processes, key, sizeof(*key), p);
	if (p)
		p->holds = true;
}

static void tell(const struct report *t, struct sample *s, uint64_t bytes)
{
	s->time_ns = clock_now_ns(CLOCK_REALTIME);
	t->each(t->userdata, s, bytes);
}

/* stack: any of the process, for what the process is. */
static void tell_rest(const struct report *t, uint32_t stack, double bytes)
{
	struct sample s;

	keeper_get(t->resident->stacks, stack, &s);
	s.tid = s.pid;
	s.n_user = 0;
	s.truncated = NO_FAULT_SEEN;
	tell(t, &s, (uint64_t)bytes);
}

/* The pages from first on that are one process's: counts what is there, forgets what is not. Returns the first page of
 * the next process. */
static struct page *count_process(struct report *t, struct page *first)
{
	const struct process_key process = first->key.process;
	_cleanup_close_ int dirfd = process_open(t->proc_dirfd, process.pid, process.start_ns), pagemap = -1;
	struct kind kinds[KINDS] = { 0 };
	struct page *kept = NULL, *next, *p;
	double corrections[KINDS + 1] = { [KIND_GONE] = 0 }, rest;

	if (dirfd >= 0)
		pagemap = openat(dirfd, "pagemap", O_RDONLY | O_CLOEXEC);
	for (p = first; p && is_same_process(&process, &p->key.process); p = next) {
		next = p->hh.next;
		if (!look_at_page(pagemap, p)) {
			p->kind = KIND_GONE;
			if (dirfd >= 0 && is_last_of_process(p) && !kept)
				kept = p; /* that tells whose the rest is */
			else
				forget(t->resident, p);
			continue;
		}
		kept = kept ? kept : p;
		kinds[p->kind].bytes += page_bytes(p);
		kinds[p->kind].squares += page_bytes(p) * page_bytes(p);
		t->told += page_bytes(p);
		t->resident->page_bytes_max = MAX(t->resident->page_bytes_max, PAGE_BYTES << p->shift);
	}
	next = p;
	if (!kept)
		return next;
	mark_holder(t->resident, &process);
	t->resident->told[t->resident->n_told++] = process.pid;
	rest = find_corrections(t, &process, dirfd, kinds, corrections);
	for (p = kept; p != next; p = p->hh.next)
		t->bytes[p->stack] += (uint64_t)(page_bytes(p) * corrections[p->kind]);
	if (rest > 0)
		tell_rest(t, kept->stack, rest);
	return next;
}

static void drop_unused_processes(struct resident *r)
{
	struct process *p, *next;

	HASH_ITER (hh, r->processes, p, next) {
		if (!p->holds)
			forget_process(r, p);
		else
			p->holds = false;
	}
}

/* Forgets the pages from first on that are one process's, if it is gone. Returns the first page of the next process. */
static struct page *keep_if_there(struct resident *r, int proc_dirfd, struct page *first)
{
	const struct process_key process = first->key.process;
	_cleanup_close_ int dirfd = process_open(proc_dirfd, process.pid, process.start_ns);
	struct page *next, *p;

	if (dirfd >= 0)
		mark_holder(r, &process);
	for (p = first; p && is_same_process(&process, &p->key.process); p = next) {
		next = p->hh.next;
		if (dirfd < 0)
			forget(r, p);
	}
	return p;
}

static void count_pages(struct report *t)
{
	struct resident *r = t->resident;

	r->page_bytes_max = 0;
	HASH_SORT(r->pages, by_process);
	for (struct page *p = r->pages; p;)
		p = count_process(t, p);
	drop_unused_processes(r);
	r->page_bytes_mean = r->pages ? (uint64_t)t->told / HASH_COUNT(r->pages) : 0;
}

int resident_forget_gone(struct resident *r, int proc_dirfd)
{
	assert(r);

	HASH_SORT(r->pages, by_process);
	for (struct page *p = r->pages; p;)
		p = keep_if_there(r, proc_dirfd, p);
	drop_unused_processes(r);
	return drop_unused_stacks(r);
}

static void tell_stacks(const struct report *t)
{
	for (uint32_t i = 0; i < keeper_count(t->resident->stacks); i++) {
		struct sample s;

		if (t->bytes[i] == 0)
			continue;
		keeper_get(t->resident->stacks, i, &s);
		tell(t, &s, t->bytes[i]);
	}
}

int resident_report(struct resident *r, int proc_dirfd, resident_each_t each, void *userdata)
{
	_cleanup_free_ uint64_t *bytes = NULL;
	struct report t = {
		.resident = r,
		.proc_dirfd = proc_dirfd,
		.statm_error = statm_error(),
		.each = each,
		.userdata = userdata,
	};
	int error;

	assert(r);
	assert(each);

	t.bytes = bytes = calloc(MAX(keeper_count(r->stacks), 1u), sizeof(*bytes));
	free(r->told);
	r->n_told = 0;
	r->told = calloc(MAX(HASH_COUNT(r->pages), 1u), sizeof(*r->told)); /* at most one a page */
	if (!bytes || !r->told)
		return -ENOMEM;
	count_pages(&t);
	tell_stacks(&t);
	error = drop_unused_stacks(r);
	return error < 0 ? error : (int)HASH_COUNT(r->pages);
}

static int by_pid(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void resident_tell_unseen(const struct resident *r, int proc_dirfd, uint32_t pid, resident_each_t each, void *userdata)
{
	struct sample s = { .pid = pid, .tid = pid, .exe = FILE_NONE, .truncated = NO_FAULT_SEEN };
	_cleanup_close_ int dirfd = -1;
	struct proc_stat stat;
	double known[KINDS];

	assert(r);
	assert(each);

	if (!r->told || bsearch(&pid, r->told, r->n_told, sizeof(pid), by_pid))
		return;
	dirfd = process_open(proc_dirfd, pid, 0);
	if (dirfd < 0 || proc_stat_read(dirfd, "stat", &stat) < 0 || stat.start_ns < r->begin_ns ||
	        read_statm(dirfd, known) < 0 || known[KIND_PRIVATE] + known[KIND_FILE] <= statm_error())
		return;
	s.time_ns = clock_now_ns(CLOCK_REALTIME);
	s.process_start_ns = stat.start_ns;
	proc_comm((int)pid, s.comm);
	memcpy(s.thread, s.comm, sizeof(s.thread));
	each(userdata, &s, (uint64_t)(known[KIND_PRIVATE] + known[KIND_FILE]));
}

void resident_stats(const struct resident *r, struct resident_stats *ret)
{
	*ret = (struct resident_stats){
		.pages = HASH_COUNT(r->pages),
		.stacks = keeper_count(r->stacks),
		.bytes = keeper_bytes(r->stacks) + HASH_COUNT(r->pages) * sizeof(struct page) +
		         HASH_COUNT(r->processes) * sizeof(struct process),
		.dropped = r->dropped,
		.page_bytes_max = r->page_bytes_max,
		.page_bytes_mean = r->page_bytes_mean,
	};
}
