#include "store/leak_windows.h"

#include <assert.h>
#include <errno.h>

#include "store/plan.h"
#include "store/query.h"

static int add_window(struct store *s, const struct plan_file *f, const struct selection *sel, bool is_baseline,
        struct leaks *leaks, uint64_t *ret_n)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	int r;

	r = profile_new(NULL, &p);
	if (r >= 0)
		r = query_read_window(s, f, sel, p);
	if (r < 0 || profile_n_samples(p) == 0)
		return 0;
	r = is_baseline ? leaks_add_baseline(leaks, p) : leaks_add(leaks, p, (uint64_t)f->end_ns);
	if (r == -EINVAL) /* a part of a window that was split: the same moment again */
		return 0;
	if (r >= 0)
		(*ret_n)++;
	return r;
}

/* Where the newest so many windows begin. */
static size_t first_of(const struct plan *plan, size_t newest)
{
	size_t i = plan->n;

	if (newest == 0)
		return 0;
	while (i > 0 && newest > 0)
		newest -= plan->files[--i].level == STORE_WINDOW;
	return i;
}

int leak_windows_add(struct store *s, const struct selection *sel, const struct leak_windows_options *options,
        struct leaks *leaks, uint64_t *ret_n)
{
	static const struct leak_windows_options none = { 0 };
	const struct leak_windows_options *o = options ? options : &none;
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	int r;

	assert(ret_n);

	r = plan_make(s, sel, &plan);
	if (r < 0)
		return r;
	for (size_t i = first_of(&plan, o->newest); i < plan.n; i++) {
		if (o->progress)
			o->progress(o->userdata, i, plan.n);
		if (plan.files[i].level != STORE_WINDOW)
			continue;
		r = add_window(s, &plan.files[i], sel, o->is_baseline, leaks, ret_n);
		if (r < 0)
			return r;
	}
	return 0;
}
