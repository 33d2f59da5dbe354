/* Selection, unwinding and records, on the real maps and programs: the test takes samples of itself at known places. */
#include "tests/unit/unit.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "bpf/abi.h"
#include "daemon/code.h"
#include "daemon/sources.h"
#include "daemon/symbolizer.h"
#include "steps.skel.h"

#define DEPTH_MAX 600
#define noinline_ __attribute__((noinline, noclone))

static struct {
	sd_event *event;
	struct symbolizer *symbolizer;
	struct code *code;
	struct source_instance *instance;
	int program_fd;
	/* the newest sample */
	unsigned samples;
	uint64_t user[STACK_USER_FRAMES_MAX]; /* addresses in this process; 0 outside this program */
	size_t n_user, n_kernel;
	char truncated[64], comm[16], exe[256];
	uint32_t pid;
	int64_t value;
} t;

/* Return addresses as the functions themselves see them, leaf first. */
static struct {
	uint64_t pc[DEPTH_MAX + 8];
	size_t n;
} truth;

static struct steps_bpf *skeleton;

static int steps_open(struct source_instance *i)
{
	skeleton = steps_bpf__open();
	if (!skeleton)
		return -errno;
	i->implementation = skeleton;
	return source_load(i, skeleton->skeleton, &skeleton->rodata->constants);
}

static int steps_attach(struct source_instance *i)
{
	(void)i;
	t.program_fd = bpf_program__fd(skeleton->progs.steps_sample);
	return 0;
}

static void steps_close(struct source_instance *i)
{
	steps_bpf__destroy(i->implementation);
}

static const struct source steps_source = {
	.name = "steps",
	.types = { { "samples", "count" } },
	.open = steps_open,
	.attach = steps_attach,
	.close = steps_close,
};

static int on_object(struct dl_phdr_info *info, size_t size, void *bias)
{
	(void)size;
	*(uint64_t *)bias = info->dlpi_addr;
	return 1; /* the program itself is the first */
}

static uint64_t address_of(const struct user_frame *frame)
{
	const struct code_file *f = code_get(t.code, frame->file);
	uint64_t bias = 0;

	if (!f || strcmp(f->path, t.exe) != 0)
		return 0;
	(void)dl_iterate_phdr(on_object, &bias);
	for (uint32_t i = 0; i < f->identity.n_segments; i++) {
		const struct symbolizer_segment *s = &f->identity.segments[i];

		if (frame->offset >= s->offset && frame->offset - s->offset < s->filesz)
			return frame->offset - s->offset + s->vaddr + bias;
	}
	return 0;
}

static void on_sample(void *userdata, const struct source_instance *i, const struct sample *s)
{
	(void)userdata;
	(void)i;
	t.samples++;
	t.n_user = s->n_user;
	t.n_kernel = s->n_kernel;
	t.pid = s->pid;
	t.value = s->values[1];
	(void)snprintf(t.truncated, sizeof(t.truncated), "%s", s->truncated ? s->truncated : "");
	(void)snprintf(t.comm, sizeof(t.comm), "%s", s->comm);
	for (size_t k = 0; k < s->n_user; k++)
		t.user[k] = address_of(&s->user[k]);
}

/* Takes a sample of this very place. */
static noinline_ void sample_here(void)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	truth.pc[truth.n++] = (uint64_t)__builtin_return_address(0);
	assert_int_equal(bpf_prog_test_run_opts(t.program_fd, &opts), 0);
	__asm__ volatile("" ::: "memory"); /* not a tail call */
}

static noinline_ void middle(void)
{
	sample_here();
	truth.pc[truth.n++] = (uint64_t)__builtin_return_address(0);
}

static noinline_ void outer(void)
{
	middle();
	truth.pc[truth.n++] = (uint64_t)__builtin_return_address(0);
}

static noinline_ int descend(int depth)
{
	int r = 0;

	if (depth == 0)
		sample_here();
	else
		r = descend(depth - 1) + 1;
	truth.pc[truth.n++] = (uint64_t)__builtin_return_address(0);
	return r;
}

static void drain(void)
{
	while (source_drain(t.instance, 100) > 0)
		;
}

/* Opens the source with targets, and lets code learn about this program and libc. */
static void open_with(const struct targets *targets)
{
	const struct source_params params = { .kernel_stacks = 1, .targets = targets, .code = t.code };

	t.instance = source_close(t.instance);
	assert_int_equal(source_open(&steps_source, &params, on_sample, NULL, &t.instance), 0);
	assert_int_equal(source_attach(t.instance), 0);
	t.samples = 0;
}

static void learn(void)
{
	for (int i = 0; i < 300; i++) {
		truth.n = 0;
		sample_here();
		drain();
		if (t.samples > 0 && t.truncated[0] == '\0' && !code_busy(t.code))
			return;
		assert_true(sd_event_run(t.event, 20000) >= 0);
	}
	fail_msg("no complete stack in six seconds: %s", t.truncated);
}

