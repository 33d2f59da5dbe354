#include "store/age.h"

#include "base/clock.h"

#define DAY_NS (86400 * (int64_t)NS_PER_SEC)
/* A clock before 2025 was never set. */
#define NEVER_SET_NS (1735689600 * (int64_t)NS_PER_SEC)
/* Smaller steps than this are how clocks are, not jumps. */
#define STEP_NS (3600 * (int64_t)NS_PER_SEC)

static int64_t wall_now(void)
{
	return (int64_t)clock_now_ns(CLOCK_REALTIME);
}

int64_t age_now(struct index *x)
{
	int64_t trusted, wall_ns = wall_now();

	if (index_get_number(x, "age_ns", &trusted) < 0 || trusted < NEVER_SET_NS)
		return wall_ns;
	return MIN(trusted + STEP_NS, wall_ns);
}

int age_advance(struct index *x, int64_t wall_ns, int64_t boottime_ns, int64_t boot_id)
{
	int64_t trusted, last_boottime_ns, last_boot_id, passed_ns = 0, reach_ns;
	int r;

	r = index_get_number(x, "age_ns", &trusted);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT || trusted < NEVER_SET_NS)
		trusted = wall_ns;
	if (index_get_number(x, "age_boottime_ns", &last_boottime_ns) == 0 &&
	        index_get_number(x, "age_boot_id", &last_boot_id) == 0 && last_boot_id == boot_id)
		passed_ns = MAX(boottime_ns - last_boottime_ns, (int64_t)0);
	if (__builtin_mul_overflow(passed_ns, AGE_CATCH_UP, &reach_ns) ||
	        __builtin_add_overflow(trusted, reach_ns, &reach_ns))
		reach_ns = INT64_MAX;
	trusted = MAX(trusted, MIN(reach_ns, wall_ns));
	r = index_begin(x);
	if (r < 0)
		return r;
	r = index_set_number(x, "age_ns", trusted);
	if (r >= 0)
		r = index_set_number(x, "age_boottime_ns", boottime_ns);
	if (r >= 0)
		r = index_set_number(x, "age_boot_id", boot_id);
	return index_end(x, r);
}

/* A boot that cannot be told is 0: then no two ticks are of one boot but by the growing boot time. */
int age_tick(struct index *x)
{
	return age_advance(x, wall_now(), (int64_t)clock_now_ns(CLOCK_BOOTTIME), (int64_t)clock_boot_id());
}

int64_t age_of_new(int64_t now_ns, int64_t start_ns)
{
	return start_ns > now_ns || start_ns < now_ns - DAY_NS ? now_ns : start_ns;
}

int64_t age_of_found(int64_t now_ns, int64_t start_ns)
{
	return start_ns > now_ns || start_ns < NEVER_SET_NS ? now_ns : start_ns;
}
