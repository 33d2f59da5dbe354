/* heap: what is allocated and what of it is in use. Each selected process has its allocators probed within a budget
 * (heap_process.c, heap_budget.c); sampled calls come from bpf/heap.bpf.c and are weighed and kept in heap_objects.c.
 *
 * Where the probes are in all the time, every object's life is seen, and in use is what was allocated and not freed.
 * Where the budget takes them out, allocations are scaled from the stretches that were seen to the whole, and in use
 * says only what outlived its stretch ("survivors"); the ledger tells which, and how far the numbers may be off. */
#include <assert.h>
#include <bpf/bpf.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc_stat.h"
#include "daemon/heap_allocators.h"
#include "daemon/heap_calibrate.h"
#include "daemon/heap_ledger.h"
#include "daemon/heap_objects.h"
#include "daemon/heap_process.h"
#include "daemon/heap_programs.h"
#include "daemon/heap_room.h"
#include "daemon/heap_ticks.h"
#include "daemon/sources.h"
#include "daemon/targets.h"
#include "daemon/uprobe.h"
#include "bpf/heap.skel.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define RING_BYTES (256u << 10)
#define INTERVAL_DEFAULT (512u << 10)
/* Until a process has made some calls, at most, and was looked at; else one that is over soon would be known by a
 * handful of samples. */
#define INTERVAL_AT_START (128u << 10)
#define START_HITS 256
#define BUDGET_ALWAYS 0.03
#define BUDGET_ON_DEMAND 0.05
/* So much of one core is allowed for all targets together, however little they run: it slows nobody noticeably, and a
 * program that mostly sleeps is seen whole. */
#define COMMONS_ALWAYS 0.01
#define COMMONS_ON_DEMAND 0.0275
#define STEP_NS (10 * NS_PER_MS) /* how often accounts are looked at */
#define STEPS_OUT 10             /* in so many steps once, where they are many and their probes are out */
/* Processes that are probed at a time, and a turn where more are to be: putting probes in takes 0.5 ms of CPU time and
 * out 0.6, which grows with the places, and out besides 70 ms of a thread that waits for the kernel. */
#define PLACES 64
#define TURN_ON_DEMAND_NS (2 * NS_PER_SEC)
#define TURN_ALWAYS_NS (10 * NS_PER_SEC)
#define RESCAN_NS NS_PER_SEC
/* Of a hit's price, for the link of each other process at the same place (docs/profiles/heap.md). */
#define LINK_SHARE 0.045
#define TICKS_MANY_NS NS_PER_SEC /* many ticks after probes went in for the first time */
#define TARGETS_MAX (HEAP_PROCESSES_MAX / 2)
#define LINKS_FILES_WANTED 16384
#define EXIT_WAIT_NS NS_PER_SEC /* the record of it, with the last samples before it, is drained by then, or lost */
#define FORK_SCAN_AFTER_NS (20 * NS_PER_MS) /* most children of fork run another program by then, or are gone */

/* After an exec libraries come in little by little; those opened late are told by the dynamic linker. */
static const uint64_t scan_after_ms[] = { 2, 10, 50, 200, 1000, 5000 };

struct target {
	pid_t pid;
	struct source_instance *instance;
	struct heap_process *process;
	UT_hash_handle hh;
};

struct heap {
	struct heap_bpf *skel;
	struct heap_programs programs;
	struct heap_probings *probings;
	struct heap_objects *objects;
	struct heap_room room;
	struct heap_sites *sites;
	struct target *processes;
	struct targets targets;
	struct heap_prices prices;
	double stepped_ns; /* price of a hit that is single-stepped */
	struct heap_ticks *ticks;
	sd_event_source *timer;
	uint64_t hold;
	double budget;
	struct heap_commons commons;
	bool is_interval_fixed;
	struct heap_turns turns;
	unsigned steps;
	struct heap_ledger ledger;                     /* of this window */
	struct sample_label labels[SAMPLE_LABELS_MAX]; /* of the process that is told */
};

/* ---- delivery ---- */

