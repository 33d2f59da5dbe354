#include "tests/unit/unit.h"
#include "daemon/resident.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"

/* The real page tables of this process stand behind these tests. */

static uint64_t start_ns_of(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *p;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	assert_int_equal(file_read_all(AT_FDCWD, path, 8192, &text, NULL), 0);
	p = strrchr(text, ')');
	for (int field = 2; field < 22; field++)
		p = strchr(p + 1, ' ');
	return strtoull(p, NULL, 10) * (NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

static struct sample sample_at(const struct user_frame *frame, pid_t pid)
{
	return (struct sample){ .pid = (uint32_t)pid,
		.tid = (uint32_t)pid,
		.process_start_ns = start_ns_of(pid),
		.comm = "unit",
		.thread = "unit",
		.user = frame,
		.n_user = 1 };
}

static const struct user_frame frame_a = { .file = 20, .offset = 0x100 }, frame_b = { .file = 20, .offset = 0x200 };

struct sums {
	uint64_t a, b, unseen;
	pid_t pid;
};

static void add(void *userdata, struct sample *s, uint64_t bytes)
{
	struct sums *sums = userdata;

	if (s->pid != (uint32_t)sums->pid)
		return;
	if (s->n_user == 0) {
		assert_string_equal(s->truncated, "no fault seen");
		sums->unseen += bytes;
		return;
	}
	assert_int_equal(s->n_user, 1);
	if (s->user[0].offset == frame_a.offset)
		sums->a += bytes;
	else if (s->user[0].offset == frame_b.offset)
		sums->b += bytes;
	else
		fail();
}

static struct sums report(struct resident *r, pid_t pid)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sums sums = { .pid = pid };

	assert_true(resident_report(r, proc, add, &sums) >= 0);
	return sums;
}

static int touch_once(struct resident *r, const struct sample *s, uint64_t address, unsigned shift, unsigned reach)
{
	return resident_touch(r, s, &(struct resident_fault){ .address = address, .shift = shift, .reach = reach });
}

/* Touches each page as a program would, and tells of it as the BPF program would. */
static void touch(struct resident *r, char *from, size_t bytes, unsigned shift, const struct user_frame *frame)
{
	struct sample s = sample_at(frame, getpid());

	for (size_t at = 0; at < bytes; at += 4096) {
		uint64_t address = (uint64_t)(uintptr_t)(from + at);

		*(volatile char *)(from + at) = 1;
		if (MEMORY_PAGE_WATCHED(MEMORY_REGION_HASH(address >> MEMORY_REGION_SHIFT),
		            (uint32_t)(address >> MEMORY_PAGE_SHIFT) & 511, shift))
			assert_int_equal(touch_once(r, &s, address, shift, MEMORY_REACH_PAGE), 0);
	}
}

#define AREA ((size_t)64 << 20)

static char *map_area(void)
{
	char *area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(area, MAP_FAILED);
	(void)madvise(area, AREA, MADV_NOHUGEPAGE);
	return area;
}

static void assert_near(uint64_t measured, uint64_t expected, double fraction)
{
	double error = (double)measured - (double)expected;

	if (error < 0)
		error = -error;
	if (error > fraction * (double)expected)
		print_message("%llu, not %llu\n", (unsigned long long)measured, (unsigned long long)expected);
	assert_true(error <= fraction * (double)expected);
}

static void bytes_go_to_the_last_toucher_and_leave_with_the_page(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	struct sums sums;
	char *area = map_area();

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	touch(r, area, AREA, MEMORY_SHIFT_MIN, &frame_a);
	sums = report(r, getpid());
	assert_near(sums.a, AREA, 0.02);
	assert_int_equal(sums.b, 0);

	/* A quarter goes, and comes back by another call: nobody told us of the first. */
	assert_int_equal(madvise(area, AREA / 4, MADV_DONTNEED), 0);
	sums = report(r, getpid());
	assert_near(sums.a, AREA / 4 * 3, 0.02);
	touch(r, area, AREA / 4, 7, &frame_b);
	sums = report(r, getpid());
	assert_near(sums.a, AREA / 4 * 3, 0.02);
	assert_near(sums.b, AREA / 4, 0.05);

	assert_int_equal(munmap(area, AREA), 0);
	sums = report(r, getpid());
	assert_int_equal(sums.a + sums.b, 0);
}

static void coarser_is_still_right(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	struct resident_stats before, after;
	char *area = map_area();

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	touch(r, area, AREA, MEMORY_SHIFT_MIN, &frame_a);
	resident_stats(r, &before);
	resident_coarsen(r, MEMORY_SHIFT_MIN + 1);
	resident_stats(r, &after);
	assert_near(after.pages, before.pages / 2, 0.1);
	assert_near(report(r, getpid()).a, AREA, 0.05);
	resident_coarsen(r, 11); /* one region in four: few are left of 32 */
	assert_near(report(r, getpid()).a, AREA, 1.0);
	assert_int_equal(munmap(area, AREA), 0);
}

static void huge_regions_count_whole(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	struct sample s = sample_at(&frame_a, getpid());
	char *area = map_area();

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	memset(area, 1, AREA);
	for (size_t at = 0; at < AREA; at += 2 << 20)
		assert_int_equal(
		        touch_once(r, &s, (uint64_t)(uintptr_t)(area + at), MEMORY_SHIFT_MIN, MEMORY_REACH_REGION), 0);
	assert_near(report(r, getpid()).a, AREA, 0.05);
	assert_int_equal(munmap(area, AREA), 0);
}

static void children_hold_what_they_got_by_fork(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	char *area = map_area();
	struct sums child;
	pid_t pid;

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	touch(r, area, AREA, MEMORY_SHIFT_MIN, &frame_a);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(resident_fork(r, (uint32_t)getpid(), (uint32_t)pid, start_ns_of(pid)), 0);
	child = report(r, pid);
	assert_near(child.a, AREA, 0.02);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(report(r, pid).a, 0);
	assert_near(report(r, getpid()).a, AREA, 0.02);
	assert_int_equal(munmap(area, AREA), 0);
}

static void coarse_faults_of_one_leave_others_alone(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	struct resident_fault fault = { .shift = 10, .reach = MEMORY_REACH_REGION };
	struct sample other = sample_at(&frame_b, getpid());
	struct resident_stats before, after;
	char *area = map_area();
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	other.pid = (uint32_t)pid;
	other.process_start_ns = start_ns_of(pid);
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	touch(r, area, AREA, 8, &frame_a);
	resident_stats(r, &before);
	fault.address = (uint64_t)(uintptr_t)area;
	assert_int_equal(resident_touch(r, &other, &fault), 0);
	assert_near(report(r, getpid()).a, AREA, 0.03);

	/* a young process's own shift is not that of its first faults */
	other = sample_at(&frame_b, getpid());
	fault.once = true;
	assert_int_equal(resident_touch(r, &other, &fault), 0);
	resident_stats(r, &after);
	assert_true(after.pages >= before.pages - 2);

	/* its own coarser fault does coarsen */
	fault.once = false;
	assert_int_equal(resident_touch(r, &other, &fault), 0);
	resident_stats(r, &after);
	assert_true(after.pages <= before.pages / 2);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(munmap(area, AREA), 0);
}

enum kind { KIND_PRIVATE, KIND_FILE };

static uint64_t resident_bytes(enum kind kind)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long resident, shared;

	assert_int_equal(file_read_all(AT_FDCWD, "/proc/self/statm", 256, &text, NULL), 0);
	assert_int_equal(sscanf(text, "%*u %llu %llu", &resident, &shared), 2);
	return (kind == KIND_PRIVATE ? resident - shared : shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void sums_are_what_the_kernel_says_where_chance_explains_it(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	char *area = map_area(), *populated;
	uint64_t uncorrected, all;
	struct sums sums;

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	touch(r, area, AREA, 9, &frame_a); /* all but what the heap and the stack of this program hold */
	uncorrected = report(r, getpid()).a;
	assert_near(uncorrected, AREA, 0.04);
	resident_begin(r, start_ns_of(getpid()) + 1); /* it began before */
	sums = report(r, getpid());
	assert_int_equal(sums.a, uncorrected);
	assert_int_equal(sums.unseen, 0);
	resident_begin(r, 0);
	sums = report(r, getpid());
	assert_near(sums.a, resident_bytes(KIND_PRIVATE), 0.02);
	assert_near(sums.unseen, resident_bytes(KIND_FILE), 0.02); /* nothing told of this program's own file */

	/* Twice as much that nobody has touched is no chance, and no stack gets it. */
	populated = mmap(NULL, 2 * AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	assert_ptr_not_equal(populated, MAP_FAILED);
	sums = report(r, getpid());
	all = resident_bytes(KIND_PRIVATE) + resident_bytes(KIND_FILE);
	assert_int_equal(sums.a, uncorrected);
	assert_near(sums.a + sums.unseen, all, 0.01);
	assert_int_equal(munmap(populated, 2 * AREA), 0);
	assert_int_equal(munmap(area, AREA), 0);
}

/* What was watched is gone, and nothing has come that would be: the process is still known, by its sum. */
static void one_whose_pages_are_gone_is_not_forgotten(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	char *area = map_area(), *populated;
	struct resident_stats stats;
	struct sums sums;

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	resident_begin(r, 0);
	touch(r, area, AREA, 9, &frame_a);
	(void)report(r, getpid());
	populated = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	assert_ptr_not_equal(populated, MAP_FAILED);
	assert_int_equal(munmap(area, AREA), 0);
	for (int i = 0; i < 3; i++) {
		sums = report(r, getpid());
		assert_int_equal(sums.a, 0);
		assert_near(sums.unseen, resident_bytes(KIND_PRIVATE) + resident_bytes(KIND_FILE), 0.02);
		resident_stats(r, &stats);
		assert_int_equal(stats.pages, 1);
	}
	touch(r, populated, AREA, 9, &frame_b);
	sums = report(r, getpid());
	assert_near(sums.b, resident_bytes(KIND_PRIVATE), 0.04);
	assert_int_equal(munmap(populated, AREA), 0);
}

/* However coarsely all are watched in the end, none is lost: what nobody is seen to hold is told by its sum. */
static void none_is_too_small_to_be_watched_coarsely(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	struct sample other = sample_at(&frame_b, 1);
	struct resident_stats stats;
	char *area = map_area();
	struct sums sums;

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	resident_begin(r, 0);
	touch(r, area, AREA / 8, 9, &frame_a);
	for (uint64_t region = 0; region < 8; region++) /* of another process, sorted in before or after */
		assert_int_equal(touch_once(r, &other, region << MEMORY_REGION_SHIFT, 9, MEMORY_REACH_REGION), 0);
	for (unsigned shift = 10; shift <= MEMORY_SHIFT_MAX; shift++)
		resident_coarsen(r, shift);
	resident_stats(r, &stats);
	assert_in_range(stats.pages, 2, 4);
	sums = report(r, getpid());
	assert_near(sums.a + sums.unseen, resident_bytes(KIND_PRIVATE) + resident_bytes(KIND_FILE), 0.02);
	assert_int_equal(munmap(area, AREA), 0);
}

static uint64_t unseen(const struct resident *r, pid_t pid)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY);
	struct sums sums = { .pid = pid };

	resident_tell_unseen(r, proc, (uint32_t)pid, add, &sums);
	assert_int_equal(sums.a + sums.b, 0);
	return sums.unseen;
}

static void one_that_was_never_sampled_is_told_if_it_began_under_watch(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	char *area = map_area();

	(void)state;
	assert_int_equal(resident_new(&RESIDENT_LIMITS_DEFAULT, &r), 0);
	assert_int_equal(unseen(r, getpid()), 0); /* nothing was reported yet */
	resident_begin(r, start_ns_of(getpid()) + 1);
	(void)report(r, getpid());
	assert_int_equal(unseen(r, getpid()), 0); /* it is older */
	resident_begin(r, 0);
	(void)report(r, getpid());
	assert_near(unseen(r, getpid()), resident_bytes(KIND_PRIVATE) + resident_bytes(KIND_FILE), 0.02);
	assert_int_equal(unseen(r, 2), 0); /* a thread of the kernel, or none */
	touch(r, area, AREA, 9, &frame_a);
	(void)report(r, getpid());
	assert_int_equal(unseen(r, getpid()), 0); /* the report has told it */
	assert_int_equal(munmap(area, AREA), 0);
}

static void limits_are_counted(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	struct resident_limits limits = { .pages = 10, .stacks = 10, .stack_bytes = 4096 };
	struct sample s = sample_at(&frame_a, getpid());
	struct resident_stats stats;
	int refused = 0;

	(void)state;
	assert_int_equal(resident_new(&limits, &r), 0);
	for (uint64_t region = 0; region < 20; region++)
		refused += touch_once(r, &s, region << MEMORY_REGION_SHIFT, 7, MEMORY_REACH_REGION) == -ENOSPC;
	resident_stats(r, &stats);
	assert_int_equal(stats.pages, 10);
	assert_int_equal(stats.dropped, refused);
	assert_true(refused >= 17);
}

/* Of those that come and go the next report would forget all; where room is short it is had before. */
static void room_of_those_that_are_gone_is_had_back(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct resident_limits limits = { .pages = 400, .stacks = 40, .stack_bytes = 16384 };
	struct sample gone = sample_at(&frame_b, getpid());
	struct resident_stats stats;
	char *area = map_area();

	(void)state;
	assert_int_equal(resident_new(&limits, &r), 0);
	assert_true(resident_is_roomy(r));
	touch(r, area, AREA, 9, &frame_a);
	for (gone.pid = 1u << 23; !resident_is_crowded(r); gone.pid++) /* beyond any PID */
		assert_int_equal(touch_once(r, &gone, 0, 9, MEMORY_REACH_REGION), 0);
	assert_false(resident_is_roomy(r));
	assert_int_equal(resident_forget_gone(r, proc), 0);
	resident_stats(r, &stats);
	assert_int_equal(stats.stacks, 1);
	assert_int_equal(stats.pages, AREA >> MEMORY_REGION_SHIFT);
	assert_int_equal(stats.dropped, 0);
	assert_true(resident_is_roomy(r));
	assert_near(report(r, getpid()).a, AREA, 0.02);
	assert_int_equal(munmap(area, AREA), 0);
}

static void a_coarser_fault_without_room_takes_nothing_away(void **state)
{
	_cleanup_(resident_freep) struct resident *r = NULL;
	struct resident_limits limits = { .pages = 100, .stacks = 1, .stack_bytes = 4096 };
	struct sample a = sample_at(&frame_a, getpid()), b = sample_at(&frame_b, getpid());
	struct resident_stats stats;

	(void)state;
	assert_int_equal(resident_new(&limits, &r), 0);
	assert_int_equal(touch_once(r, &a, 0, MEMORY_SHIFT_MIN, MEMORY_REACH_REGION), 0);
	assert_int_equal(touch_once(r, &b, 0, 9, MEMORY_REACH_REGION), -ENOSPC);
	resident_stats(r, &stats);
	assert_int_equal(stats.pages, 4);
	assert_int_equal(stats.dropped, 1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(bytes_go_to_the_last_toucher_and_leave_with_the_page),
	cmocka_unit_test(coarser_is_still_right),
	cmocka_unit_test(huge_regions_count_whole),
	cmocka_unit_test(children_hold_what_they_got_by_fork),
	cmocka_unit_test(coarse_faults_of_one_leave_others_alone),
	cmocka_unit_test(sums_are_what_the_kernel_says_where_chance_explains_it),
	cmocka_unit_test(one_whose_pages_are_gone_is_not_forgotten),
	cmocka_unit_test(none_is_too_small_to_be_watched_coarsely),
	cmocka_unit_test(one_that_was_never_sampled_is_told_if_it_began_under_watch),
	cmocka_unit_test(limits_are_counted),
	cmocka_unit_test(room_of_those_that_are_gone_is_had_back),
	cmocka_unit_test(a_coarser_fault_without_room_takes_nothing_away),
};

UNIT_MAIN(tests)
