#include "daemon/assembly.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/perf_map.h"

#define IDENTIFY_WAIT_NS (5 * NS_PER_SEC) /* at most, for files that were met in the window's last moments */
#define IDENTIFY_POLL_NS (20 * NS_PER_MS)

/* Frames whose names come with one request: first..end of order. */
struct group {
	uint32_t first, end;
};

struct assembly {
	struct assembly_tools tools;
	struct window *window;
	struct profile_builder *builder;
	int *perf_maps;
	uint64_t hold, start_ns;
	assembly_done_t done;
	void *userdata;
	sd_event_source *timeout, *turn;

	uint32_t *order; /* frames by group, then by address */
	struct group *groups;
	uint32_t n_groups, next_group;
	bool is_asking; /* a request is under way: its answer frees a delivered assembly */
	bool is_delivered;
};

static void release_inputs(struct assembly *a)
{
	uint32_t n = a->window ? window_n_processes(a->window) : 0;

	for (uint32_t i = 0; a->perf_maps && i < n; i++)
		close_fd(a->perf_maps[i]);
	free(a->perf_maps);
	a->perf_maps = NULL;
	a->builder = profile_builder_free(a->builder);
	a->window = window_free(a->window);
	if (a->tools.code)
		code_release(a->tools.code, a->hold);
	a->tools.code = NULL;
}

static struct assembly *assembly_free(struct assembly *a)
{
	if (!a)
		return NULL;
	release_inputs(a);
	a->timeout = sd_event_source_disable_unref(a->timeout);
	a->turn = sd_event_source_disable_unref(a->turn);
	free(a->order);
	free(a->groups);
	free(a);
	return NULL;
}
DEFINE_CLEANUP(struct assembly *, assembly_free)

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static uint64_t group_key(const struct window_frame *f)
{
	return (uint64_t)f->space << 32 | (f->space == WINDOW_SPACE_FILE ? f->file : f->process);
}

static int compare_frames(const void *x, const void *y, void *userdata)
{
	const struct window *w = userdata;
	const struct window_frame *a = window_frame(w, *(const uint32_t *)x),
	                          *b = window_frame(w, *(const uint32_t *)y);
	uint64_t ka = group_key(a), kb = group_key(b);

	if (ka != kb)
		return ka < kb ? -1 : 1;
	return a->address < b->address ? -1 : a->address > b->address;
}

