#include "tests/unit/unit.h"

#include <stdbool.h>
#include <string.h>

/* Recorded memory: one range that can be read, and a count of reads. */
static struct {
	uint64_t base;
	uint64_t words[160];
	size_t n;
	unsigned reads;
} memory;

static int read_user(void *to, size_t size, uint64_t address)
{
	uint64_t end = memory.base + memory.n * 8;

	memory.reads++;
	if (address < memory.base || address > end || size > end - address)
		return -14;
	memcpy(to, (const char *)memory.words + (address - memory.base), size);
	return 0;
}

#define READ_USER(to, bytes, address) read_user((to), (bytes), (address))
#include "bpf/unwind_step.h"

#define SP 0x7ffc00001000ull

static struct unwind_window window;

static void remember(size_t n)
{
	memset(&memory, 0, sizeof(memory));
	memset(&window, 0, sizeof(window));
	memory.base = SP;
	memory.n = n;
}

static void expect(const struct unwind_registers *r, uint64_t pc, uint64_t sp, uint64_t fp)
{
	assert_int_equal(r->pc, pc);
	assert_int_equal(r->sp, sp);
	assert_int_equal(r->fp, fp);
}

/* leaf: sub $24; mid: push rbp, sub $16; main: push rbp, mov rsp, rbp. Stack as gcc -O2 lays it out. */
static void frames_by_rsp_and_rbp(void **state)
{
	static const struct unwind_rule leaf = { .cfa = CFA_SP, .cfa_offset = 32 };
	static const struct unwind_rule mid = { .cfa = CFA_SP, .cfa_offset = 32, .fp = FP_AT_CFA, .fp_offset = -16 };
	static const struct unwind_rule whole = { .cfa = CFA_FP, .cfa_offset = 16, .fp = FP_AT_CFA, .fp_offset = -16 };
	struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = 0x1234 };

	(void)state;
	remember(160);
	memory.words[3] = 0x401100;    /* leaf's return address, CFA = SP + 32 */
	memory.words[6] = SP + 15 * 8; /* mid's saved rbp, CFA = SP + 64 */
	memory.words[7] = 0x401200;
	memory.words[15] = 0x5555;         /* main's saved rbp */
	memory.words[16] = 0x7f0000001234; /* into libc */
	assert_int_equal(unwind_by_rule(&leaf, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x401100, SP + 32, 0x1234);
	assert_int_equal(unwind_by_rule(&mid, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x401200, SP + 64, SP + 15 * 8);
	assert_int_equal(unwind_by_rule(&whole, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x7f0000001234, SP + 17 * 8, 0x5555);
	assert_int_equal(memory.reads, 1); /* one window served them all */
}

/* Hand-written assembly that keeps its caller's stack pointer in rax: known in the innermost frame alone. */
static void a_general_register_helps_where_it_is_known(void **state)
{
	static const struct unwind_rule rule = {
		.cfa = CFA_REGISTER, .cfa_offset = CFA_REGISTER_PACK(0, 8), .fp = FP_AT_CFA, .fp_offset = -24
	};
	struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = 0x1234, .other = SP + 15 * 8 };

	(void)state;
	remember(160);
	memory.words[13] = 0x5555;
	memory.words[15] = 0x401100;
	assert_int_equal(unwind_by_rule(&rule, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x401100, SP + 16 * 8, 0x5555);
	r.other = 0;
	assert_int_equal(unwind_by_rule(&rule, &r, &window), STACK_END_NO_FP);
	expect(&r, 0x401100, SP + 16 * 8, 0x5555);
}

static void plt_entry_depends_on_the_push(void **state)
{
	static const struct unwind_rule plt = { .cfa = CFA_PLT, .cfa_offset = 11 };
	struct unwind_registers before = { .pc = 0x401026, .sp = SP }, after = { .pc = 0x40102b, .sp = SP };

	(void)state;
	remember(160);
	memory.words[0] = 0x401111;
	memory.words[1] = 0x402222;
	assert_int_equal(unwind_by_rule(&plt, &before, &window), UNWIND_CONTINUE);
	expect(&before, 0x401111, SP + 8, 0);
	assert_int_equal(unwind_by_rule(&plt, &after, &window), UNWIND_CONTINUE);
	expect(&after, 0x402222, SP + 16, 0);
}

/* __restore_rt: rsp is at the ucontext, its general registers 40 bytes in. */
static void signal_frame_restores_all(void **state)
{
	static const struct unwind_rule signal = { .cfa = CFA_SIGNAL, .cfa_offset = 40 };
	struct unwind_registers r = { .pc = 0x7f0000003520, .sp = SP };

	(void)state;
	remember(160);
	memory.words[(40 + SIGNAL_RBP) / 8] = 0xb0b0;
	memory.words[(40 + SIGNAL_RSP) / 8] = 0x600000000000; /* another stack, below: sigaltstack */
	memory.words[(40 + SIGNAL_RIP) / 8] = 0x401337;
	assert_int_equal(unwind_by_rule(&signal, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x401337, 0x600000000000, 0xb0b0);
}

/* lea 8(%rsp), %r10; and $-32, %rsp; push -8(%r10); push %rbp; mov %rsp, %rbp; push %r10: the CFA is saved at rbp - 8
 */
static void drap_dereferences(void **state)
{
	const struct unwind_rule drap = {
		.cfa = CFA_FP_DEREF, .cfa_offset = CFA_DEREF_PACK(-8, 0), .fp = FP_AT_FP, .fp_offset = 0
	};
	const struct unwind_rule added = { .cfa = CFA_SP_DEREF, .cfa_offset = CFA_DEREF_PACK(24, -16) };
	struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = SP + 80 };

	(void)state;
	remember(160);
	memory.words[9] = SP + 20 * 8; /* the CFA, at rbp - 8 */
	memory.words[10] = 0xfefe;     /* the caller's rbp, at rbp */
	memory.words[19] = 0x401abc;
	assert_int_equal(unwind_by_rule(&drap, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x401abc, SP + 160, 0xfefe);
	r = (struct unwind_registers){ .pc = 0x401000, .sp = SP };
	memory.words[3] = SP + 22 * 8;
	window.base = 0;
	assert_int_equal(unwind_by_rule(&added, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x401abc, SP + 160, 0);
}

static void ends(void **state)
{
	static const struct unwind_rule end = { .cfa = CFA_END }, sp8 = { .cfa = CFA_SP, .cfa_offset = 8 };
	struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = 0 }, before = r;
	uint32_t switches = 0;

	(void)state;
	remember(160);
	assert_int_equal(unwind_by_rule(&end, &r, &window), STACK_END_COMPLETE);
	assert_int_equal(unwind_by_frame_pointer(&r, &window, 0, &switches), STACK_END_COMPLETE); /* rbp == 0 */
	assert_int_equal(unwind_by_rule(&sp8, &r, &window), STACK_END_COMPLETE); /* a return address of 0 */
	assert_memory_equal(&r, &before, sizeof(r));
}

static void failures_leave_the_registers(void **state)
{
	static const struct unwind_rule below = { .cfa = CFA_SP, .cfa_offset = -8 };
	static const struct unwind_rule outside = { .cfa = CFA_SP, .cfa_offset = 1 << 20 };
	static const struct unwind_rule by_fp = { .cfa = CFA_FP, .cfa_offset = 16 };
	static const struct unwind_rule unknown = { .cfa = CFA_UNKNOWN };
	struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = 0 }, before = r;

	(void)state;
	remember(160);
	assert_int_equal(unwind_by_rule(&below, &r, &window), STACK_END_NO_PROGRESS);
	assert_int_equal(unwind_by_rule(&outside, &r, &window), STACK_END_BAD_STACK);
	assert_int_equal(unwind_by_rule(&by_fp, &r, &window), STACK_END_NO_FP);
	assert_int_equal(unwind_by_rule(&unknown, &r, &window), STACK_END_NO_RULE);
	assert_memory_equal(&r, &before, sizeof(r));
}

static void lost_frame_pointer_is_not_followed(void **state)
{
	static const struct unwind_rule lost = { .cfa = CFA_SP, .cfa_offset = 8, .fp = FP_UNDEFINED };
	static const struct unwind_rule by_fp = { .cfa = CFA_FP, .cfa_offset = 16 };
	struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = SP + 64 };

	(void)state;
	remember(160);
	memory.words[0] = 0x401100;
	assert_int_equal(unwind_by_rule(&lost, &r, &window), UNWIND_CONTINUE);
	assert_int_equal(unwind_by_rule(&by_fp, &r, &window), STACK_END_NO_FP);
}

static void frame_pointer_chain(void **state)
{
	struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = SP + 16 };
	uint32_t switches = 0;

	(void)state;
	remember(160);
	memory.words[2] = SP + 48;
	memory.words[3] = 0x401111;
	memory.words[6] = 0;
	memory.words[7] = 0x402222;
	assert_int_equal(unwind_by_frame_pointer(&r, &window, 0, &switches), UNWIND_CONTINUE);
	expect(&r, 0x401111, SP + 32, SP + 48);
	assert_int_equal(unwind_by_frame_pointer(&r, &window, 0, &switches), UNWIND_CONTINUE);
	expect(&r, 0x402222, SP + 64, 0);
	assert_int_equal(unwind_by_frame_pointer(&r, &window, 0, &switches), STACK_END_COMPLETE);
}

