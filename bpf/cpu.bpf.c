/* cpu: a timer or cycle counter on every CPU; whoever runs is sampled. */
#include "bpf/emit.bpf.h"

SEC("perf_event")
int cpu_sample(struct bpf_perf_event_data *ctx)
{
#if defined(__TARGET_ARCH_x86)
	bool in_kernel = (__s64)ctx->regs.ip < 0;
#elif defined(__TARGET_ARCH_arm64)
	bool in_kernel = (__s64)ctx->regs.pc < 0;
#endif

	if ((__u32)bpf_get_current_pid_tgid() == 0) {
		count(COUNTER_IDLE);
		return 0;
	}
	emit_sample_from(ctx, PROFILE_CPU, ctx->sample_period, in_kernel);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
