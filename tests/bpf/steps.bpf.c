/* The steps of every source behind an entry that a test can run: BPF_PROG_TEST_RUN calls it with the test itself as the
 * current task. */
#include "bpf/emit.bpf.h"

SEC("raw_tp")
int steps_sample(struct bpf_raw_tracepoint_args *ctx)
{
	return emit_sample_from(ctx, PROFILE_CPU, 42, true);
}

char LICENSE[] SEC("license") = "GPL";
