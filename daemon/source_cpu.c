/* cpu: one perf event on every online CPU, by period. Hardware cycles where there is a PMU, the CPU's clock elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "bpf/abi.h"
#include "bpf/cpu.skel.h"
#include "daemon/cpu_events.h"
#include "daemon/sources.h"

#define CPU_HZ_DEFAULT 100
#define CPU_HZ_MAX 10000
#define WANDER_MIN 5 /* thousandths of the period: at 100 Hz half a period a second */
#define WANDER_MAX 15

struct cpu {
	struct cpu_bpf *programs;
	struct cpu_events *events;
	bool by_cycles;
	uint64_t cycles_per_second;
	int wander; /* thousandths by which the period is longer now; 0 at first */
};

static uint64_t event_period(const struct cpu *c, uint64_t hz)
{
	return c->by_cycles ? c->cycles_per_second / hz : NS_PER_SEC / hz;
}

/* A fixed period beats with whatever else happens in step with it: of processes that start each 5 ms it would see all
 * or none. So each second it is a little longer and in the next as much shorter, by lot: the phase wanders, the mean
 * stays, and a sample weighs the nominal period. */
static uint64_t wandering_period(struct cpu *c, uint64_t hz)
{
	int64_t period = (int64_t)event_period(c, hz);
	uint8_t lot = 0;

	if (c->wander > 0) {
		c->wander = -c->wander;
	} else {
		(void)!getrandom(&lot, sizeof(lot), GRND_NONBLOCK);
		c->wander = WANDER_MIN + lot % (WANDER_MAX - WANDER_MIN + 1);
	}
	return (uint64_t)(period + period * c->wander / 1000);
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
	(void)cpu_events_free(c->events);
	cpu_bpf__destroy(c->programs);
	free(c);
	i->implementation = NULL;
}

static int cpu_open(struct source_instance *i)
{
	struct cpu *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	i->implementation = c;
	c->programs = cpu_bpf__open();
	if (!c->programs)
		return -errno;
	c->cycles_per_second = cycles_per_second();
	c->by_cycles = c->cycles_per_second > 0 && features_has(FEATURE_PMU);
	i->rate = MIN(i->params.frequency_hz ? i->params.frequency_hz : CPU_HZ_DEFAULT, (uint32_t)CPU_HZ_MAX);
	i->period = NS_PER_SEC / i->rate;
	return source_load(i, c->programs->skeleton, &c->programs->rodata->constants);
}

static int cpu_attach(struct source_instance *i)
{
	struct cpu *c = i->implementation;
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = c->by_cycles ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.config = c->by_cycles ? PERF_COUNT_HW_CPU_CYCLES : PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = wandering_period(c, i->rate),
		.disabled = 1,
	};
	int r = cpu_events_new(c->programs->progs.cpu_sample, &attr, &c->events);

	return r < 0 ? r : cpu_events_follow(c->events);
}

static void cpu_tick(struct source_instance *i)
{
	struct cpu *c = i->implementation;

	if (!c->events)
		return;
	(void)cpu_events_set_period(c->events, wandering_period(c, i->rate));
	(void)cpu_events_follow(c->events);
}

static int cpu_set_rate(struct source_instance *i, uint64_t hz)
{
	struct cpu *c = i->implementation;
	int r = 0;

	if (hz == 0 || hz > CPU_HZ_MAX)
		return -EINVAL;
	if (c->events)
		r = cpu_events_set_period(c->events, wandering_period(c, hz));
	if (r < 0)
		return r;
	i->rate = hz;
	i->period = NS_PER_SEC / hz;
	return 0;
}

/* A sample weighs the time between two of its CPU, on average. With cycles that is the nominal time. */
static bool cpu_values(struct source_instance *i, const struct sample_record *r, struct sample *s)
{
	(void)r;
	s->values[0] = 1;
	s->values[1] = (int64_t)i->period;
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
