/* The unwind step against stacks of real programs, as tests/golden/record.py recorded them: the frames are those that
 * elfutils found. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"

#define WORDS_MAX 65536
#define FRAMES_MAX 600

static struct {
	uint64_t base, words[WORDS_MAX];
	size_t n;
} stack;

static int read_user(void *to, size_t size, uint64_t address)
{
	uint64_t end = stack.base + stack.n * 8;

	if (address < stack.base || address > end || size > end - address)
		return -14;
	memcpy(to, (const char *)stack.words + (address - stack.base), size);
	return 0;
}

#define READ_USER(to, bytes, address) read_user((to), (bytes), (address))
#include "bpf/unwind_step.h"

struct frame {
	uint64_t pc;
	struct unwind_rule rule;
	bool has_rule;
	char name[128];
};

static struct {
	struct unwind_registers registers;
	struct frame frames[FRAMES_MAX];
	unsigned n;
} golden;

static void read_stack(FILE *f)
{
	assert_int_equal(fscanf(f, " stack %" SCNx64, &stack.base), 1);
	for (stack.n = 0; stack.n < WORDS_MAX && fscanf(f, " %" SCNx64, &stack.words[stack.n]) == 1;)
		stack.n++;
}

static void read_frame(FILE *f)
{
	struct frame *to = &golden.frames[golden.n++];
	unsigned cfa, fp;
	int fp_offset, cfa_offset;
	char first[16];

	assert_true(golden.n <= FRAMES_MAX);
	*to = (struct frame){ 0 };
	assert_int_equal(fscanf(f, " %" SCNx64 " %15s %u %d %d %127[^\n]", &to->pc, first, &fp, &fp_offset, &cfa_offset,
	                         to->name),
	        6);
	to->has_rule = strcmp(first, "fp") != 0;
	cfa = (unsigned)strtoul(first, NULL, 10);
	if (to->has_rule)
		to->rule = (struct unwind_rule){ .cfa = (uint8_t)cfa,
			.fp = (uint8_t)fp,
			.fp_offset = (int16_t)fp_offset,
			.cfa_offset = cfa_offset };
}

static void golden_read(const char *path)
{
	FILE *f = fopen(path, "re");
	char word[16];

	assert_non_null(f);
	golden.n = 0;
	assert_int_equal(fscanf(f, " registers %llx %llx %llx", &golden.registers.pc, &golden.registers.sp,
	                         &golden.registers.fp),
	        3);
	read_stack(f);
	assert_int_equal(fscanf(f, "%15s", word), 1);
	assert_string_equal(word, "top"); /* no hexadecimal digit begins it */
	while (fscanf(f, "%15s", word) == 1) {
		assert_string_equal(word, "frame");
		read_frame(f);
	}
	(void)fclose(f);
}

/* Each step leads to the next recorded frame, the last one to the root. */
static void replay(const char *name)
{
	struct unwind_registers r = golden.registers;
	struct unwind_window window = { 0 };
	uint32_t switches = 0;
	int end = UNWIND_CONTINUE;

	for (unsigned i = 0; i < golden.n; i++) {
		const struct frame *f = &golden.frames[i];

		if (r.pc != f->pc)
			fail_msg("%s: frame %u is %" PRIx64 ", not %" PRIx64 " (%s)", name, i, (uint64_t)r.pc, f->pc,
			        f->name);
		end = f->has_rule ? unwind_by_rule(&f->rule, &r, &window)
		                  : unwind_by_frame_pointer(&r, &window, 1, &switches);
		if (end != UNWIND_CONTINUE && i + 1 < golden.n)
			fail_msg("%s: ends after frame %u (%s) by %d", name, i, f->name, end);
	}
	if (end != STACK_END_COMPLETE)
		fail_msg("%s: does not reach its root: %d", name, end);
}

static void stacks_of_real_programs(void **state)
{
	_cleanup_closedir_ DIR *d = opendir(getenv("GOLDEN"));
	unsigned n = 0;

	(void)state;
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));) {
		char path[512];

		if (!strstr(e->d_name, ".stack"))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", getenv("GOLDEN"), e->d_name);
		golden_read(path);
		print_message("# %s: %u frames\n", e->d_name, golden.n);
		replay(e->d_name);
		n++;
	}
	assert_true(n >= 6);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(stacks_of_real_programs),
};

UNIT_MAIN(tests)
