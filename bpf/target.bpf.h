/* Who is profiled: decided in the kernel, before anything is unwound. By process with its descendants, cgroup v2
 * subtree, command name or executable. */
#pragma once
#include "bpf/file.bpf.h"

/* Process -> bit mask of the lists (1 << SELECT_*) that it is on. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SELECT_PIDS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} selected_pids SEC(".maps");

/* One move of a match with one memory ('*'). 1: go on; 0: no match; 2: the text is used up. */
static __always_inline int glob_step(struct scratch *s, const volatile char *glob)
{
	__u32 p = s->glob.pattern, t = s->glob.text;
	char wanted = p < COMM_BYTES ? glob[p & (COMM_BYTES - 1)] : 0;
	char is = t < COMM_BYTES ? s->record.comm[t & (COMM_BYTES - 1)] : 0;

	if (is == 0)
		return 2;
	if (wanted == '*') {
		s->glob.star = s->glob.pattern = p + 1;
		s->glob.mark = t;
	} else if (wanted == '?' || wanted == is) {
		s->glob.pattern = p + 1;
		s->glob.text = t + 1;
	} else if (s->glob.star) {
		s->glob.pattern = s->glob.star;
		s->glob.text = ++s->glob.mark;
	} else {
		return 0;
	}
	return 1;
}

/* Whether s->record.comm fits a rule. The positions live in the scratch slot because the verifier then takes them for
 * anything at all and does not follow each run of the loop apart. */
__noinline int glob_match(__u32 slot, __u32 list, __u32 rule)
{
	struct scratch *s = scratch_get(slot);
	const volatile char *glob;
	int r = 1;

	if (!s || list >= SELECT_LISTS || rule >= SELECT_RULES_MAX)
		return 0;
	glob = constants.select[list].comms[rule].glob;
	s->glob.pattern = s->glob.text = s->glob.star = s->glob.mark = 0;
	for (int i = 0; i < 2 * COMM_BYTES * COMM_BYTES && r == 1; i++)
		r = glob_step(s, glob);
	if (r != 2)
		return 0;
	for (int i = 0; i < COMM_BYTES; i++) {
		__u32 p = s->glob.pattern;

		if (p >= COMM_BYTES || glob[p & (COMM_BYTES - 1)] != '*')
			break;
		s->glob.pattern = p + 1;
	}
	return s->glob.pattern >= COMM_BYTES || glob[s->glob.pattern & (COMM_BYTES - 1)] == 0;
}

static __always_inline bool exe_match(const volatile struct select_rules *rules, const struct file_key *key)
{
	for (__u32 i = 0; i < SELECT_RULES_MAX && i < rules->n_exes; i++) {
		const volatile struct select_exe *e = &rules->exes[i];

		if (e->inode == key->inode && e->size_bytes == key->size_bytes && e->mtime_ns == key->mtime_ns)
			return true;
	}
	return false;
}

/* Whether the current process is on a list. s->record.comm must be set. */
__noinline int select_match(__u32 slot, __u32 list)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	const volatile struct select_rules *rules;
	struct scratch *s = scratch_get(slot);

	if (!s || list >= SELECT_LISTS)
		return 0;
	rules = &constants.select[list];
	if (rules->has_pids) {
		__u32 *lists = bpf_map_lookup_elem(&selected_pids, &tgid);

		if (lists && (*lists & (1u << list)))
			return 1;
	}
	for (__u32 i = 0; i < SELECT_RULES_MAX && i < rules->n_cgroups; i++) {
		if (bpf_get_current_ancestor_cgroup_id(rules->cgroups[i].level) == rules->cgroups[i].id)
			return 1;
	}
	for (__u32 i = 0; i < SELECT_RULES_MAX && i < rules->n_comms; i++) {
		if (glob_match(slot, list, i))
			return 1;
	}
	if (rules->n_exes) {
		const struct file *exe = BPF_CORE_READ(task, mm, exe_file);

		if (exe) {
			file_key_read(&s->file_record.key, exe);
			return exe_match(rules, &s->file_record.key);
		}
	}
	return 0;
}

static __always_inline bool select_has_rules(__u32 list)
{
	const volatile struct select_rules *r = &constants.select[list];

	return r->has_pids | r->n_cgroups | r->n_comms | r->n_exes;
}

static __always_inline bool select_current(__u32 slot)
{
	if (select_has_rules(SELECT_INCLUDE) && !select_match(slot, SELECT_INCLUDE))
		return false;
	return !select_has_rules(SELECT_EXCLUDE) || !select_match(slot, SELECT_EXCLUDE);
}

/* Children are what their parents are. Attached only where PIDs are selected. */
SEC("raw_tp/sched_process_fork")
int select_fork(struct bpf_raw_tracepoint_args *ctx)
{
	const struct task_struct *parent = (const void *)ctx->args[0], *child = (const void *)ctx->args[1];
	__u32 from = BPF_CORE_READ(parent, tgid), to = BPF_CORE_READ(child, tgid), *lists;

	lists = bpf_map_lookup_elem(&selected_pids, &from);
	if (lists && from != to && bpf_map_update_elem(&selected_pids, &to, lists, BPF_ANY) != 0)
		count(COUNTER_FORKS_FULL);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int select_exit(struct bpf_raw_tracepoint_args *ctx)
{
	const struct task_struct *task = (const void *)ctx->args[0];
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		bpf_map_delete_elem(&selected_pids, &tgid);
	return 0;
}
