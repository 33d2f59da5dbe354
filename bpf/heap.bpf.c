/* heap: uprobes on the functions of an allocator, sampled by bytes (Poisson): after each sample a number of bytes is
 * drawn from an exponential distribution, and the allocation in which they are used up is the next one. The stack is
 * taken at the call; the address comes when the call returns, which only sampled calls are asked to tell where the
 * kernel can (uprobe session). */
#include "bpf/emit.bpf.h"

/* By CPU, so that threads of a busy process do not slow each other down; a countdown by CPU is as good as one, because
 * the process that it counts has no memory. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, HEAP_PROCESSES_MAX);
	__type(key, __u32);
	__type(value, struct heap_counters);
} heap_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HEAP_PROCESSES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} heap_intervals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HEAP_LIVE_MAX);
	__type(key, struct heap_key);
	__type(value, __u64);
} heap_live SEC(".maps");

/* A sampled call on its way, by its stack pointer: another may be made before it returns. */
struct heap_call_key {
	__u64 thread;
	__u64 sp;
};

struct heap_call {
	__u64 id;
	__u64 out; /* posix_memalign: where the address will be */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HEAP_CALLS_MAX);
	__type(key, struct heap_call_key);
	__type(value, struct heap_call);
} heap_calls SEC(".maps");

const volatile bool is_session = false; /* heap_call is asked at the return too, where it returned 0 */
__u64 last_id = 0;

/* -ln(1 - (i + 1/2) / 256) in 1/65536; filled in by emberd. */
const volatile __u32 exponential[256];

/* An exponential variate of the given mean. The upper byte draws from a table, but where it is the last one the draw is
 * moved on by that entry's lower bound (ln 256) and made again: the distribution has no memory. */
static __always_inline __u64 next_sample_in(__u64 mean)
{
	const __u64 ln_256 = 363409; /* in 1/65536 */
	__u64 sum = 0;

	for (int i = 0; i < 4; i++) {
		__u32 at = bpf_get_prandom_u32() >> 24;

		if (at < 255) {
			sum += exponential[at];
			break;
		}
		sum += ln_256;
	}
	/* mean is at most 2^40, sum below 2^21 */
	return (mean * sum >> 16) + 1;
}

static __always_inline void tell(__u16 kind, __u32 pid, __u64 id, __u64 address)
{
	struct heap_record r = {
		.header = { .kind = kind, .profile = PROFILE_HEAP, .size_bytes = sizeof(r) },
		.id = id,
		.address = address,
		.pid = pid,
	};

	if (bpf_ringbuf_output(&ring, &r, sizeof(r), ring_flags()) != 0)
		count(COUNTER_RING_FULL);
}

static __always_inline void release(struct heap_counters *p, __u32 pid, __u64 address)
{
	struct heap_key key = { .address = address, .pid = pid };
	__u64 *found, id;

	if (!address)
		return;
	p->frees++;
	found = bpf_map_lookup_elem(&heap_live, &key);
	if (!found)
		return;
	id = *found;
	bpf_map_delete_elem(&heap_live, &key);
	tell(RECORD_HEAP_FREE, pid, id, address);
}

static __always_inline void hold(__u32 pid, __u64 address, __u64 id)
{
	struct heap_key key = { .address = address, .pid = pid };

	if (bpf_map_update_elem(&heap_live, &key, &id, BPF_ANY) != 0) {
		count(COUNTER_HEAP_LIVE_FULL);
		return;
	}
	tell(RECORD_HEAP_LIVE, pid, id, address);
}

#if defined(__TARGET_ARCH_x86)
#define CALL_ARG(ctx, i) ((i) == 0 ? (ctx)->di : (i) == 1 ? (ctx)->si : (ctx)->dx)
#define CALL_RETURN(ctx) ((ctx)->ax)
#define CALL_SP(ctx) ((ctx)->sp)
#define CALL_PC(ctx) ((ctx)->ip)
#define RETURN_SP_OFFSET 8

