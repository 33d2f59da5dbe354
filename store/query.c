#include "store/query.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "profile/merge.h"
#include "profile/pprof.h"
#include "store/facts.h"
#include "store/walk.h"

#define ATTEMPTS_MAX 8
/* Below this a second thread costs more than it saves. */
#define PARALLEL_BYTES_MIN (256u << 10)
#define THREADS_MAX 2
#define TYPES_MAX 256

static int compare_strings(const void *a, const void *b)
{
	return strcmp(a, b);
}

int store_each_type(struct store *s, int (*f)(void *, const char *type), void *data)
{
	_cleanup_free_ char(*types)[STORE_TYPE_MAX] = calloc(TYPES_MAX, sizeof(*types));
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	size_t n = 0;
	int r = 0, fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d || !types) {
		if (!d)
			(void)close_fd(fd);
		return -ENOMEM;
	}
	while (n < TYPES_MAX && (e = readdir(d)))
		if (walk_is_type(fd, e->d_name) > 0)
			(void)snprintf(types[n++], STORE_TYPE_MAX, "%.63s", e->d_name);
	if (n)
		qsort(types, n, sizeof(*types), compare_strings);
	for (size_t i = 0; i < n && r == 0; i++)
		r = f(data, types[i]);
	return r < 0 ? r : 0;
}

struct names {
	struct buffer text;
	size_t n;
	char first[STORE_TYPE_MAX];
};

static int on_type(void *data, const char *type)
{
	struct names *names = data;

	if (names->n++ == 0)
		(void)snprintf(names->first, sizeof(names->first), "%s", type);
	return buffer_printf(&names->text, "%s%s", names->n > 1 ? ", " : "", type);
}

int query_type(struct store *s, const struct selection *sel, char type[STORE_TYPE_MAX], struct profile_error *error)
{
	struct names names = { .text = BUFFER(4096) };
	int r;

	if (sel->type) {
		if (!store_name_type_is_valid(sel->type)) {
			if (error)
				(void)snprintf(
				        error->text, sizeof(error->text), "'%.60s' is no profile type", sel->type);
			return -EINVAL;
		}
		(void)snprintf(type, STORE_TYPE_MAX, "%s", sel->type);
		return 0;
	}
	r = store_each_type(s, on_type, &names);
	if (r >= 0 && names.n > 1) {
		if (error)
			(void)snprintf(error->text, sizeof(error->text),
			        "the store has several profile types, say which: %.*s",
			        (int)MIN(names.text.size, (size_t)90), names.text.data);
		r = -EINVAL;
	} else if (r >= 0)
		(void)snprintf(type, STORE_TYPE_MAX, "%s", names.n ? names.first : "cpu");
	buffer_done(&names.text);
	return r;
}

static int read_file(struct store *s, const struct plan_file *f, const struct selection *sel, unsigned flags,
        const char *const *drop_labels, struct profile *to)
{
	_cleanup_free_ char *data = NULL;
	size_t size;
	int r;

	r = walk_read(s, f->path, PPROF_BYTES_MAX, &data, &size);
	if (r < 0)
		return r;
	return pprof_read_into(to,
	        &(struct pprof_read_options){ .flags = flags,
	                .drop_labels = drop_labels,
	                .want = matchers_count(sel->matchers) ? matchers_want : NULL,
	                .userdata = (void *)sel->matchers },
	        data, size, NULL);
}

int query_read(
        struct store *s, const struct plan_file *f, const struct selection *sel, unsigned flags, struct profile *to)
{
	return read_file(s, f, sel, flags, facts_dropped_labels, to);
}

int query_read_window(struct store *s, const struct plan_file *f, const struct selection *sel, struct profile *to)
{
	return read_file(s, f, sel, 0, NULL, to);
}

/* What the threads share. Each file is taken by one of them; nothing but `next` and the marks of the own files is
 * written. */
struct work {
	struct store *store;
	const struct selection *selection;
	const struct plan *plan;
	const struct store_progress *progress;
	atomic_size_t next;
	atomic_int failed;
	int *results; /* of each file */
};

struct worker {
	struct work *work;
	struct profile *profile;
	bool is_main;
};

static void *run_worker(void *data)
{
	struct worker *w = data;
	struct work *work = w->work;
	size_t i;

	while (!atomic_load(&work->failed) && (i = atomic_fetch_add(&work->next, 1)) < work->plan->n) {
		int r = query_read(work->store, &work->plan->files[i], work->selection, 0, w->profile);

		work->results[i] = r;
		if (r < 0 && r != -ENOENT && r != -EINVAL && !corrupt_is(r))
			atomic_store(&work->failed, r);
		if (w->is_main && work->progress && work->progress->f)
			work->progress->f(work->progress->userdata, i + 1, work->plan->n);
	}
	return NULL;
}

