/* What this kernel allows: a table of probes, each asked once and remembered. No version is ever compared: a probe asks
 * BTF, asks libbpf, or loads a program of a few instructions. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum feature {
	FEATURE_NONE = 0, /* always there */
	FEATURE_BPF,      /* may load programs at all */
	FEATURE_BTF,
	FEATURE_RING_BUFFER,
	FEATURE_PERF_EVENT,        /* cpu-clock events on every CPU, with BPF programs */
	FEATURE_CPU,               /* all that the cpu source needs */
	FEATURE_PMU,               /* hardware cycles */
	FEATURE_USER_INSTRUCTIONS, /* counted by hardware, in user mode only */
	FEATURE_TASK_PT_REGS,
	FEATURE_VMA_TREE, /* code known by file: the VMA walk fits this kernel's layout */
	FEATURE_TP_BTF,
	FEATURE_TRACEFS,
	FEATURE_PAGE_FAULT_TRACEPOINT,
	FEATURE_UPROBE,
	FEATURE_UPROBE_MULTI,
	FEATURE_UPROBE_SESSION,
	FEATURE_KPROBE,
	FEATURE_CGROUP_V2,
	FEATURE_BPF_STATS,
	FEATURE_MAX
};

/* Probes on first use. */
bool features_has(enum feature f);
const char *features_id(enum feature f);   /* "task-pt-regs" */
const char *features_text(enum feature f); /* what it is good for, one line */
/* Why it is missing, one line; "" where it is there. Valid until the process ends. */
const char *features_reason(enum feature f);
/* Finds a feature by id; FEATURE_NONE where there is none. */
enum feature features_find(const char *id);
/* Kernel BTF that libbpf uses, loaded once; NULL where the kernel has none. features_done frees it (2.5 MB of RSS). */
struct btf;
const struct btf *features_btf(void);
void features_done(void);