/* System V ABI for AMD64, figure 3.36: DWARF numbers of the registers. */
static __noinline __u64 operand(struct uprobe_regs *ctx, __u32 i)
{
	volatile __u64 registers[16] = { ctx->ax, ctx->dx, ctx->cx, ctx->bx, ctx->si, ctx->di, ctx->bp, ctx->sp,
		ctx->r8, ctx->r9, ctx->r10, ctx->r11, ctx->r12, ctx->r13, ctx->r14, ctx->r15 };

	return registers[i & 15];
}
#elif defined(__TARGET_ARCH_arm64)
#define CALL_ARG(ctx, i) ((ctx)->regs[i])
#define CALL_RETURN(ctx) ((ctx)->regs[0])
#define CALL_SP(ctx) ((ctx)->sp)
#define CALL_PC(ctx) ((ctx)->pc)
#define RETURN_SP_OFFSET 0

static __always_inline __u64 operand(struct uprobe_regs *ctx, __u32 i)
{
	return i == 0 ? ctx->regs[0] : i == 1 ? ctx->regs[1] : ctx->regs[2];
}
#endif

/* Up to the probe the function may have moved its arguments. */
static __always_inline __u64 argument(struct uprobe_regs *ctx, __u64 cookie, __u32 i)
{
	if (HEAP_COOKIE_FLAGS(cookie) & HEAP_MOVED)
		return operand(ctx, HEAP_COOKIE_OPERAND(cookie, i));
	return CALL_ARG(ctx, i);
}

/* Bytes that a call asks for; -1 where another probe will see it too, or it cannot succeed. */
static __always_inline __s64 bytes_asked(struct uprobe_regs *ctx, __u64 cookie, struct heap_counters *p, __u32 pid)
{
	__u32 function = HEAP_COOKIE_FUNCTION(cookie);
	bool goes_on = HEAP_COOKIE_FLAGS(cookie) & HEAP_NULL_IS_MALLOC;
	__u64 a = argument(ctx, cookie, 0), b = argument(ctx, cookie, 1), c = argument(ctx, cookie, 2), bytes;

	switch (function) {
	case HEAP_MALLOC:
		bytes = a;
		break;
	case HEAP_CALLOC:
		bytes = a * b;
		if (a >> 32 || b >> 32)
			return -1;
		break;
	case HEAP_REALLOC:
		release(p, pid, a);
		bytes = b;
		if ((!a && goes_on) || (a && !b))
			return -1;
		break;
	case HEAP_REALLOCARRAY:
		release(p, pid, a);
		bytes = b * c;
		if (b >> 32 || c >> 32 || (!a && goes_on))
			return -1;
		break;
	case HEAP_ALIGNED_ALLOC:
		bytes = b;
		if (goes_on && a <= 16)
			return -1;
		break;
	case HEAP_POSIX_MEMALIGN:
		bytes = c;
		if (goes_on && b <= 16)
			return -1;
		break;
	default:
		return -1;
	}
	return bytes >> 47 ? -1 : (__s64)bytes;
}

/* The interval in force where the allocation of so many bytes is the one to take, else 0. */
static __always_inline __u64 is_next(struct heap_counters *p, __u32 pid, __u64 bytes)
{
	__u64 *found = bpf_map_lookup_elem(&heap_intervals, &pid), interval;

	if (!found || !*found)
		return 0;
	interval = *found & ~HEAP_ALLOCATED_ONLY;
	if (!bytes)
		bytes = 1;
	p->calls++;
	p->bytes += bytes;
	if (p->interval !=
	        interval) { /* the distribution has no memory: a new draw is as good as the rest of an old one */
		p->interval = interval;
		p->countdown = next_sample_in(interval);
	}
	p->countdown -= bytes;
	if (p->countdown > 0)
		return 0;
	p->countdown = next_sample_in(interval);
	return *found;
}

/* A function that ends in a jump to another one of the allocator: it was counted there, and is not again here. Told by
 * the stack, which is as it was found there, or 0: whatever it says; the same function at the same place is simply
 * called again. Where the return is asked for, by us or by another link on the same place, the kernel's trampoline has
 * come into the place of the return address since: no call begins with that. */
static __always_inline bool is_jump(struct uprobe_regs *ctx, const struct heap_counters *p, __u64 thread)
{
	__u64 back;

	if (p->jump_sp != CALL_SP(ctx) || p->jump_thread != thread || p->jump_pc == CALL_PC(ctx))
		return false;
	if (!p->jump_back)
		return true;
	if (bpf_probe_read_user(&back, sizeof(back), (const void *)CALL_SP(ctx)) != 0)
		return false;
	return back == p->jump_back || (back && back == trampoline_read((const void *)bpf_get_current_task()));
}

