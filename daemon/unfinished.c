#include "daemon/unfinished.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "daemon/code_table.h"
#include "daemon/process.h"

/* The memory that unwind_step.h reads: the copy of the stack that is being finished. */
static const struct stack_record *reading;
static size_t reading_bytes;

static int read_copy(void *to, size_t bytes, uint64_t address)
{
	uint64_t at = address - reading->base;

	if (address < reading->base || at > reading_bytes || bytes > reading_bytes - at)
		return -EFAULT;
	memcpy(to, (const uint8_t *)(reading + 1) + at, bytes);
	return 0;
}

#define READ_USER(to, bytes, address) read_copy((to), (bytes), (address))
#include "bpf/unwind_step.h"

#define WAIT_NS (3 * NS_PER_SEC) /* for rows of a large file to be made */
#define TURN_NS (10 * NS_PER_MS) /* the event loop has other work, too */
#define PROCESSES_KEPT 8
#define COPIES_KEPT 32
#define MAPPINGS_MAX 1024
#define MAPPINGS_NS (200 * NS_PER_MS) /* a process may map more */

/* Not a step's end: rows are not there yet. */
#define WAITING (UNWIND_CONTINUE + 1)

struct item {
	TAILQ_ENTRY(item) next;
	uint64_t arrived_ns;
	struct stack_record *copy;
	struct snapshot *snapshot; /* NULL: the process was gone */
	struct unwind_registers registers;
	struct unwind_window window;
	uint32_t flags, switches;
	/* the sample with its frames; n_user is how many are right by now */
	struct sample_record *sample;
	size_t bytes;
	uint64_t *frames; /* user frames */
	uint32_t n_user, room;
};

/* The executable mappings of a process, taken while it lives. */
struct snapshot {
	unsigned refs;
	uint32_t pid;
	uint64_t start_ns, since_ns;
	uint32_t n, room;
	struct stack_mapping *mappings;
};

struct unfinished {
	struct code *code;
	TAILQ_HEAD(, item) items;
	unsigned n;
	size_t bytes;
	struct stack_record *copies[COPIES_KEPT]; /* whose samples are to come: those of other CPUs come in between */
	unsigned next_copy;
	struct snapshot *recent[PROCESSES_KEPT];
	unsigned next_recent;
	uint64_t done;
};

int unfinished_new(struct code *code, struct unfinished **ret)
{
	struct unfinished *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->code = code;
	TAILQ_INIT(&u->items);
	*ret = u;
	return 0;
}

static struct snapshot *snapshot_unref(struct snapshot *s)
{
	if (s && --s->refs == 0) {
		free(s->mappings);
		free(s);
	}
	return NULL;
}
DEFINE_CLEANUP(struct snapshot *, snapshot_unref)

static void item_free(struct item *i)
{
	snapshot_unref(i->snapshot);
	free(i->copy);
	free(i->sample);
	free(i->frames);
	free(i);
}
DEFINE_CLEANUP(struct item *, item_free)

static size_t copy_bytes(const struct stack_record *r)
{
	return (size_t)r->n_pages * STACK_COPY_PAGE_BYTES;
}

static size_t item_bytes(const struct item *i)
{
	return sizeof(*i) + i->bytes + sizeof(*i->copy) + copy_bytes(i->copy);
}

static void item_leave(struct unfinished *u, struct item *i)
{
	TAILQ_REMOVE(&u->items, i, next);
	u->n--;
	u->bytes -= item_bytes(i);
	item_free(i);
}

struct unfinished *unfinished_free(struct unfinished *u)
{
	struct item *i;

	if (!u)
		return NULL;
	while ((i = TAILQ_FIRST(&u->items)))
		item_leave(u, i);
	for (unsigned k = 0; k < PROCESSES_KEPT; k++)
		snapshot_unref(u->recent[k]);
	for (unsigned k = 0; k < COPIES_KEPT; k++)
		free(u->copies[k]);
	free(u);
	return NULL;
}

unsigned unfinished_count(const struct unfinished *u)
{
	return u->n;
}

uint64_t unfinished_done(const struct unfinished *u)
{
	return u->done;
}

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

struct taking {
	struct code *code;
	struct snapshot *snapshot;
};

static int take_mapping(void *userdata, const struct proc_mapping *m)
{
	struct taking *t = userdata;
	struct snapshot *s = t->snapshot;
	struct stack_mapping taken = { .start = m->start, .end = m->end, .offset = m->start, .file = FILE_ANONYMOUS };

	if (strcmp(m->path, "[vdso]") == 0) {
		taken.file = FILE_VDSO;
		taken.offset = 0;
	} else if (strcmp(m->path, "[uprobes]") == 0) {
		return 0; /* the true return address is known to the kernel alone */
	} else if (m->inode != 0) {
		taken.offset = m->offset;
		if (code_expect(t->code, (pid_t)s->pid, m, true, &taken.file) < 0)
			return 0; /* not to be reached: what lies there stays unknown */
	}
	if (s->n == s->room) {
		uint32_t room = s->room ? 2 * s->room : 16;
		struct stack_mapping *bigger =
		        room > MAPPINGS_MAX ? NULL : reallocarray(s->mappings, room, sizeof(*bigger));

		if (!bigger)
			return -ENOSPC;
		s->mappings = bigger;
		s->room = room;
	}
	s->mappings[s->n++] = taken;
	return 0;
}