/* The frames of this program follow each other as the functions saw them, and the stack reaches its root. */
static void expect_truth(void)
{
	size_t at = 0;

	assert_string_equal(t.truncated, "");
	while (at < t.n_user && t.user[at] != truth.pc[0])
		at++;
	assert_true(at + truth.n <= t.n_user);
	for (size_t i = 0; i < truth.n; i++)
		assert_int_equal(t.user[at + i], truth.pc[i]);
}

/* Before anything is known of this program: the stack is finished when its rows have come. Deep enough for the large
 * copy. */
static void the_first_samples_ever_are_seen_whole(void **state)
{
	static const int depths[] = { 2, 400 };

	(void)state;
	open_with(NULL);
	for (size_t k = 0; k < ARRAY_SIZE(depths); k++) {
		truth.n = 0;
		(void)descend(depths[k]);
		drain();
		for (int i = 0; i < 300 && t.samples == k; i++) {
			assert_true(sd_event_run(t.event, 10000) >= 0);
			drain();
		}
		assert_int_equal(t.samples, k + 1);
		expect_truth();
	}
}

static void a_call_chain_is_seen_whole(void **state)
{
	(void)state;
	open_with(NULL);
	learn();
	truth.n = 0;
	outer();
	drain();
	expect_truth();
	assert_true(t.n_kernel > 0);
	assert_int_equal(t.pid, getpid());
	assert_int_equal(t.value, 42);
}

static void recursion_is_seen_whole(void **state)
{
	(void)state;
	for (int depth = 20; depth <= 420; depth += 200) {
		truth.n = 0;
		assert_int_equal(descend(depth), depth);
		drain();
		assert_int_equal(truth.n, depth + 2);
		expect_truth();
	}
}

/* ---- return probes ---------------------------------------------------------------------------------------------- */

struct place {
	uint64_t address, offset;
};

static int on_place(struct dl_phdr_info *info, size_t size, void *userdata)
{
	struct place *p = userdata;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];

		if (h->p_type == PT_LOAD && p->address - info->dlpi_addr - h->p_vaddr < h->p_filesz)
			p->offset = p->address - info->dlpi_addr - h->p_vaddr + h->p_offset;
	}
	return 1; /* the program itself is the first */
}