static __always_inline void note_jump(struct uprobe_regs *ctx, struct heap_counters *p, __u64 thread)
{
	__u64 back = 0;

	if (is_session)
		(void)bpf_probe_read_user(&back, sizeof(back), (const void *)CALL_SP(ctx));
	p->jump_thread = thread;
	p->jump_pc = CALL_PC(ctx);
	p->jump_sp = CALL_SP(ctx);
	p->jump_back = back;
}

/* Whether the return of the call is wanted. */
static __always_inline bool call(struct uprobe_regs *ctx, __u64 cookie)
{
	__u64 thread = bpf_get_current_pid_tgid(), id, interval;
	__u32 pid = thread >> 32;
	struct heap_counters *p = bpf_map_lookup_elem(&heap_processes, &pid);
	struct heap_call_key key = { .thread = thread, .sp = CALL_SP(ctx) };
	struct heap_call now = {};
	__s64 bytes;

	if (!p) {
		count(COUNTER_HEAP_OTHER_PROCESS);
		return false;
	}
	p->hits++;
	if (HEAP_COOKIE_FUNCTION(cookie) == HEAP_FREE) {
		release(p, pid, argument(ctx, cookie, 0));
		return false;
	}
	bytes = bytes_asked(ctx, cookie, p, pid);
	if (bytes < 0) {
		p->jump_sp = 0; /* it counts where it goes on to, whatever was there before */
		return false;
	}
	if (is_jump(ctx, p, thread))
		return false;
	if (HEAP_COOKIE_FLAGS(cookie) & HEAP_JUMPS)
		note_jump(ctx, p, thread);
	interval = is_next(p, pid, bytes);
	if (!interval)
		return false;
	p->samples++;
	now.id = id = __sync_fetch_and_add(&last_id, 1) + 1;
	if (HEAP_COOKIE_FUNCTION(cookie) == HEAP_POSIX_MEMALIGN)
		now.out = argument(ctx, cookie, 0);
	if (!emit_sample_object(ctx, PROFILE_HEAP, bytes, id, interval & ~HEAP_ALLOCATED_ONLY, EMIT_AT_ENTRY) ||
	        interval & HEAP_ALLOCATED_ONLY)
		return false;
	if (bpf_map_update_elem(&heap_calls, &key, &now, BPF_ANY) != 0) {
		count(COUNTER_HEAP_CALLS_FULL);
		return false;
	}
	return true;
}

/* The return of the sampled call, told from any other by its stack pointer. */
static __always_inline void call_returns(struct uprobe_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), address = CALL_RETURN(ctx);
	struct heap_call_key key = { .thread = thread, .sp = CALL_SP(ctx) - RETURN_SP_OFFSET };
	struct heap_call *found = bpf_map_lookup_elem(&heap_calls, &key), now;
	struct heap_counters *p;
	__u32 pid = thread >> 32;

	if (!found)
		return;
	now = *found;
	bpf_map_delete_elem(&heap_calls, &key);
	p = bpf_map_lookup_elem(&heap_processes, &pid);
	if (p)
		p->jump_sp = 0;
	if (now.out && bpf_probe_read_user(&address, sizeof(address), (const void *)now.out) != 0)
		address = 0;
	if (address)
		hold(pid, address, now.id);
}

SEC("uprobe")
int heap_call(struct uprobe_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);

	if (is_session && (CALL_PC(ctx) & 0xfff) != HEAP_COOKIE_PROBE(cookie)) {
		call_returns(ctx);
		return 0;
	}
	/* 1 skips the return probe of a session; of any other link it would have the kernel take the probe out */
	return !call(ctx, cookie) && is_session;
}

/* Here the stack cannot tell a jump from the next call at the same place, but every call is seen to return. */
static __always_inline void forget_jump(struct uprobe_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 pid = thread >> 32;
	struct heap_counters *p = bpf_map_lookup_elem(&heap_processes, &pid);

	if (p && p->jump_thread == thread && p->jump_sp == CALL_SP(ctx) - RETURN_SP_OFFSET)
		p->jump_sp = 0;
}

/* Only where the kernel has no sessions. */
SEC("uretprobe")
int heap_return(struct uprobe_regs *ctx)
{
	call_returns(ctx);
	forget_jump(ctx);
	return 0;
}

