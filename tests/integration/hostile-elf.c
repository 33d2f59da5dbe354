/* Broken ELF files through the real client to the real child: every request must end, with an answer that holds or with
 * an error, no answer may be believed that does not hold, and the next good file must be answered.
 *
 * hostile-elf SYMBOLIZER ROUNDS OUTPUT-DIRECTORY SEED-FILE...: files that end the child are left in the directory; exit
 * 1 where there are any. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "base/clock.h"
#include "base/fd.h"
#include "daemon/symbolizer.h"
#include "symbolizer/answer.h"

#define OUTSTANDING_MAX 8
#define QUERIES 64
#define FILE_BYTES_MAX (4u << 20)

struct state {
	struct symbolizer *symbolizer;
	sd_event *event;
	const char *directory;
	unsigned outstanding;
	uint64_t random;
	uint64_t answered, refused, deaths, wrong, mutants;
};

struct request {
	struct state *state;
	enum symbolizer_kind kind;
	void *data; /* the file, to be kept where the child dies of it */
	size_t size;
	bool is_good;
};

static uint64_t next_random(struct state *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

static bool answer_holds(enum symbolizer_kind kind, const void *answer, size_t bytes)
{
	struct symbolizer_identity id;
	struct answer_rows rows;
	struct answer_symbols symbols;

	switch (kind) {
	case SYMBOLIZER_IDENTIFY:
		return answer_identity(answer, bytes, &id) == 0;
	case SYMBOLIZER_ROWS:
		return answer_rows(answer, bytes, &rows) == 0;
	case SYMBOLIZER_SYMBOLS:
		return answer_symbols(answer, bytes, QUERIES, &symbols) == 0;
	default:
		return true;
	}
}

static void keep(const struct request *q)
{
	char path[4096];
	_cleanup_close_ int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/kind-%d-%" PRIu64, q->state->directory, (int)q->kind, q->state->deaths);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)fd_write_full(fd, q->data, q->size);
}

static void on_done(void *userdata, int result, const void *answer, size_t bytes)
{
	struct request *q = userdata;
	struct state *s = q->state;

	s->outstanding--;
	if (result == 0)
		s->answered++;
	else
		s->refused++;
	if (result == -EOWNERDEAD || result == -ECHILD) {
		s->deaths++;
		keep(q);
	}
	if ((result == 0 && !answer_holds(q->kind, answer, bytes)) || (q->is_good && result != 0)) {
		s->wrong++;
		(void)printf("kind %d: result %d (%s)\n", (int)q->kind, result, strerror(-result));
	}
	free(q->data);
	free(q);
}

static int run_until(struct state *s, unsigned outstanding)
{
	while (s->outstanding > outstanding) {
		int r = sd_event_run(s->event, UINT64_MAX);

		if (r < 0)
			return r;
	}
	return 0;
}

static int ask(struct state *s, enum symbolizer_kind kind, const void *data, size_t size, bool is_good)
{
	_cleanup_close_ int fd = memfd_create("hostile", MFD_CLOEXEC);
	uint64_t queries[QUERIES];
	struct request *q;
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_full(fd, data, size);
	if (r < 0)
		return r;
	for (size_t i = 0; i < QUERIES; i++)
		queries[i] = size * i / QUERIES;
	q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct request){ .state = s, .kind = kind, .size = size, .is_good = is_good, .data = malloc(size + 1) };
	if (!q->data) {
		free(q);
		return -ENOMEM;
	}
	memcpy(q->data, data, size);
	r = symbolizer_request(s->symbolizer, kind, 0, &fd, 1, kind == SYMBOLIZER_SYMBOLS ? queries : NULL,
	        kind == SYMBOLIZER_SYMBOLS ? QUERIES : 0, on_done, q);
	if (r < 0) {
		free(q->data);
		free(q);
		return r;
	}
	s->outstanding++;
	return run_until(s, OUTSTANDING_MAX - 1);
}

static int ask_all(struct state *s, const void *data, size_t size, bool is_good)
{
	static const enum symbolizer_kind kinds[] = { SYMBOLIZER_IDENTIFY, SYMBOLIZER_ROWS, SYMBOLIZER_SYMBOLS,
		SYMBOLIZER_SITES };

	s->mutants++;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int r;

		if (is_good && kinds[i] == SYMBOLIZER_SITES)
			continue; /* most files have none */
		r = ask(s, kinds[i], data, size, is_good);
		if (r < 0)
			return r;
	}
	return 0;
}