static unsigned choose_threads(const struct query_options *o, const struct plan *p)
{
	if (o && o->n_threads)
		return MIN(o->n_threads, (unsigned)THREADS_MAX);
	return p->n > 1 && p->bytes > PARALLEL_BYTES_MIN && sysconf(_SC_NPROCESSORS_ONLN) > 1 ? THREADS_MAX : 1;
}

static int read_files(struct work *work, unsigned n_threads, uint64_t bytes_max, struct profile **ret)
{
	_cleanup_(profile_freep) struct profile *first = NULL, *second = NULL;
	const struct profile_limits limits = { .bytes_max = bytes_max / n_threads };
	struct worker workers[THREADS_MAX];
	pthread_t thread;
	int r;

	r = profile_new(&limits, &first);
	if (r >= 0 && n_threads > 1)
		r = profile_new(&limits, &second);
	if (r < 0)
		return r;
	workers[0] = (struct worker){ .work = work, .profile = first, .is_main = true };
	workers[1] = (struct worker){ .work = work, .profile = second };
	if (second && pthread_create(&thread, NULL, run_worker, &workers[1]) != 0)
		second = profile_free(second);
	(void)run_worker(&workers[0]);
	if (second)
		(void)pthread_join(thread, NULL);
	r = atomic_load(&work->failed);
	if (r >= 0 && second) {
		/* Samples of fewer stacks go into the profile with more. */
		if (profile_n_samples(second) > profile_n_samples(first)) {
			struct profile *t = first;

			first = second;
			second = t;
		}
		if (profile_header(second)->n_sample_types > 0) /* else it came too late for any file */
			r = profile_merge(first, second, NULL, NULL);
	}
	if (r < 0)
		return r == -ENOSPC ? -E2BIG : r;
	*ret = TAKE_PTR(first);
	return 0;
}

static void report_file(struct store *s, const struct plan_file *f, int r, struct query_report *report)
{
	if (r == -ENOENT)
		report->n_missing++;
	else if (r == -EINVAL)
		report->n_other_types++;
	else if (corrupt_is(r) && corrupt_set_aside(s, f->path, &report->corrupt) < 0)
		corrupt_note(&report->corrupt, f->path);
}

static bool has_missing(const struct work *work)
{
	for (size_t i = 0; i < work->plan->n; i++)
		if (work->results[i] == -ENOENT)
			return true;
	return false;
}

static void tell(struct store *s, const struct work *work, struct profile *p, struct query_report *report)
{
	const struct plan *plan = work->plan;

	for (size_t i = 0; i < plan->n; i++)
		report_file(s, &plan->files[i], work->results[i], report);
	report->n_files = plan->n;
	memcpy(report->n_of, plan->n_of, sizeof(report->n_of));
	report->n_passed_over = plan->n_passed_over;
	report->bytes = plan->bytes;
	report->raw_bytes = plan->raw_bytes;
	report->first_ns = plan->first_ns;
	report->last_ns = plan->last_ns;
	report->has_index = plan->has_index;
	if (plan->n && plan->has_index) { /* durations of several hosts or of parts of one window are not added */
		profile_header(p)->time_ns = plan->first_ns;
		profile_header(p)->duration_ns = plan_duration(plan);
	}
}

/* 1: files went away while they were read (merged, or removed for their age): ask again. */
static int attempt(struct store *s, const struct selection *sel, const struct query_options *o, uint64_t *last_hash,
        bool is_last, struct profile **ret, struct query_report *report)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	_cleanup_free_ int *results = NULL;
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct work work = { .store = s, .selection = sel, .plan = &plan, .progress = o ? o->progress : NULL };
	int r;

	r = plan_make(s, sel, &plan);
	if (r < 0)
		return r;
	results = calloc(plan.n + 1, sizeof(*results));
	if (!results)
		return -ENOMEM;
	work.results = results;
	r = read_files(&work, choose_threads(o, &plan), o && o->bytes_max ? o->bytes_max : QUERY_BYTES_MAX_DEFAULT, &p);
	if (r < 0)
		return r;
	if (has_missing(&work) && !is_last && plan.hash != *last_hash) {
		*last_hash = plan.hash;
		return 1;
	}
	tell(s, &work, p, report);
	*ret = TAKE_PTR(p);
	return 0;
}

int store_query(struct store *s, const struct selection *sel, const struct query_options *options, struct profile **ret,
        struct query_report *report, struct profile_error *error)
{
	struct selection with_type = *sel;
	char type[STORE_TYPE_MAX];
	uint64_t last_hash = 0;
	int r;

	assert(ret);
	assert(report);

	r = query_type(s, sel, type, error);
	if (r < 0)
		return r;
	with_type.type = type;
	*report = (struct query_report){ 0 };
	r = 1;
	for (unsigned i = 0; i < ATTEMPTS_MAX && r > 0; i++)
		r = attempt(s, &with_type, options, &last_hash, i + 1 == ATTEMPTS_MAX, ret, report);
	if (r == -E2BIG && error)
		(void)snprintf(error->text, sizeof(error->text),
		        "the answer takes more memory than a query may; ask for a shorter range or fewer processes");
	return r;
}
