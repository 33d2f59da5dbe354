/* One perf event with a BPF program on every online CPU, followed as CPUs come and go. */
#pragma once
#include <linux/perf_event.h>
#include <stdint.h>
#include "base/cleanup.h"

struct bpf_program;
struct cpu_events;

/* attr is copied. Nothing is attached yet. */
int cpu_events_new(const struct bpf_program *program, const struct perf_event_attr *attr, struct cpu_events **ret);
struct cpu_events *cpu_events_free(struct cpu_events *e);
DEFINE_CLEANUP(struct cpu_events *, cpu_events_free)

/* Attaches the CPUs that are online and lack an event, lets go of those that are gone. Call it once to begin, then
 * about once a second. */
int cpu_events_follow(struct cpu_events *e);
/* Of all events, present and future. */
int cpu_events_set_period(struct cpu_events *e, uint64_t period);