/* otel_memory:alloc(user, size, weighted_bytes) and free(user): the allocator has sampled, we only take the stack. */
SEC("uprobe")
int heap_usdt(struct uprobe_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx), address = operand(ctx, HEAP_COOKIE_OPERAND(cookie, 0)), id, weight;
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct heap_counters *p = bpf_map_lookup_elem(&heap_processes, &pid);
	__u64 *interval;

	if (!p) {
		count(COUNTER_HEAP_OTHER_PROCESS);
		return 0;
	}
	p->hits++;
	if (HEAP_COOKIE_FUNCTION(cookie) == HEAP_USDT_FREE) {
		release(p, pid, address);
		return 0;
	}
	interval = bpf_map_lookup_elem(&heap_intervals, &pid);
	if (!interval || !*interval)
		return 0; /* the gate is closed */
	weight = operand(ctx, HEAP_COOKIE_OPERAND(cookie, 2)) & ~HEAP_PERIOD_GIVEN;
	p->calls++;
	p->bytes += weight;
	p->samples++;
	id = __sync_fetch_and_add(&last_id, 1) + 1;
	if (emit_sample_object(ctx, PROFILE_HEAP, operand(ctx, HEAP_COOKIE_OPERAND(cookie, 1)), id,
	            HEAP_PERIOD_GIVEN | weight, EMIT_IN_USER) &&
	        !(*interval & HEAP_ALLOCATED_ONLY))
		hold(pid, address, id);
	return 0;
}

/* A dynamic linker has changed its list of libraries: there may be another allocator among them. */
SEC("uprobe")
int heap_load(struct uprobe_regs *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct heap_counters *p = bpf_map_lookup_elem(&heap_processes, &pid);

	if (!p) {
		count(COUNTER_HEAP_OTHER_PROCESS);
		return 0;
	}
	p->hits++;
	tell(RECORD_HEAP_LOAD, pid, 0, 0);
	return 0;
}

/* ---- what the program does on its own ---- */

const volatile bool counts_instructions =
        false;  /* ticks come after so many instructions in user mode, not so much time */
__u64 tick = 1; /* what a tick stands for; the event's own last_period stays what it was when the period changes */
__u64 after[HEAP_AFTER_WORDS] = {};

/* A tick that falls due while the kernel handles a probe with interrupts off comes at the first instruction after it:
 * it is the probe's, not the program's. */
static __always_inline bool is_after_probe(__u64 pc)
{
	return after[(pc & 0xfff) / 64] >> (pc & 63) & 1;
}

/* How far the program has come is told by its progress in user mode: unlike all CPU time it does not grow with the
 * probes. A counter of instructions in user mode can tell of its overflow a little late, after a trap. */
SEC("perf_event")
int heap_tick(struct bpf_perf_event_data *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct heap_counters *p = bpf_map_lookup_elem(&heap_processes, &pid);
#if defined(__TARGET_ARCH_x86)
	__u64 pc = ctx->regs.ip;
#elif defined(__TARGET_ARCH_arm64)
	__u64 pc = ctx->regs.pc;
#endif

	if (!p)
		return 0;
	p->ticks++;
	if (counts_instructions || ((__s64)pc > 0 && !is_after_probe(pc)))
		p->progress += tick;
	return 0;
}

/* ---- processes come and go ---- */

SEC("raw_tp/sched_process_exec")
int heap_exec(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	tell(RECORD_HEAP_EXEC, pid, (__u32)ctx->args[1] != pid, bpf_ktime_get_ns());
	return 0;
}

SEC("raw_tp/sched_process_fork")
int heap_fork(struct bpf_raw_tracepoint_args *ctx)
{
	const struct task_struct *parent = (const void *)ctx->args[0], *child = (const void *)ctx->args[1];
	__u32 from = BPF_CORE_READ(parent, tgid), to = BPF_CORE_READ(child, tgid);

	if (from != to && BPF_CORE_READ(parent, mm) != BPF_CORE_READ(child, mm) &&
	        bpf_map_lookup_elem(&heap_processes, &from))
		tell(RECORD_HEAP_FORK, to, from, bpf_ktime_get_ns());
	return 0;
}

SEC("raw_tp/sched_process_exit")
int heap_exit(struct bpf_raw_tracepoint_args *ctx)
{
	const struct task_struct *task = (const void *)ctx->args[0];
	__u32 pid = BPF_CORE_READ(task, tgid);

	if (BPF_CORE_READ(task, signal, live.counter) == 0 && bpf_map_lookup_elem(&heap_processes, &pid))
		tell(RECORD_HEAP_EXIT, pid, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