/* A register that merely is not a frame pointer: below rsp, far above, not aligned. */
static void frame_pointer_must_look_like_one(void **state)
{
	static const uint64_t odd[] = { SP - 8, SP + (2u << 20), SP + 4 };
	uint32_t switches = 0;

	(void)state;
	remember(160);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct unwind_registers r = { .pc = 0x401000, .sp = SP, .fp = odd[i] };

		assert_int_equal(unwind_by_frame_pointer(&r, &window, 0, &switches), STACK_END_NO_PROGRESS);
	}
	assert_int_equal(switches, 0);
}

/* Go's system stack leads back to the goroutine's, wherever that is; two stacks that point at each other end. */
static void trusted_frame_pointer_changes_stacks_a_few_times(void **state)
{
	struct unwind_registers r = { .pc = 0x401000, .sp = SP + 512, .fp = SP };
	uint32_t switches = 0;
	int steps = 0, end;

	(void)state;
	remember(160);
	memory.words[0] = SP; /* its own caller */
	memory.words[1] = 0x401111;
	while ((end = unwind_by_frame_pointer(&r, &window, 1, &switches)) == UNWIND_CONTINUE)
		assert_true(++steps < 100);
	assert_int_equal(end, STACK_END_NO_PROGRESS);
	assert_int_equal(steps, UNWIND_STACK_SWITCHES_MAX);
}