static int make_groups(struct assembly *a)
{
	uint32_t n = window_n_frames(a->window);

	a->order = malloc(MAX(n, 1u) * sizeof(*a->order));
	if (!a->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		a->order[i] = i;
	qsort_r(a->order, n, sizeof(*a->order), compare_frames, a->window);
	for (uint32_t i = 0; i < n; i++) {
		bool is_new = i == 0 || group_key(window_frame(a->window, a->order[i])) !=
		                                group_key(window_frame(a->window, a->order[i - 1]));

		if (is_new) {
			struct group *groups = reallocarray(a->groups, a->n_groups + 1, sizeof(*groups));

			if (!groups)
				return -ENOMEM;
			a->groups = groups;
			a->groups[a->n_groups++].first = i;
		}
		a->groups[a->n_groups - 1].end = i + 1;
	}
	return 0;
}

/* What a table says of the group under way joins the profile. */
static void take_table(struct assembly *a, const struct symbol_table *table)
{
	const struct group *g = &a->groups[a->next_group];
	const struct window_frame *f = window_frame(a->window, a->order[g->first]);
	const uint32_t *frames = &a->order[g->first];
	size_t n = g->end - g->first;
	const struct code_file *file;
	int r = 0;

	switch (f->space) {
	case WINDOW_SPACE_KERNEL:
		r = profile_builder_kernel(a->builder, frames, n, table);
		break;
	case WINDOW_SPACE_FILE:
		file = code_get(a->tools.code, f->file);
		if (file)
			r = profile_builder_file(a->builder, frames, n, file, table);
		break;
	case WINDOW_SPACE_ANONYMOUS:
		r = profile_builder_anonymous(a->builder, frames, n, table);
		break;
	}
	if (r < 0)
		(void)log_warning(r, "some names of a window do not fit in memory");
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void deliver(struct assembly *a)
{
	struct profile *p = NULL;
	assembly_done_t done = a->done;
	void *userdata = a->userdata;
	int r;

	/* Groups that were not asked for keep their files and addresses. */
	for (; a->next_group < a->n_groups; a->next_group++)
		take_table(a, NULL);
	r = profile_builder_finish(
	        a->builder, a->tools.code, a->tools.cgroups, a->tools.environment, a->tools.host, &p);
	a->is_delivered = true;
	release_inputs(a);
	a->timeout = sd_event_source_disable_unref(a->timeout);
	a->turn = sd_event_source_disable_unref(a->turn);
	if (!a->is_asking)
		assembly_free(a);
	done(userdata, r, p);
}

void assembly_hurry(struct assembly *a)
{
	deliver(a);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	log_debug("a window is written before all its names have come");
	deliver(userdata);
	return 0;
}

/* ---- asking, group by group -------------------------------------------------------------------------------------- */

static void ask_groups(struct assembly *a);

static void on_table(void *userdata, const struct symbol_table *table)
{
	struct assembly *a = userdata;

	a->is_asking = false;
	if (a->is_delivered) {
		/* deliver() left it to us */
		assembly_free(a);
		return;
	}
	take_table(a, table);
	a->next_group++;
	/* The next one from the loop: answers out of the cache come at once, and must not recurse. */
	(void)sd_event_source_set_enabled(a->turn, SD_EVENT_ONESHOT);
}

static int perf_map_of(struct assembly *a, uint32_t process)
{
	const struct window_process *p = window_process(a->window, process);

	if (a->perf_maps && a->perf_maps[process] >= 0)
		return a->perf_maps[process];
	return a->perf_maps ? (a->perf_maps[process] = perf_map_open(p->pid, p->start_ns)) : -1;
}

static int ask_group(struct assembly *a, const struct group *g)
{
	const struct window_frame *f = window_frame(a->window, a->order[g->first]);
	_cleanup_free_ uint64_t *addresses = malloc((g->end - g->first) * sizeof(*addresses));
	uint32_t n = 0;
	int fd;

	if (!addresses)
		return -ENOMEM;
	for (uint32_t i = g->first; i < g->end; i++) {
		uint64_t address = window_frame(a->window, a->order[i])->address;

		if (n == 0 || addresses[n - 1] != address)
			addresses[n++] = address;
	}
	switch (f->space) {
	case WINDOW_SPACE_KERNEL:
		return symbols_of_kernel(a->tools.symbols, addresses, n, on_table, a);
	case WINDOW_SPACE_FILE:
		return symbols_of_file(a->tools.symbols, a->tools.code, f->file, addresses, n, on_table, a);
	case WINDOW_SPACE_ANONYMOUS:
		fd = perf_map_of(a, f->process);
		return fd < 0 ? fd : symbols_of_perf_map(a->tools.symbols, fd, addresses, n, on_table, a);
	default:
		return -ENODATA;
	}
}

static bool must_wait_for_identity(struct assembly *a, const struct group *g)
{
	const struct window_frame *f = window_frame(a->window, a->order[g->first]);
	const struct code_file *file;

	if (f->space != WINDOW_SPACE_FILE || !code_busy(a->tools.code) ||
	        clock_now_ns(CLOCK_MONOTONIC) - a->start_ns > IDENTIFY_WAIT_NS)
		return false;
	file = code_get(a->tools.code, f->file);
	return file && !(file->flags & (CODE_IDENTIFIED | CODE_UNREADABLE | CODE_NOT_ELF | CODE_POISONED));
}

static void ask_groups(struct assembly *a)
{
	while (a->next_group < a->n_groups) {
		const struct group *g = &a->groups[a->next_group];
		int r;

		if (must_wait_for_identity(a, g)) {
			(void)sd_event_source_set_time_relative(a->turn, IDENTIFY_POLL_NS / 1000);
			(void)sd_event_source_set_enabled(a->turn, SD_EVENT_ONESHOT);
			return;
		}
		(void)sd_event_source_set_time_relative(a->turn, 0);
		a->is_asking = true;
		r = ask_group(a, g);
		if (r >= 0)
			return;
		a->is_asking = false;
		take_table(a, NULL);
		a->next_group++;
	}
	deliver(a);
}

static int on_turn(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	ask_groups(userdata);
	return 0;
}

int assembly_start(const struct assembly_tools *tools, const struct window_facts *facts, struct window *window,
        int *perf_maps, uint64_t hold, uint64_t timeout_ns, assembly_done_t done, void *userdata, struct assembly **ret)
{
	_cleanup_(assembly_freep) struct assembly *a = calloc(1, sizeof(*a));
	int r;

	assert(tools && facts && window && done && ret);

	if (!a) {
		window_free(window);
		free(perf_maps); /* its descriptors leak only where there is no memory for anything */
		return -ENOMEM;
	}
	*a = (struct assembly){ .tools = *tools,
		.window = window,
		.perf_maps = perf_maps,
		.hold = hold,
		.done = done,
		.userdata = userdata,
		.start_ns = clock_now_ns(CLOCK_MONOTONIC) };
	r = profile_builder_new(window, facts, &a->builder);
	if (r < 0)
		return r;
	r = make_groups(a);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(tools->event, &a->timeout, CLOCK_MONOTONIC, timeout_ns / 1000, 0, on_timeout, a);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(tools->event, &a->turn, CLOCK_MONOTONIC, 0, 1, on_turn, a);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(a);
	return 0;
}
