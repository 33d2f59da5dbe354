/* cpu: one perf event on every online CPU, by period. Hardware cycles where there is a PMU, the CPU's clock elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "bpf/abi.h"
#include "bpf/cpu.skel.h"
#include "daemon/cpus.h"
#include "daemon/sources.h"

#define CPU_HZ_DEFAULT 100
#define CPU_HZ_MAX 10000

struct cpu {
	struct cpu_bpf *programs;
	struct bpf_link **links; /* by CPU */
	int *events;
	unsigned n_cpus; /* possible ones */
	bool by_cycles;
	uint64_t cycles_per_second;
	bool is_attached;
};

static uint64_t event_period(const struct cpu *c, uint64_t hz)
{
	return c->by_cycles ? c->cycles_per_second / hz : NS_PER_SEC / hz;
}

static int event_open(const struct cpu *c, uint64_t hz, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = c->by_cycles ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.config = c->by_cycles ? PERF_COUNT_HW_CPU_CYCLES : PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = event_period(c, hz),
		.disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Nominal, from the kernel's frequency of the CPU; 0 where it is not told. */
static uint64_t cycles_per_second(void)
{
	static const char *const names[] = {
		"/sys/devices/system/cpu/cpu0/cpufreq/base_frequency",
		"/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *text = NULL;
		uint64_t khz;

		if (file_read_all(AT_FDCWD, names[i], 64, &text, NULL) < 0)
			continue;
		khz = strtoull(text, NULL, 10);
		if (khz > 0)
			return khz * 1000;
	}
	return 0;
}

static void cpu_close(struct source_instance *i)
{
	struct cpu *c = i->implementation;

	if (!c)
		return;
	for (unsigned k = 0; k < c->n_cpus; k++) {
		if (c->links)
			bpf_link__destroy(c->links[k]);
	}
	cpu_bpf__destroy(c->programs);
	free(c->links);
	free(c->events);
	free(c);
	i->implementation = NULL;
}

static int cpu_open(struct source_instance *i)
{
	struct cpu *c = calloc(1, sizeof(*c));
	int n = libbpf_num_possible_cpus();

	if (!c)
		return -ENOMEM;
	i->implementation = c;
	if (n < 0)
		return n;
	c->n_cpus = (unsigned)n;
	c->links = calloc(c->n_cpus, sizeof(*c->links));
	c->events = calloc(c->n_cpus, sizeof(*c->events));
	c->programs = cpu_bpf__open();
	if (!c->links || !c->events)
		return -ENOMEM;
	if (!c->programs)
		return -errno;
	c->cycles_per_second = cycles_per_second();
	c->by_cycles = c->cycles_per_second > 0 && features_has(FEATURE_PMU);
	i->rate = MIN(i->params.frequency_hz ? i->params.frequency_hz : CPU_HZ_DEFAULT, (uint32_t)CPU_HZ_MAX);
	i->period = NS_PER_SEC / i->rate;
	return source_load(i, c->programs->obj, &c->programs->rodata->constants);
}

static void cpu_detach_one(struct cpu *c, unsigned cpu)
{
	bpf_link__destroy(c->links[cpu]); /* closes the event, too */
	c->links[cpu] = NULL;
}

/* 0 also where the CPU went away in the meantime. */
static int cpu_attach_one(struct source_instance *i, unsigned cpu)
{
	struct cpu *c = i->implementation;
	int fd = event_open(c, i->rate, (int)cpu);
	int r;

	if (fd == -ENODEV)
		return 0;
	if (fd < 0)
		return fd;
	c->links[cpu] = bpf_program__attach_perf_event(c->programs->progs.cpu_sample, fd);
	if (c->links[cpu]) {
		c->events[cpu] = fd;
		return 0;
	}
	r = -errno;
	close_fd(fd);
	return r;
}

/* Attaches the CPUs that are online and lack an event, detaches those that are gone. */
static int cpu_follow(struct source_instance *i)
{
	struct cpu *c = i->implementation;
	_cleanup_free_ bool *online = calloc(c->n_cpus, sizeof(*online));
	int r;

	if (!online)
		return -ENOMEM;
	r = cpus_online(online, c->n_cpus);
	for (unsigned cpu = 0; r >= 0 && cpu < c->n_cpus; cpu++) {
		if (online[cpu] && !c->links[cpu])
			r = cpu_attach_one(i, cpu);
		else if (!online[cpu] && c->links[cpu])
			cpu_detach_one(c, cpu);
	}
	return r;
}

static int cpu_attach(struct source_instance *i)
{
	struct cpu *c = i->implementation;
	int r = cpu_follow(i);

	c->is_attached = r >= 0;
	return r < 0 ? r : 0;
}

static void cpu_tick(struct source_instance *i)
{
	const struct cpu *c = i->implementation;

	if (c->is_attached)
		(void)cpu_follow(i);
}

static int cpu_set_rate(struct source_instance *i, uint64_t hz)
{
	struct cpu *c = i->implementation;
	uint64_t period;

	if (hz == 0 || hz > CPU_HZ_MAX)
		return -EINVAL;
	period = event_period(c, hz);
	for (unsigned cpu = 0; cpu < c->n_cpus; cpu++) {
		if (c->links[cpu] && ioctl(c->events[cpu], PERF_EVENT_IOC_PERIOD, &period) < 0)
			return -errno;
	}
	i->rate = hz;
	i->period = NS_PER_SEC / hz;
	return 0;
}

/* A sample weighs the time between two of its CPU. With cycles that is the nominal time. */
static bool cpu_values(struct source_instance *i, const struct sample_record *r, struct sample *s)
{
	const struct cpu *c = i->implementation;

	s->values[0] = 1;
	s->values[1] = (int64_t)(c->by_cycles ? i->period : r->value);
	return true;
}

const struct source cpu_source = {
	.name = "cpu",
	.types = { { "samples", "count" }, { "cpu", "nanoseconds" } },
	.period_type = { "cpu", "nanoseconds" },
	.needs = FEATURE_CPU,
	.open = cpu_open,
	.attach = cpu_attach,
	.values = cpu_values,
	.set_rate = cpu_set_rate,
	.tick = cpu_tick,
	.close = cpu_close,
};
