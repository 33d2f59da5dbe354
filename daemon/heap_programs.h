/* The programs of bpf/heap.bpf.c, opened for what this kernel can. */
#pragma once

struct bpf_program;
struct heap_bpf;

struct heap_programs {
	const struct bpf_program *call, *back, *usdt, *load, *tick; /* call: frees, too */
	int call_type, other_type;                                  /* UPROBE_ATTACH_*, 0: perf events */
};

/* *ret_skel belongs to the caller, who is to load it; ret's programs live as long. */
int heap_programs_open(struct heap_bpf **ret_skel, struct heap_programs *ret);