static uint64_t odd_number(struct state *s)
{
	static const uint64_t numbers[] = { 0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0xfffffffe,
		0x7fffffffffffffff, 0xffffffffffffffff, 0x8000000000000000, 0x10000000, 0xfffffffffffffff8 };

	return numbers[next_random(s) % ARRAY_SIZE(numbers)];
}

/* Where a mistake does most: the ELF header, the tables at both ends, or anywhere. */
static size_t place(struct state *s, size_t size)
{
	switch (next_random(s) % 4) {
	case 0:
		return next_random(s) % MIN(size, (size_t)64);
	case 1:
		return next_random(s) % MIN(size, (size_t)1024);
	case 2:
		return size - 1 - next_random(s) % MIN(size, (size_t)4096);
	default:
		return next_random(s) % size;
	}
}

static size_t mutate(struct state *s, uint8_t *data, size_t size)
{
	unsigned n = 1 + (unsigned)(next_random(s) % 16);

	for (unsigned i = 0; i < n; i++) {
		size_t at = place(s, size), width = 1u << next_random(s) % 4;
		uint64_t value = odd_number(s);

		if (next_random(s) % 2)
			data[at] ^= (uint8_t)(1u << next_random(s) % 8);
		else
			memcpy(data + at, &value, MIN(width, size - at));
	}
	return next_random(s) % 8 == 0 ? next_random(s) % size : size;
}

static int torment(struct state *s, const char *seed, const char *good, size_t good_size, unsigned rounds)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_free_ uint8_t *mutant = NULL;
	size_t size;
	int r = file_read_all(AT_FDCWD, seed, FILE_BYTES_MAX, &data, &size);

	if (r < 0)
		return r;
	mutant = malloc(size + 1);
	if (!mutant || size == 0)
		return -ENOMEM;
	for (unsigned i = 0; i < rounds; i++) {
		memcpy(mutant, data, size);
		r = ask_all(s, mutant, mutate(s, mutant, size), false);
		if (r == 0 && i % 50 == 49)
			r = ask_all(s, good, good_size, true);
		if (r < 0)
			return r;
	}
	for (unsigned i = 0; i < 16; i++) { /* no ELF at all */
		for (size_t k = 0; k < MIN(size, (size_t)8192); k++)
			mutant[k] = (uint8_t)next_random(s);
		if (i % 2)
			memcpy(mutant, "\177ELF\002\001\001", 7);
		r = ask_all(s, mutant, MIN(size, (size_t)8192), false);
		if (r < 0)
			return r;
	}
	r = ask_all(s, "", 0, false);
	return r < 0 ? r : ask_all(s, good, good_size, true);
}

int main(int argc, char **argv)
{
	struct state s = { .random = 0x9e3779b97f4a7c15 };
	struct symbolizer_stats stats;
	_cleanup_free_ char *good = NULL;
	size_t good_size;
	int r;

	if (argc < 5)
		return 2;
	s.directory = argv[3];
	r = sd_event_new(&s.event);
	if (r >= 0)
		r = symbolizer_new(s.event,
		        &(struct symbolizer_config){
		                .executable = argv[1],
		                .idle_ns = NS_PER_SEC,
		                .timeout_ns = 5 * NS_PER_SEC,
		                .memory_max = 512u << 20,
		        },
		        &s.symbolizer);
	if (r >= 0)
		r = file_read_all(AT_FDCWD, argv[4], FILE_BYTES_MAX, &good, &good_size);
	for (int i = 4; r >= 0 && i < argc; i++)
		r = torment(&s, argv[i], good, good_size, (unsigned)strtoul(argv[2], NULL, 10));
	if (r >= 0)
		r = run_until(&s, 0);
	if (r < 0) {
		(void)printf("%s\n", strerror(-r));
		return 1;
	}
	symbolizer_stats(s.symbolizer, &stats);
	(void)printf("%" PRIu64 " files, %" PRIu64 " requests: %" PRIu64 " answered, %" PRIu64 " refused, %" PRIu64
	             " wrong; the child died %" PRIu64 " times, %" PRIu64 " of them by timeout; %" PRIu64
	             " ms of its CPU\n",
	        s.mutants, stats.requests, s.answered, s.refused, s.wrong, s.deaths, stats.kills,
	        (uint64_t)(stats.cpu_ns / NS_PER_MS));
	symbolizer_free(s.symbolizer);
	sd_event_unref(s.event);
	return s.deaths || s.wrong || s.answered == 0;
}