static void deliver(void *userdata, struct sample *s, const struct heap_objects_values *v)
{
	struct source_instance *i = userdata;
	struct heap *h = i->implementation;

	s->values[0] = v->alloc_objects;
	s->values[1] = v->alloc_bytes;
	s->values[2] = v->inuse_objects;
	s->values[3] = v->inuse_bytes;
	memcpy(s->labels, h->labels, sizeof(s->labels));
	h->ledger.told_bytes += (double)v->alloc_bytes;
	i->sample(i->userdata, i, s);
}

static void drop_live(void *userdata, uint32_t pid, uint64_t address)
{
	struct heap *h = userdata;
	struct heap_key key = { .address = address, .pid = pid };

	(void)bpf_map_delete_elem(bpf_map__fd(h->skel->maps.heap_live), &key);
}

/* What was settled is told, and how far it may be off. */
static void tell(struct source_instance *i, struct heap_process *p)
{
	struct heap *h = i->implementation;
	double before = h->ledger.told_bytes;
	struct heap_window w;

	heap_estimate_close_window(&p->budget.estimate, &w);
	heap_process_label(p, h->labels);
	heap_objects_report(h->objects, (uint32_t)p->pid, w.factor, w.seen_factor, deliver, i);
	*(w.is_by_time ? &p->common_bytes : &p->error_bytes) += w.error * (h->ledger.told_bytes - before);
}

/* Settles what a process allocated since the last time; is_last: of its window. */
static void close_stretch(struct source_instance *i, struct heap_process *p, bool is_last)
{
	struct heap *h = i->implementation;
	const struct heap_stretch stretch = p->budget.estimate.now;
	struct heap_scale scale = heap_budget_close_stretch(&p->budget, is_last);

	if (scale.allocated > 0) { /* else it goes on */
		heap_objects_settle(h->objects, (uint32_t)p->pid, scale.allocated, p->is_duty ? scale.in_use : 1);
		if (p->is_duty)
			heap_ledger_add_stretch(&h->ledger, &stretch);
	}
	if (p->is_duty) /* what becomes of the survivors is not seen */
		heap_objects_forget(h->objects, (uint32_t)p->pid, drop_live, h);
	if (heap_estimate_is_full(&p->budget.estimate))
		tell(i, p);
}

static void close_window(struct source_instance *i, struct heap_process *p)
{
	struct heap *h = i->implementation;

	close_stretch(i, p, true);
	tell(i, p);
	heap_unseen_begin_window(&p->unseen, p->meter.frees);
	heap_ledger_take(&h->ledger, p);
	/* frees that were not seen leave nothing to be known of what is in use, however long the probes stay in now */
	p->is_duty = heap_process_has_allocator(p) && (!p->budget.is_attached || p->budget.kind == HEAP_STRETCH_CALLS);
}

/* ---- processes ---- */

static struct target *target_free(struct target *t)
{
	if (!t)
		return NULL;
	(void)heap_process_free(t->process);
	free(t);
	return NULL;
}

DEFINE_CLEANUP(struct target *, target_free)

static struct target *find(struct heap *h, pid_t pid)
{
	struct target *t;

	HASH_FIND_INT(h->processes, &pid, t);
	return t;
}

static int read_meter(struct heap *h, struct heap_process *p)
{
	p->meter.tick = heap_ticks_progress(h->ticks);
	return heap_process_read(p, bpf_map__fd(h->skel->maps.heap_processes));
}

static void account(struct heap *h, struct heap_process *p)
{
	if (read_meter(h, p) >= 0)
		(void)heap_budget_step(&p->budget, &p->meter);
}

/* It ends: what it was slowed by until then counts, even if nothing else is known of it any more. */
static void account_last(struct heap *h, struct heap_process *p)
{
	if (heap_process_read_last(p, bpf_map__fd(h->skel->maps.heap_processes)) >= 0)
		(void)heap_budget_step(&p->budget, &p->meter);
}

static void forget_process(struct source_instance *i, struct target *t)
{
	struct heap *h = i->implementation;
	uint32_t id = (uint32_t)t->pid;

	account_last(h, t->process);
	heap_budget_end(&t->process->budget);
	close_window(i, t->process);
	heap_objects_forget(h->objects, id, drop_live, h);
	(void)bpf_map_delete_elem(bpf_map__fd(h->skel->maps.heap_processes), &id);
	(void)bpf_map_delete_elem(bpf_map__fd(h->skel->maps.heap_intervals), &id);
	heap_ledger_note(&h->ledger, t->process);
	heap_turns_leave(&h->turns, &t->process->turn);
	HASH_DEL(h->processes, t);
	(void)target_free(t);
}

