#include "symbolizer/dispatch.h"

#include <assert.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>
#include "base/clock.h"
#include "base/fd.h"

/* Where each kind has its descriptors: the input first, then the queries if any, the answer, debug files if any. */
static const struct kind {
	dispatch_t answer;
	bool has_queries;
	bool takes_debug_files;
} kinds[] = {
	[SYMBOLIZER_IDENTIFY] = { .answer = identity_answer },
	[SYMBOLIZER_ROWS] = { .answer = rows_answer },
	[SYMBOLIZER_SITES] = { .answer = sites_answer },
	[SYMBOLIZER_SYMBOLS] = { .answer = symbols_answer, .has_queries = true, .takes_debug_files = true },
	[SYMBOLIZER_KALLSYMS] = { .answer = kallsyms_answer, .has_queries = true },
	[SYMBOLIZER_PERF_MAP] = { .answer = perfmap_answer, .has_queries = true },
};

static int read_queries(int fd, uint32_t n, uint64_t **ret)
{
	_cleanup_free_ uint64_t *queries = NULL;
	struct stat st;
	int r;

	if (n == 0 || n > SYMBOLIZER_QUERIES_MAX)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != (uint64_t)n * sizeof(*queries))
		return -EINVAL;
	queries = malloc((size_t)n * sizeof(*queries));
	if (!queries)
		return -ENOMEM;
	r = fd_pread_full(fd, queries, (size_t)n * sizeof(*queries), 0);
	if (r < 0)
		return r;
	for (uint32_t i = 1; i < n; i++)
		if (queries[i] < queries[i - 1])
			return -EINVAL;
	*ret = TAKE_PTR(queries);
	return 0;
}

static int answer(const struct symbolizer_request *request, const int *fds, size_t n_fds, uint64_t *ret_bytes)
{
	_cleanup_free_ uint64_t *queries = NULL;
	const struct kind *kind;
	size_t answer_position;
	int r;

	if (request->version != SYMBOLIZER_VERSION)
		return -EPROTO;
	if (request->kind >= ARRAY_SIZE(kinds) || !kinds[request->kind].answer)
		return -ENOTSUP;
	kind = &kinds[request->kind];
	answer_position = kind->has_queries ? 2 : 1;
	if (n_fds < answer_position + 1 || (n_fds > answer_position + 1 && !kind->takes_debug_files))
		return -EINVAL;
	if (kind->has_queries) {
		r = read_queries(fds[1], request->n_queries, &queries);
		if (r < 0)
			return r;
	}
	return kind->answer(
	        &(struct dispatch_input){
	                .fd = fds[0],
	                .debug_fds = fds + answer_position + 1,
	                .n_debug_fds = n_fds - answer_position - 1,
	                .queries = queries,
	                .n_queries = kind->has_queries ? request->n_queries : 0,
	                .flags = request->flags,
	        },
	        fds[answer_position], ret_bytes);
}

void dispatch(const struct symbolizer_request *request, const int *fds, size_t n_fds, struct symbolizer_reply *ret)
{
	uint64_t before = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID), bytes = 0;
	int r = answer(request, fds, n_fds, &bytes);

	*ret = (struct symbolizer_reply){
		.id = request->id,
		.result = r < 0 ? r : 0,
		.answer_bytes = r < 0 ? 0 : bytes,
		.cpu_ns = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) - before,
	};
}