static struct snapshot *snapshot_take(struct unfinished *u, const struct sample_record *r)
{
	_cleanup_(snapshot_unrefp) struct snapshot *s = calloc(1, sizeof(*s));
	struct taking t = { .code = u->code, .snapshot = s };
	_cleanup_close_ int process = -1;

	if (!s)
		return NULL;
	*s = (struct snapshot){
		.refs = 1, .pid = r->pid, .start_ns = r->process_start_ns, .since_ns = clock_now_ns(CLOCK_MONOTONIC)
	};
	process = process_open(AT_FDCWD, r->pid, r->process_start_ns);
	if (process < 0 || proc_maps_read((pid_t)r->pid, take_mapping, &t) < 0 || s->n == 0)
		return NULL;
	return TAKE_PTR(s);
}

/* Of a moment ago, or a new one. The caller's reference. */
static struct snapshot *snapshot_of(struct unfinished *u, const struct sample_record *r)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	struct snapshot *s, **place;

	for (unsigned k = 0; k < PROCESSES_KEPT; k++) {
		s = u->recent[k];
		if (s && s->pid == r->pid && s->start_ns == r->process_start_ns && now - s->since_ns < MAPPINGS_NS) {
			s->refs++;
			return s;
		}
	}
	s = snapshot_take(u, r);
	if (!s)
		return NULL;
	place = &u->recent[u->next_recent++ % PROCESSES_KEPT];
	snapshot_unref(*place);
	*place = s;
	s->refs++;
	return s;
}

static const struct stack_mapping *find(const struct stack_mapping *list, uint32_t n, uint64_t address)
{
	for (uint32_t k = 0; k < n; k++)
		if (list[k].start <= address && address < list[k].end)
			return &list[k];
	return NULL;
}

/* The mapping of an address: as the program saw it, else as the process had it right after. NULL: there is none. */
static const struct stack_mapping *mapping_of(const struct item *i, uint64_t address)
{
	const struct stack_mapping *m = find(i->copy->mappings, STACK_COPY_MAPPINGS, address);

	return m || !i->snapshot ? m : find(i->snapshot->mappings, i->snapshot->n, address);
}

/* ---- what comes from the ring ------------------------------------------------------------------------------------ */

int unfinished_copy(struct unfinished *u, const struct stack_record *r, size_t size)
{
	struct stack_record **place = &u->copies[u->next_copy % COPIES_KEPT];
	size_t bytes;

	if (size < sizeof(*r) || copy_bytes(r) > size - sizeof(*r) || r->n_user >= STACK_USER_FRAMES_MAX)
		return -EBADMSG;
	free(*place);
	bytes = sizeof(*r) + copy_bytes(r);
	*place = malloc(bytes);
	if (!*place)
		return -ENOMEM;
	memcpy(*place, r, bytes);
	u->next_copy++;
	return 0;
}

/* The copy that was sent before a sample; NULL: there is none. */
static struct stack_record *copy_take(struct unfinished *u, const struct sample_record *r)
{
	for (unsigned k = 0; k < COPIES_KEPT; k++) {
		const struct stack_record *c = u->copies[k];

		if (c && c->time_ns == r->time_ns && c->pid == r->pid && c->n_user <= r->n_user)
			return TAKE_PTR(u->copies[k]);
	}
	return NULL;
}

bool unfinished_keep(struct unfinished *u, const struct sample_record *r, size_t size)
{
	_cleanup_(item_freep) struct item *i = calloc(1, sizeof(*i));

	if (!i)
		return false;
	i->copy = copy_take(u, r);
	if (!i->copy || u->bytes >= UNFINISHED_BYTES_MAX)
		return false;
	i->room = MAX(64u, 2u * i->copy->n_user);
	i->sample = malloc(size);
	i->frames = malloc(i->room * sizeof(*i->frames));
	if (!i->sample || !i->frames)
		return false;
	memcpy(i->sample, r, size);
	i->bytes = size;
	i->arrived_ns = clock_now_ns(CLOCK_MONOTONIC);
	i->registers = (struct unwind_registers){ .pc = i->copy->pc, .sp = i->copy->sp, .fp = i->copy->fp };
	i->flags = i->copy->flags;
	i->switches = i->copy->switches;
	i->n_user = i->copy->n_user;
	memcpy(i->frames, (const uint64_t *)(r + 1) + r->n_kernel, i->n_user * sizeof(*i->frames));
	i->snapshot = snapshot_of(u, r);
	TAILQ_INSERT_TAIL(&u->items, i, next);
	u->n++;
	u->bytes += item_bytes(i);
	(void)TAKE_PTR(i);
	return true;
}

