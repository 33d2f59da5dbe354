/* Runs one answer of the symbolizer in this process and prints it: for tests and measurements.
 * symbols-dump elf|kallsyms|perf-map FILE [DEBUG-FILE] < queries (hexadecimal, one a line)
 * One line a frame, innermost first: query, name, system name, file, line, column, start line, module, flags; tabs
 * between. CPU time and peak memory go to stderr. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "base/clock.h"
#include "base/fd.h"
#include "symbolizer/dispatch.h"

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint32_t read_queries(uint64_t *queries)
{
	uint32_t n = 0;

	while (n < SYMBOLIZER_QUERIES_MAX && scanf("%lx", &queries[n]) == 1)
		n++;
	qsort(queries, n, sizeof(*queries), compare);
	return n;
}

static void print(const struct symbols_header *header, const uint64_t *queries)
{
	const uint32_t *first = (const uint32_t *)(header + 1);
	const struct symbols_frame *frames = (const struct symbols_frame *)(first + header->n_queries + 1);
	const char *text = (const char *)(frames + header->n_frames);

	for (uint32_t i = 0; i < header->n_queries; i++)
		for (uint32_t k = first[i]; k < first[i + 1]; k++)
			printf("%lx\t%s\t%s\t%s\t%u\t%u\t%u\t%s\t%u\n", queries[i], text + frames[k].name,
			        text + frames[k].system_name, text + frames[k].filename, frames[k].line,
			        frames[k].column, frames[k].start_line, text + frames[k].module, frames[k].flags);
}

static dispatch_t answer_of(const char *kind)
{
	if (!strcmp(kind, "elf"))
		return symbols_answer;
	if (!strcmp(kind, "kallsyms"))
		return kallsyms_answer;
	return !strcmp(kind, "perf-map") ? perfmap_answer : NULL;
}

int main(int argc, char **argv)
{
	_cleanup_close_ int fd = -1, debug_fd = -1, answer_fd = -1;
	_cleanup_free_ uint64_t *queries = NULL;
	dispatch_t answer = argc >= 3 ? answer_of(argv[1]) : NULL;
	struct rusage usage;
	uint64_t before, bytes = 0, n;
	void *mapping;
	int r;

	if (!answer) {
		fprintf(stderr, "usage: symbols-dump elf|kallsyms|perf-map FILE [DEBUG-FILE] < QUERIES\n");
		return 2;
	}
	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	debug_fd = argc > 3 ? open(argv[3], O_RDONLY | O_CLOEXEC) : -1;
	answer_fd = memfd_create("answer", MFD_CLOEXEC);
	queries = malloc(SYMBOLIZER_QUERIES_MAX * sizeof(*queries));
	if (fd < 0 || (argc > 3 && debug_fd < 0) || answer_fd < 0 || !queries) {
		perror(argv[2]);
		return 1;
	}
	n = read_queries(queries);
	const struct dispatch_input in = {
		.fd = fd,
		.debug_fds = &debug_fd,
		.n_debug_fds = debug_fd >= 0,
		.queries = queries,
		.n_queries = (uint32_t)n,
	};
	before = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	r = answer(&in, answer_fd, &bytes);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[2], strerror(-r));
		return 1;
	}
	(void)getrusage(RUSAGE_SELF, &usage);
	fprintf(stderr, "cpu_ms=%.1f rss_kib=%ld\n",
	        (double)(clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) - before) / NS_PER_MS, usage.ru_maxrss);
	mapping = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, answer_fd, 0);
	if (mapping == MAP_FAILED)
		return 1;
	print(mapping, queries);
	return 0;
}