static int set_interval(struct heap *h, struct heap_process *p, uint64_t interval)
{
	uint32_t id = (uint32_t)p->pid;

	p->interval = interval;
	if (interval && p->budget.kind == HEAP_STRETCH_CALLS)
		interval |= HEAP_ALLOCATED_ONLY;
	return bpf_map_update_elem(bpf_map__fd(h->skel->maps.heap_intervals), &id, &interval, BPF_ANY) < 0 ? -errno : 0;
}

/* The list of all links at a place is walked for each hit. */
static void set_price(struct heap *h, struct heap_process *p)
{
	size_t others = MAX(h->turns.taken + h->turns.leaving, (size_t)1) - 1;
	double hit_ns = p->sites.steps ? MAX(h->prices.hit_ns, h->stepped_ns) : h->prices.hit_ns;

	p->budget.prices.hit_ns = hit_ns * (1 + LINK_SHARE * (double)others);
}

static void open_gate(struct heap *h, struct heap_process *p)
{
	account(h, p);
	heap_unseen_open(&p->unseen, p->meter.frees);
	p->budget.is_attached = set_interval(h, p, p->interval) >= 0;
}

static void close_gate(struct heap *h, struct heap_process *p)
{
	uint64_t interval = p->interval;

	(void)set_interval(h, p, 0);
	p->interval = interval;
	account(h, p);
	p->budget.is_attached = false;
}

static bool is_crowded(const struct heap *h)
{
	return HASH_COUNT(h->processes) > PLACES;
}

/* A turn for its probes is the next thing, or has come. */
static bool may_enter(struct heap *h, struct heap_process *p)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);

	if (heap_turns_is_over(&h->turns, &p->turn, now))
		return false; /* those of its last turn are on their way out */
	if (!heap_turns_ask(&h->turns, &p->turn, now)) {
		p->is_duty = true;
		return false;
	}
	if (is_crowded(h) && now - p->last_scan_ns > RESCAN_NS) { /* nobody has told what it has opened since */
		p->last_scan_ns = now;
		if (heap_process_scan(p, h->sites) > 0)
			heap_ticks_note_places(h->ticks, p);
	}
	return true;
}

/* A program that is slowed down much comes only a little way while its probes are in: many ticks then, to tell how
 * far. */
static void set_ticks(struct heap *h)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	bool many = false;

	for (const struct target *t = h->processes; t; t = t->hh.next) {
		const struct heap_process *p = t->process;

		many |= heap_probing_is_in(p->probing) && (p->is_duty || now - p->last_attach_ns < TICKS_MANY_NS);
	}
	heap_ticks_want_many(h->ticks, many);
}

/* Taking probes in and out takes the kernel tens of milliseconds, in threads of their own (heap_probing.h), and they go
 * one by one: so what counts is the gate, which opens when all are in and closes before any is out. */
static void attach(struct source_instance *i, struct heap_process *p)
{
	struct heap *h = i->implementation;

	if (heap_probing_is_wanted(p->probing) || !may_enter(h, p))
		return;
	if (p->is_duty) { /* what was gathered before they were out is told first */
		close_stretch(i, p, false);
		p->budget.kind = heap_budget_next_kind(&p->budget);
	}
	heap_probing_want(p->probing, true, p->budget.kind == HEAP_STRETCH_CALLS);
}

static void detach(struct heap *h, struct heap_process *p)
{
	close_gate(h, p);
	heap_probing_want(p->probing, false, false);
	p->is_duty = true;
}

/* Probes have gone in or out, or could not. */
static void on_changed(void *userdata)
{
	struct target *t = userdata;
	struct heap_process *p = t->process;

	if (!heap_probing_is_in(p->probing) || p->budget.is_attached)
		return;
	p->last_attach_ns = clock_now_ns(CLOCK_MONOTONIC);
	set_ticks(t->instance->implementation);
	open_gate(t->instance->implementation, p);
}