/* At the top of a stack a window of 512 bytes does not fit any more. */
static void top_of_the_stack_is_read_word_by_word(void **state)
{
	static const struct unwind_rule rule = { .cfa = CFA_SP, .cfa_offset = 24, .fp = FP_AT_CFA, .fp_offset = -16 };
	struct unwind_registers r = { .pc = 0x401000, .sp = SP };

	(void)state;
	remember(3);
	memory.words[1] = 0xaaaa;
	memory.words[2] = 0x401111;
	assert_int_equal(unwind_by_rule(&rule, &r, &window), UNWIND_CONTINUE);
	expect(&r, 0x401111, SP + 24, 0xaaaa);
}

/* 400 frames of 48 bytes: each as the one before, read in windows. */
static void deep_recursion_needs_few_reads(void **state)
{
	static const struct unwind_rule rule = { .cfa = CFA_SP, .cfa_offset = 48 };
	struct unwind_registers r = { .pc = 0x401000, .sp = SP };

	(void)state;
	remember(160);
	for (size_t i = 5; i < 160; i += 6)
		memory.words[i] = 0x401000 + i;
	for (size_t i = 0; i < 26; i++) {
		assert_int_equal(unwind_by_rule(&rule, &r, &window), UNWIND_CONTINUE);
		assert_int_equal(r.pc, 0x401000 + 6 * i + 5);
	}
	/* two whole windows; in the last 512 bytes word by word */
	assert_true(memory.reads < 26);
}

static void frames_pack(void **state)
{
	uint64_t packed = FRAME_PACK(FILES_MAX - 1, FRAME_RETURN_ADDRESS | FRAME_SIGNAL, 0x1ffffffffffffull);

	(void)state;
	assert_int_equal(FRAME_FILE(packed), FILES_MAX - 1);
	assert_int_equal(FRAME_FLAGS(packed), FRAME_RETURN_ADDRESS | FRAME_SIGNAL);
	assert_int_equal(FRAME_OFFSET(packed), 0x1ffffffffffffull);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(frames_by_rsp_and_rbp),
	cmocka_unit_test(a_general_register_helps_where_it_is_known),
	cmocka_unit_test(plt_entry_depends_on_the_push),
	cmocka_unit_test(signal_frame_restores_all),
	cmocka_unit_test(drap_dereferences),
	cmocka_unit_test(ends),
	cmocka_unit_test(failures_leave_the_registers),
	cmocka_unit_test(lost_frame_pointer_is_not_followed),
	cmocka_unit_test(frame_pointer_chain),
	cmocka_unit_test(frame_pointer_must_look_like_one),
	cmocka_unit_test(trusted_frame_pointer_changes_stacks_a_few_times),
	cmocka_unit_test(top_of_the_stack_is_read_word_by_word),
	cmocka_unit_test(deep_recursion_needs_few_reads),
	cmocka_unit_test(frames_pack),
};

UNIT_MAIN(tests)