/* ---- unwinding --------------------------------------------------------------------------------------------------- */

static int push(struct item *i, uint64_t frame)
{
	if (i->n_user == i->room) {
		uint64_t *bigger = reallocarray(i->frames, 2 * (size_t)i->room, sizeof(*bigger));

		if (!bigger)
			return STACK_END_MAX_FRAMES;
		i->frames = bigger;
		i->room *= 2;
	}
	i->frames[i->n_user++] = frame;
	return UNWIND_CONTINUE;
}

/* Without a rule no frame pointer is believed: the stack is told as it was. */
static int apply(struct item *i, int kind, const struct unwind_rule *rule)
{
	if (kind == CODE_RULE_FRAME_POINTERS)
		return unwind_by_frame_pointer(&i->registers, &i->window, true, &i->switches);
	if (kind != CODE_RULE || rule->cfa == CFA_UNKNOWN)
		return STACK_END_NO_RULE;
	return unwind_by_rule(rule, &i->registers, &i->window);
}

/* One frame, as unwind_frame() of the programs does it: UNWIND_CONTINUE, WAITING or an enum stack_end. */
static int step(struct unfinished *u, struct item *i)
{
	uint64_t address = i->registers.pc - (i->flags & FRAME_RETURN_ADDRESS ? 1 : 0), offset;
	struct unwind_rule rule = { .cfa = CFA_UNKNOWN };
	const struct stack_mapping *m;
	uint32_t flags = i->flags;
	int kind = CODE_RULE_FRAME_POINTERS;

	if (i->registers.pc == 0)
		return STACK_END_COMPLETE;
	m = mapping_of(i, address);
	if (!m)
		return STACK_END_BAD_PC;
	offset = address - m->start + m->offset;
	if (m->file != FILE_ANONYMOUS)
		kind = code_rule(u->code, m->file, offset, &rule);
	if (kind == -EAGAIN)
		return WAITING;
	i->flags = FRAME_RETURN_ADDRESS;
	flags |= kind == CODE_RULE_FRAME_POINTERS ? FRAME_BY_FRAME_POINTER : 0;
	if (rule.cfa == CFA_SIGNAL) {
		flags |= FRAME_SIGNAL;
		i->flags = 0; /* interrupted there, not called from there */
	}
	if (push(i, FRAME_PACK(m->file, flags, i->registers.pc - m->start + m->offset)) != UNWIND_CONTINUE)
		return STACK_END_MAX_FRAMES;
	return apply(i, kind, &rule);
}

static int unwind(struct unfinished *u, struct item *i)
{
	int end = UNWIND_CONTINUE;

	reading = i->copy;
	reading_bytes = copy_bytes(i->copy);
	while (end == UNWIND_CONTINUE)
		end = i->n_user < STACK_USER_FRAMES_MAX ? step(u, i) : STACK_END_MAX_FRAMES;
	return end;
}

/* The sample again with the frames that are known now. */
static void tell_finished(const struct item *i, unfinished_ready_t ready, void *userdata)
{
	const struct sample_record *s = i->sample;
	size_t bytes = sizeof(*s) + ((size_t)s->n_kernel + i->n_user) * sizeof(uint64_t);
	_cleanup_free_ struct sample_record *whole = malloc(bytes);

	if (!whole) {
		ready(userdata, s, i->bytes);
		return;
	}
	memcpy(whole, s, sizeof(*s) + s->n_kernel * sizeof(uint64_t));
	memcpy((uint64_t *)(whole + 1) + s->n_kernel, i->frames, i->n_user * sizeof(uint64_t));
	whole->header.size_bytes = (uint32_t)bytes;
	whole->n_user = (uint16_t)i->n_user;
	whole->end = STACK_END_COMPLETE;
	ready(userdata, whole, bytes);
}

void unfinished_run(struct unfinished *u, bool at_once, unfinished_ready_t ready, void *userdata)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	struct item *i, *next;

	for (i = TAILQ_FIRST(&u->items); i && (at_once || clock_now_ns(CLOCK_MONOTONIC) - now < TURN_NS); i = next) {
		int end = unwind(u, i);

		next = TAILQ_NEXT(i, next);
		if (end == WAITING && !at_once && now - i->arrived_ns < WAIT_NS)
			continue;
		if (end == STACK_END_COMPLETE) {
			tell_finished(i, ready, userdata);
			u->done++;
		} else {
			ready(userdata, i->sample, i->bytes);
		}
		item_leave(u, i);
	}
}
