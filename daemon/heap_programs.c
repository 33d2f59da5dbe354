#include "daemon/heap_programs.h"

#include <assert.h>
#include <math.h>

#include "base/cleanup.h"
#include "daemon/features.h"
#include "daemon/uprobe.h"
#include "bpf/abi.h"
#include "bpf/heap.skel.h"

int heap_programs_open(struct heap_bpf **ret_skel, struct heap_programs *ret)
{
	struct heap_bpf *skel;
	bool multi = features_has(FEATURE_UPROBE_MULTI), session = features_has(FEATURE_UPROBE_SESSION);

	skel = heap_bpf__open();
	if (!skel)
		return -errno;
	skel->rodata->is_session = session;
	skel->rodata->counts_instructions = features_has(FEATURE_USER_INSTRUCTIONS);
	for (int k = 0; k < 256; k++)
		skel->rodata->exponential[k] = (uint32_t)lrint(-log1p(-(k + 0.5) / 256) * 65536);
	*ret = (struct heap_programs){
		.call = skel->progs.heap_call,
		.back = skel->progs.heap_return,
		.usdt = skel->progs.heap_usdt,
		.tick = skel->progs.heap_tick,
		.load = skel->progs.heap_load,
		.call_type = session ? UPROBE_ATTACH_SESSION
		             : multi ? UPROBE_ATTACH_MULTI
		                     : 0,
		.other_type = multi || session ? UPROBE_ATTACH_MULTI : 0,
	};
	(void)bpf_program__set_expected_attach_type(skel->progs.heap_call, (enum bpf_attach_type)ret->call_type);
	(void)bpf_program__set_expected_attach_type(skel->progs.heap_return, (enum bpf_attach_type)ret->other_type);
	(void)bpf_program__set_expected_attach_type(skel->progs.heap_usdt, (enum bpf_attach_type)ret->other_type);
	(void)bpf_program__set_expected_attach_type(skel->progs.heap_load, (enum bpf_attach_type)ret->other_type);
	*ret_skel = skel;
	return 0;
}