static void scan(struct source_instance *i, struct heap_process *p)
{
	struct heap *h = i->implementation;
	int r = heap_process_scan(p, h->sites);
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);

	p->last_scan_ns = now;
	p->next_scan_ns = p->scans < ARRAY_SIZE(scan_after_ms) ? now + scan_after_ms[p->scans++] * NS_PER_MS : 0;
	if (r <= 0)
		return;
	heap_ticks_note_places(h->ticks, p);
	if (!p->is_duty)
		attach(i, p);
}

static int target_new(struct source_instance *i, pid_t pid, struct target **ret)
{
	struct heap *h = i->implementation;
	_cleanup_(target_freep) struct target *t = calloc(1, sizeof(*t));
	struct heap_process *p;
	int r;

	if (!t)
		return -ENOMEM;
	t->pid = pid;
	t->instance = i;
	r = heap_process_new(pid, &t->process);
	if (r < 0)
		return r;
	p = t->process;
	p->interval = h->is_interval_fixed ? i->period : MIN(i->period, INTERVAL_AT_START) << h->room.halvings;
	p->may_step = i->params.single_step;
	r = heap_probing_new(h->probings, pid, p->start_ns, p->may_step, on_changed, t, &p->probing);
	if (r >= 0)
		r = heap_process_make_known(p, bpf_map__fd(h->skel->maps.heap_processes));
	if (r < 0)
		return r;
	*ret = TAKE_PTR(t);
	return 0;
}

/* since_ns: when its program began, if that is only just now; else 0. Its first scan comes after so long; 0: at once.
 */
static int add_process(struct source_instance *i, pid_t pid, uint64_t since_ns, uint64_t after_ns)
{
	struct heap *h = i->implementation;
	_cleanup_(target_freep) struct target *t = NULL;
	struct heap_process *p;
	int r;

	if (find(h, pid))
		return 0;
	r = HASH_COUNT(h->processes) < TARGETS_MAX ? target_new(i, pid, &t) : -EAGAIN;
	h->ledger.full += r == -EAGAIN;
	if (r < 0)
		return r;
	p = t->process;
	(void)read_meter(h, p);
	heap_process_follow_waits(p);
	heap_budget_init(
	        &p->budget, h->budget, &h->commons, &h->prices, &p->meter, clock_now_ns(CLOCK_BOOTTIME) - p->start_ns);
	heap_budget_set_program(&p->budget, heap_process_program(p));
	heap_process_add_unseen(p, since_ns);
	p->is_duty = !heap_budget_may_attach(&p->budget);
	HASH_ADD_INT(h->processes, pid, t);
	if (!t->hh.tbl)
		return -ENOMEM;
	(void)TAKE_PTR(t);
	if (after_ns)
		p->next_scan_ns = clock_now_ns(CLOCK_MONOTONIC) + after_ns;
	else
		scan(i, p);
	return 0;
}

static void add_if_selected(struct source_instance *i, pid_t pid, uint64_t since_ns)
{
	struct heap *h = i->implementation;

	if (pid != getpid() && targets_match(&h->targets, bpf_map__fd(h->skel->maps.selected_pids), pid))
		(void)add_process(i, pid, since_ns, 0);
}

static void add_running(struct source_instance *i)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	pid_t pid;

	while ((pid = proc_next(proc)))
		add_if_selected(i, pid, 0);
}

static void scan_all(void *userdata)
{
	struct source_instance *i = userdata;
	struct heap *h = i->implementation;

	for (struct target *t = h->processes; t; t = t->hh.next)
		t->process->next_scan_ns = 1; /* at the next step: an answer has come in */
}

/* ---- the budget at work ---- */

static void adapt_interval(struct source_instance *i, struct heap_process *p)
{
	struct heap *h = i->implementation;

	if (!h->is_interval_fixed && heap_process_adapt_interval(p, i->period, h->room.halvings) &&
	        p->budget.is_attached)
		(void)set_interval(h, p, p->interval);
}

