#include "daemon/cpu_events.h"

#include <assert.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "daemon/cpus.h"

struct cpu_events {
	const struct bpf_program *program;
	struct perf_event_attr attr;
	unsigned n_cpus;         /* possible ones */
	struct bpf_link **links; /* by CPU */
	int *fds;                /* the links' */
};

int cpu_events_new(const struct bpf_program *program, const struct perf_event_attr *attr, struct cpu_events **ret)
{
	_cleanup_(cpu_events_freep) struct cpu_events *e = calloc(1, sizeof(*e));
	int n = libbpf_num_possible_cpus();

	assert(program);
	assert(ret);

	if (!e)
		return -ENOMEM;
	if (n < 0)
		return n;
	*e = (struct cpu_events){ .program = program, .attr = *attr, .n_cpus = (unsigned)n };
	e->links = calloc(e->n_cpus, sizeof(*e->links));
	e->fds = calloc(e->n_cpus, sizeof(*e->fds));
	if (!e->links || !e->fds)
		return -ENOMEM;
	*ret = TAKE_PTR(e);
	return 0;
}

struct cpu_events *cpu_events_free(struct cpu_events *e)
{
	if (!e)
		return NULL;
	for (unsigned cpu = 0; e->links && cpu < e->n_cpus; cpu++)
		(void)bpf_link__destroy(e->links[cpu]); /* closes the event, too */
	free(e->links);
	free(e->fds);
	free(e);
	return NULL;
}

/* 0 also where the CPU went away in the meantime. */
static int attach_one(struct cpu_events *e, unsigned cpu)
{
	_cleanup_close_ int fd = -1;
	struct bpf_link *link;

	fd = (int)syscall(SYS_perf_event_open, &e->attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return errno == ENODEV ? 0 : -errno;
	link = bpf_program__attach_perf_event(e->program, fd);
	if (!link)
		return -errno;
	e->links[cpu] = link;
	e->fds[cpu] = TAKE_FD(fd);
	return 0;
}

int cpu_events_follow(struct cpu_events *e)
{
	_cleanup_free_ bool *online = calloc(e->n_cpus, sizeof(*online));
	int r;

	if (!online)
		return -ENOMEM;
	r = cpus_online(online, e->n_cpus);
	for (unsigned cpu = 0; r >= 0 && cpu < e->n_cpus; cpu++) {
		if (online[cpu] && !e->links[cpu]) {
			r = attach_one(e, cpu);
		} else if (!online[cpu] && e->links[cpu]) {
			(void)bpf_link__destroy(e->links[cpu]);
			e->links[cpu] = NULL;
		}
	}
	return r < 0 ? r : 0;
}

int cpu_events_set_period(struct cpu_events *e, uint64_t period)
{
	e->attr.sample_period = period;
	for (unsigned cpu = 0; cpu < e->n_cpus; cpu++)
		if (e->links[cpu] && ioctl(e->fds[cpu], PERF_EVENT_IOC_PERIOD, &period) < 0)
			return -errno;
	return 0;
}