/* A return probe on a function of this program: its descriptor. */
static int return_probe(uint64_t function)
{
	struct place place = { .address = function };
	struct perf_event_attr attr = { .size = sizeof(attr), .config = 1, .uprobe_path = (uint64_t)(uintptr_t)t.exe };
	_cleanup_free_ char *type = NULL;
	int fd;

	assert_int_equal(file_read_all(AT_FDCWD, "/sys/bus/event_source/devices/uprobe/type", 16, &type, NULL), 0);
	attr.type = (uint32_t)strtoul(type, NULL, 10);
	(void)dl_iterate_phdr(on_place, &place);
	attr.probe_offset = place.offset;
	fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static noinline_ void calls_outer(void)
{
	outer();
	__asm__ volatile("" ::: "memory");
}

static void note_return_probes(void *total, const char *name, uint64_t value)
{
	if (strcmp(name, "return-probes-seen-through") == 0)
		*(uint64_t *)total += value;
}

/* The kernel puts a trampoline in place of the return addresses; the stack is what it is without. */
static void return_probes_are_seen_through(void **state)
{
	uint64_t plain[64], seen = 0;
	size_t n;
	int probes[3];

	(void)state;
	if (!features_has(FEATURE_UPROBE)) {
		print_message("# %s\n", features_reason(FEATURE_UPROBE));
		skip();
	}
	open_with(NULL);
	learn();
	for (int i = 0; i < 2; i++) { /* not inlined into one call each: the same places both times */
		if (i == 1) {
			probes[0] = return_probe((uint64_t)(uintptr_t)middle);
			probes[1] = return_probe((uint64_t)(uintptr_t)middle);
			probes[2] = return_probe((uint64_t)(uintptr_t)outer);
		}
		truth.n = 0;
		calls_outer();
		drain();
		assert_string_equal(t.truncated, "");
		if (i == 0) {
			n = t.n_user;
			assert_true(n > 4 && n <= ARRAY_SIZE(plain));
			memcpy(plain, t.user, n * sizeof(*plain));
		}
	}
	for (int i = 0; i < 3; i++)
		close_fd(probes[i]);
	assert_int_equal(t.n_user, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(t.user[i], plain[i]);
	source_counters(t.instance, note_return_probes, &seen);
	assert_int_equal(seen, 2);
}

static unsigned samples_with(const struct targets *targets)
{
	open_with(targets);
	for (int i = 0; i < 3; i++) {
		sample_here();
		truth.n = 0;
	}
	drain();
	return t.samples;
}

static void selection_by_pid(void **state)
{
	const pid_t self = getpid(), parent = getppid();
	const struct targets only_self = { .include = { .pids = &self, .n_pids = 1 } };
	const struct targets only_parent = { .include = { .pids = &parent, .n_pids = 1 } };
	const struct targets not_self = { .exclude = { .pids = &self, .n_pids = 1 } };

	(void)state;
	assert_int_equal(samples_with(&only_self), 3);
	assert_int_equal(samples_with(&not_self), 0);
	/* children of the selected are selected */
	assert_int_equal(samples_with(&only_parent), 3);
}

static void selection_by_comm(void **state)
{
	static const struct {
		const char *glob;
		bool matches;
	} cases[] = { { "steps-of-a-test", true }, { "steps*", true }, { "*test", true }, { "s*-*-?-t*t", true },
		{ "*", true }, { "steps", false }, { "*teste", false }, { "?steps-of-a-tes", false },
		{ "*s*s*s*s*s*", false } };

	(void)state;
	assert_int_equal(prctl(PR_SET_NAME, "steps-of-a-test"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct targets targets = { .include.n_comms = 1 };

		(void)snprintf(targets.include.comms[0].glob, TARGET_COMM_MAX, "%s", cases[i].glob);
		assert_int_equal(samples_with(&targets), cases[i].matches ? 3 : 0);
		assert_string_equal(cases[i].matches ? t.comm : "steps-of-a-test", "steps-of-a-test");
	}
}

static void selection_by_executable(void **state)
{
	struct targets targets = { .include.n_exes = 1 };

	(void)state;
	assert_int_equal(target_exe_from_path("/proc/self/exe", &targets.include.exes[0]), 0);
	assert_int_equal(samples_with(&targets), 3);
	assert_int_equal(target_exe_from_path("/bin/sh", &targets.include.exes[0]), 0);
	assert_int_equal(samples_with(&targets), 0);
}

static void note(void *total, const char *name, uint64_t value)
{
	if (strncmp(name, "stack-", 6) == 0 || strcmp(name, "not-selected") == 0)
		*(uint64_t *)total += value;
}

/* Each run of the program ends in exactly one of the counters that say how. */
static void every_run_is_counted(void **state)
{
	const pid_t self = getpid();
	const struct targets not_self = { .exclude = { .pids = &self, .n_pids = 1 } };
	uint64_t total = 0;

	(void)state;
	assert_int_equal(samples_with(NULL), 3);
	source_counters(t.instance, note, &total);
	assert_int_equal(total, 3);
	assert_int_equal(samples_with(&not_self), 0);
	total = 0;
	source_counters(t.instance, note, &total);
	assert_int_equal(total, 3);
}

/* What the verifier had to look at, for whoever changes the programs: the limit is a million. */
static void programs_stay_verifiable(void **state)
{
	(void)state;
	for (const struct source *const *s = sources; *s; s++) {
		const struct source_params params = { .kernel_stacks = 1, .code = t.code };
		struct source_instance *i = NULL;
		struct bpf_program *p;

		if (source_open(*s, &params, on_sample, NULL, &i) < 0) {
			print_message("# %s: %s\n", (*s)->name, features_reason((*s)->needs));
			continue;
		}
		bpf_object__for_each_program(p, i->obj)
		{
			struct bpf_prog_info info = { 0 };
			__u32 size = sizeof(info);

			if (bpf_program__fd(p) < 0 || bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &size) < 0)
				continue;
			print_message("# %s: %u instructions verified, %u bytes\n", bpf_program__name(p),
			        info.verified_insns, info.jited_prog_len);
			assert_true(info.verified_insns < 500000);
		}
		source_close(i);
	}
}

static void maps_stay_in_their_budget(void **state)
{
	struct code_stats stats;

	(void)state;
	code_stats(t.code, &stats);
	print_message("# shared maps: %llu bytes\n", (unsigned long long)stats.map_bytes);
	assert_true(stats.map_bytes > 0 && stats.map_bytes <= 14u << 20);
}

static int set_up(void **state)
{
	const struct symbolizer_config symbolizer = { .executable = getenv("SYMBOLIZER"),
		.idle_ns = 1000000000,
		.timeout_ns = 20000000000,
		.memory_max = 1u << 30 };
	struct code_config config = { .cache_dirfd = -1 };

	(void)state;
	if (!symbolizer.executable || readlink("/proc/self/exe", t.exe, sizeof(t.exe) - 1) < 0)
		return -1;
	if (sd_event_new(&t.event) < 0 || symbolizer_new(t.event, &symbolizer, &t.symbolizer) < 0)
		return -1;
	config.event = t.event;
	config.symbolizer = t.symbolizer;
	return code_new(&config, &t.code);
}

static int tear_down(void **state)
{
	(void)state;
	source_close(t.instance);
	symbolizer_free(t.symbolizer);
	code_free(t.code);
	features_done();
	sd_event_unref(t.event);
	return 0;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_first_samples_ever_are_seen_whole),
	cmocka_unit_test(a_call_chain_is_seen_whole),
	cmocka_unit_test(recursion_is_seen_whole),
	cmocka_unit_test(return_probes_are_seen_through),
	cmocka_unit_test(selection_by_pid),
	cmocka_unit_test(selection_by_comm),
	cmocka_unit_test(selection_by_executable),
	cmocka_unit_test(every_run_is_counted),
	cmocka_unit_test(programs_stay_verifiable),
	cmocka_unit_test(maps_stay_in_their_budget),
};

int main(int argc, char **argv)
{
	if (!features_has(FEATURE_CPU)) {
		printf("1..0 # SKIP %s\n", features_reason(FEATURE_CPU));
		return 77;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