static void step(struct source_instance *i, struct target *t)
{
	struct heap *h = i->implementation;
	struct heap_process *p = t->process;
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);

	if (read_meter(h, p) < 0) {
		p->gone_ns = p->gone_ns ? p->gone_ns : now;
		if (now - p->gone_ns > EXIT_WAIT_NS)
			forget_process(i, t);
		return;
	}
	if (p->next_scan_ns && p->next_scan_ns <= now)
		scan(i, p);
	if (heap_probing_is_wanted(p->probing) && heap_turns_is_over(&h->turns, &p->turn, now))
		detach(h, p);
	if (p->turn.has_place && heap_probing_is_out(p->probing))
		heap_turns_leave(&h->turns, &p->turn);
	if (p->meter_at_tick.bytes == 0 && p->meter.hits >= START_HITS)
		adapt_interval(i, p);
	if (heap_budget_may_borrow(&p->budget))
		heap_process_follow_waits(p);
	set_price(h, p);
	switch (heap_budget_step(&p->budget, &p->meter)) {
	case HEAP_DETACH:
		detach(h, p);
		break;
	case HEAP_ATTACH:
		if (p->is_duty && heap_process_has_allocator(p))
			attach(i, p);
		break;
	case HEAP_STAY:
		break;
	}
}

/* Of hundreds of processes, those whose probes are out spend nothing: their accounts can be looked at later. */
static bool is_due(const struct heap *h, const struct target *t)
{
	const struct heap_process *p = t->process;

	return !is_crowded(h) || p->turn.has_place || ((unsigned)t->pid + h->steps) % STEPS_OUT == 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct source_instance *i = userdata;
	struct heap *h = i->implementation;
	struct target *t, *next;
	uint64_t now = 0;

	(void)usec;
	heap_commons_step(&h->commons, clock_now_ns(CLOCK_MONOTONIC));
	heap_turns_next_round(&h->turns, heap_probings_n(h->probings) - HASH_COUNT(h->processes));
	heap_probings_set_crowded(h->probings, is_crowded(h));
	h->steps++;
	HASH_ITER (hh, h->processes, t, next)
		if (is_due(h, t))
			step(i, t);
	set_ticks(h);
	(void)sd_event_now(sd_event_source_get_event(s), CLOCK_MONOTONIC, &now);
	(void)sd_event_source_set_time(s, now + STEP_NS / 1000);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static void heap_tick(struct source_instance *i)
{
	struct heap *h = i->implementation;

	(void)heap_ticks_follow(h->ticks);
	heap_room_follow(&h->room, h->objects);
	for (struct target *t = h->processes; t; t = t->hh.next)
		adapt_interval(i, t->process);
}

/* ---- records ---- */

static void make_room(struct heap *h)
{
	if (!heap_room_make(&h->room, h->objects, drop_live, h) || h->is_interval_fixed)
		return;
	for (struct target *t = h->processes; t; t = t->hh.next) {
		heap_process_halve_samples(t->process);
		if (t->process->budget.is_attached)
			(void)set_interval(h, t->process, t->process->interval);
	}
}

static bool heap_values(struct source_instance *i, const struct sample_record *r, struct sample *s)
{
	struct heap *h = i->implementation;
	double weight = heap_objects_weight(r->value, r->period);
	const struct target *t = find(h, (pid_t)s->pid);

	s->n_kernel = 0;
	if (t && heap_process_is_nested(t->process, s->user, s->n_user))
		return false; /* the call that it was made in counts */
	if (r->period & HEAP_PERIOD_GIVEN)
		weight = (double)(r->period & ~HEAP_PERIOD_GIVEN) / (double)MAX(r->value, (__u64)1);
	(void)heap_objects_add(h->objects, r->object, s, r->value, weight);
	make_room(h);
	return false; /* told when its stretch is over and its scale is known */
}

static void on_exec(struct source_instance *i, pid_t pid, uint64_t since_ns, bool by_other_thread)
{
	struct heap *h = i->implementation;
	struct target *t = find(h, pid);

	if (t && !heap_process_is_same(t->process)) { /* its exit was lost */
		forget_process(i, t);
		t = NULL;
	}
	if (!t) {
		add_if_selected(i, pid, since_ns);
		return;
	}
	heap_objects_forget(h->objects, (uint32_t)pid, drop_live, h);
	if (by_other_thread)
		heap_probing_renew(t->process->probing);
	heap_budget_set_program(&t->process->budget, heap_process_program(t->process));
	t->process->scans = 0;
	scan(i, t->process);
}

static void on_fork(struct source_instance *i, pid_t child, uint64_t since_ns)
{
	struct target *t = find(i->implementation, child);

	if (t)
		forget_process(i, t); /* its exit was lost */
	(void)add_process(i, child, since_ns, FORK_SCAN_AFTER_NS);
}

static int heap_record(struct source_instance *i, const void *record, size_t size)
{
	const struct heap_record *r = record;
	struct heap *h = i->implementation;
	struct target *t;
	double weight;

	if (size < sizeof(*r))
		return -EBADMSG;
	switch (r->header.kind) {
	case RECORD_HEAP_LIVE:
		heap_objects_hold(h->objects, r->id, r->address);
		return 0;
	case RECORD_HEAP_FREE:
		t = find(h, (pid_t)r->pid);
		weight = heap_objects_release(h->objects, r->id);
		if (t)
			heap_unseen_note(&t->process->unseen, weight);
		return 0;
	case RECORD_HEAP_EXEC:
		on_exec(i, (pid_t)r->pid, r->address, r->id != 0);
		return 0;
	case RECORD_HEAP_FORK:
		on_fork(i, (pid_t)r->pid, r->address);
		return 0;
	case RECORD_HEAP_LOAD:
		t = find(h, (pid_t)r->pid);
		if (t)
			heap_process_opened(t->process);
		return 0;
	case RECORD_HEAP_EXIT:
		t = find(h, (pid_t)r->pid);
		if (t)
			forget_process(i, t);
		return 0;
	default:
		return -EBADMSG;
	}
}

static int heap_flush(struct source_instance *i)
{
	struct heap *h = i->implementation;
	struct target *t, *next;

	HASH_ITER (hh, h->processes, t, next) {
		account(h, t->process);
		close_window(i, t->process);
	}
	return heap_objects_compact(h->objects);
}

static unsigned heap_notes(struct source_instance *i, struct source_note *ret)
{
	struct heap *h = i->implementation;
	struct heap_objects_stats stats;

	heap_objects_stats(h->objects, &stats);
	for (const struct target *t = h->processes; t; t = t->hh.next)
		heap_ledger_note(&h->ledger, t->process);
	return heap_ledger_tell(
	        &h->ledger, heap_objects_error(h->objects), stats.dropped + heap_ledger_lost_calls(i), ret);
}

/* ---- life ---- */

static void heap_close(struct source_instance *i)
{
	struct heap *h = i->implementation;
	struct target *t, *next;

	if (!h)
		return;
	(void)sd_event_source_disable_unref(h->timer);
	HASH_ITER (hh, h->processes, t, next) {
		HASH_DEL(h->processes, t);
		(void)target_free(t);
	}
	(void)heap_probings_free(h->probings); /* waits until all are out */
	(void)heap_ticks_free(h->ticks);
	heap_bpf__destroy(h->skel);
	(void)heap_sites_free(h->sites);
	(void)heap_objects_free(h->objects);
	if (h->hold)
		code_release(i->params.code, h->hold);
	free(h);
	i->implementation = NULL;
}

static int heap_load(struct source_instance *i, struct heap *h)
{
	int r = heap_programs_open(&h->skel, &h->programs);

	return r < 0 ? r : source_load(i, h->skel->skeleton, &h->skel->rodata->constants);
}

static int heap_prepare(struct source_instance *i, struct heap *h)
{
	struct heap_calibration c, stepped = { 0 };
	int r;

	r = heap_objects_new(&HEAP_OBJECTS_LIMITS_DEFAULT, &h->objects);
	if (r >= 0)
		r = heap_sites_new(code_symbolizer(i->params.code), scan_all, i, &h->sites);
	if (r >= 0)
		r = heap_load(i, h);
	if (r >= 0)
		r = heap_calibrate(&h->programs, bpf_map__fd(h->skel->maps.heap_processes), false, &c);
	if (r >= 0 && i->params.single_step)
		r = heap_calibrate(&h->programs, bpf_map__fd(h->skel->maps.heap_processes), true, &stepped);
	if (r < 0)
		return r;
	r = heap_ticks_new(h->skel, c.tick_ns, &h->ticks);
	if (r < 0)
		return r;
	h->stepped_ns = stepped.hit_ns;
	heap_calibration_prices(&c, h->ticks, &h->prices);
	return heap_probings_new(code_loop(i->params.code), &h->programs, &h->probings);
}

static void set_budget(const struct source_instance *i, struct heap *h)
{
	double together = i->params.is_on_demand ? COMMONS_ON_DEMAND : COMMONS_ALWAYS;

	h->budget = i->params.is_on_demand ? BUDGET_ON_DEMAND : BUDGET_ALWAYS;
	if (i->params.heap_budget > 0)
		h->budget = i->params.heap_budget;
	if (i->params.heap_together > 0)
		together = i->params.heap_together;
	heap_commons_init(&h->commons, together, clock_now_ns(CLOCK_MONOTONIC));
	heap_turns_init(&h->turns, PLACES, i->params.is_on_demand ? TURN_ON_DEMAND_NS : TURN_ALWAYS_NS);
}

static int heap_open(struct source_instance *i)
{
	struct heap *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	i->implementation = h; /* heap_close has it from here on */
	if (!code_symbolizer(i->params.code))
		return -EOPNOTSUPP;
	if (i->params.ring_bytes == 0)
		i->params.ring_bytes = RING_BYTES;
	targets_keep(i->params.targets, &h->targets);
	h->is_interval_fixed = i->params.interval != 0;
	set_budget(i, h);
	i->period = i->params.heap_interval ? i->params.heap_interval : INTERVAL_DEFAULT;
	if (h->is_interval_fixed)
		i->period = i->params.interval;
	h->hold = code_hold(i->params.code);
	uprobe_want_files(LINKS_FILES_WANTED);
	return heap_prepare(i, h);
}

static int heap_attach(struct source_instance *i)
{
	struct heap *h = i->implementation;
	uint64_t now;
	int r;

	r = sd_event_now(code_loop(i->params.code), CLOCK_MONOTONIC, &now);
	if (r >= 0)
		r = sd_event_add_time(code_loop(i->params.code), &h->timer, CLOCK_MONOTONIC, now, 1000, on_timer, i);
	if (r < 0)
		return r;
	h->skel->links.heap_exec = bpf_program__attach(h->skel->progs.heap_exec);
	h->skel->links.heap_fork = bpf_program__attach(h->skel->progs.heap_fork);
	h->skel->links.heap_exit = bpf_program__attach(h->skel->progs.heap_exit);
	if (!h->skel->links.heap_exec || !h->skel->links.heap_fork || !h->skel->links.heap_exit)
		return -errno;
	r = heap_ticks_follow(h->ticks);
	if (r < 0)
		return r;
	add_running(i);
	return 0;
}

static bool heap_is_ready(struct source_instance *i)
{
	struct heap *h = i->implementation;

	for (const struct target *t = h->processes; t; t = t->hh.next)
		if (t->process->is_awaited || heap_probing_is_on_its_way(t->process->probing))
			return false;
	return true;
}

static void heap_processes(
        struct source_instance *i, void (*each)(void *userdata, const struct source_process *process), void *userdata)
{
	struct heap *h = i->implementation;

	for (const struct target *t = h->processes; t; t = t->hh.next) {
		struct source_process process = { .budget = h->budget };

		heap_process_describe(t->process, &process);
		each(userdata, &process);
	}
}

const struct source heap_source = {
	.name = "heap",
	.types = { { "alloc_objects", "count" }, { "alloc_space", "bytes" }, { "inuse_objects", "count" },
	        { "inuse_space", "bytes" } },
	.period_type = { "space", "bytes" },
	.drop_frames = HEAP_ALLOCATORS,
	.needs = FEATURE_UPROBE,
	.is_ordered = true,
	.open = heap_open,
	.attach = heap_attach,
	.is_ready = heap_is_ready,
	.record = heap_record,
	.values = heap_values,
	.flush = heap_flush,
	.notes = heap_notes,
	.tick = heap_tick,
	.processes = heap_processes,
	.close = heap_close,
};
