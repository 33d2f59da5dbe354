/* How fast profiles are merged, on generated ones that look like an hour of a busy host.
 *
 *	profile-merge generate DIR N [STACKS]	N files of 18,600 distinct stacks (or STACKS), .pb.zst and .pb.gz
 *	profile-merge merge [-o OUT] FILE...	merges them and says what it took
 *	profile-merge write FILE [OUT]		reads one and writes it 20 times
 */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/fd.h"
#include "profile/file.h"

#define PROCESSES 40
#define FUNCTIONS 9000
#define MAPPINGS 120
#define UNIVERSE 60000 /* distinct stacks that a host ever shows */

static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Small numbers far more often than large ones, as functions are hot and cold. */
static uint32_t skewed(uint32_t n)
{
	double u = (double)(next_random() >> 11) / 9007199254740992.0;

	return (uint32_t)((double)n * u * u * u);
}

static void must(int r)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "profile-merge: %s\n", strerror(-r));
	exit(1);
}

static uint32_t add_text(struct profile *p, const char *format, uint32_t a, uint32_t b)
{
	char text[256];
	uint32_t i;
	int n = snprintf(text, sizeof(text), format, a, b);

	must(profile_add_string(p, text, (size_t)n, &i));
	return i;
}

static uint32_t add_location(struct profile *p, uint32_t function)
{
	static const char *const forms[] = { "std::vector<app::Item%u, std::allocator<app::Item%u> >::emplace_back",
		"do_%u_handle_request_%u", "core::ptr::drop_in_place<alloc::vec::Vec<u%u>>::h%08x",
		"runtime.func%u.part.%u", "PyObject_%u_Call%u" };
	const uint32_t m = function % MAPPINGS;
	struct profile_mapping mapping = { .start = 0x400000 + m * 0x1000000ull,
		.limit = 0x1400000 + m * 0x1000000ull };
	struct profile_line lines[2];
	struct profile_location l = { .address = 0x401000 + m * 0x1000000ull + function * 64ull, .lines = lines };
	uint32_t i;

	mapping.filename = add_text(p, "/usr/lib/x86_64-linux-gnu/libmodule-%u.so.%u", m, m % 7);
	mapping.build_id = add_text(p, "0a1b2c3d4e5f60718293a4b5c6d7e8f9%04x%04x", m, m * 31);
	mapping.flags = PROFILE_MAPPING_HAS_FUNCTIONS | PROFILE_MAPPING_HAS_FILENAMES;
	must(profile_add_mapping(p, &mapping, &l.mapping));
	l.n_lines = function % 5 == 0 ? 2 : 1;
	for (uint32_t k = 0; k < l.n_lines; k++) {
		struct profile_function f = { .start_line = 10 + function % 300 };

		f.name = add_text(p, forms[function % ARRAY_SIZE(forms)], function, k);
		f.system_name = function % 3 ? f.name : add_text(p, "_ZN3app%uitem%uEv", function, k);
		f.filename = add_text(p, "/build/source/src/module_%u/file_%u.cc", m, function % 600);
		must(profile_add_function(p, &f, &lines[k].function));
		lines[k].line = f.start_line + 7;
		lines[k].column = 0;
	}
	must(profile_add_location(p, &l, &i));
	return i;
}

/* Stack number n of process c: the same roots, then a walk that often takes the same turns. */
static uint32_t add_stack(struct profile *p, uint32_t n, uint32_t c)
{
	const uint64_t saved = random_state;
	uint32_t locations[64], depth, function = c * 97;

	random_state = (n + 1) * 0x9e3779b97f4a7c15ull;
	depth = 12 + (uint32_t)(next_random() % 25);
	for (uint32_t i = depth; i-- > 0;) {
		locations[i] = add_location(p, function % FUNCTIONS);
		function = function * 5 + 11 + skewed(6);
	}
	random_state = saved;
	must(profile_add_stack(p, locations, depth, &c));
	return c;
}

static uint32_t add_labels(struct profile *p, uint32_t n, uint32_t c)
{
	struct profile_label labels[5] = {
		{ add_text(p, "comm", 0, 0), PROFILE_NONE, add_text(p, "server-%u", c, 0) },
		{ add_text(p, "exe", 0, 0), PROFILE_NONE, add_text(p, "/usr/bin/server-%u", c, 0) },
		{ add_text(p, "unit", 0, 0), PROFILE_NONE, add_text(p, "server-%u.service", c, 0) },
		{ add_text(p, "thread", 0, 0), PROFILE_NONE, add_text(p, "worker-%u", n % 4, 0) },
		{ add_text(p, "pid", 0, 0), 0, 1000 + c },
	};
	uint32_t set;

	must(profile_add_label_set(p, labels, 5, &set));
	return set;
}

static struct profile *generate(uint32_t number, uint32_t n_stacks)
{
	struct profile *p;
	struct profile_header *h;

	must(profile_new(NULL, &p));
	h = profile_header(p);
	h->n_sample_types = 2;
	h->sample_types[0] = (struct profile_value_type){ add_text(p, "samples", 0, 0), add_text(p, "count", 0, 0) };
	h->sample_types[1] = (struct profile_value_type){ add_text(p, "cpu", 0, 0), add_text(p, "nanoseconds", 0, 0) };
	h->period_type = h->sample_types[1];
	h->period = 10000000;
	h->time_ns = 1790000000000000000ll + number * 3600000000000ll;
	h->duration_ns = 3600000000000ll;
	while (profile_n_samples(p) < n_stacks) {
		uint32_t stack = skewed(UNIVERSE), c = stack % PROCESSES;
		int64_t count = 1 + skewed(40);

		must(profile_add_sample(p, add_stack(p, stack, c), add_labels(p, stack, c),
		        (int64_t[]){ count, count * 10000000 }, NULL));
	}
	must(profile_add_comment(p, "emberd.lost=3"));
	must(profile_add_comment(p, "emberd.rate_hz=100"));
	return p;
}

static void save(const char *directory, const char *suffix, uint32_t i, const struct profile *p)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/hour-%03u%s", directory, i, suffix);
	must(file_save(path, p, NULL, NULL));
}

static double cpu_ms(void)
{
	return (double)clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e6;
}

static void merge(const char *out, char **files, int n)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	double before = cpu_ms(), after;
	struct profile_error error;
	struct rusage usage;
	int r;

	must(profile_new(NULL, &p));
	for (int i = 0; i < n; i++) {
		r = file_read_into(p, NULL, AT_FDCWD, files[i], &error);
		if (r < 0)
			(void)fprintf(stderr, "%s: %s\n", files[i], error.text);
		must(r);
	}
	after = cpu_ms();
	(void)getrusage(RUSAGE_SELF, &usage);
	(void)printf("%d files: %.1f ms of CPU, %.2f ms each; %u stacks, %u samples, %u locations; profile %.1f MB, "
	             "peak RSS %.1f MB; total %" PRId64 "\n",
	        n, after - before, (after - before) / n, profile_n_stacks(p), profile_n_samples(p),
	        profile_n_locations(p), (double)profile_bytes(p) / 1e6, (double)usage.ru_maxrss / 1e3,
	        profile_total(p, 0));
	if (out)
		must(file_save(out, p, NULL, NULL));
}

static void write_often(const char *file, const char *out)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	double before, after;
	size_t size = 0;

	must(file_load(file, NULL, &p, NULL));
	before = cpu_ms();
	for (int i = 0; i < 20; i++) {
		_cleanup_buffer_ struct buffer b = BUFFER(1u << 30);

		must(pprof_write(p, &b));
		size = b.size;
	}
	after = cpu_ms();
	(void)printf("%zu bytes of pprof: %.2f ms of CPU to write\n", size, (after - before) / 20);
	if (out)
		must(file_save(out, p, NULL, NULL));
}

int main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "generate") == 0) {
		uint32_t n_stacks = argc > 4 ? (uint32_t)atoi(argv[4]) : 18600;

		for (uint32_t i = 0; i < (uint32_t)atoi(argv[3]); i++) {
			_cleanup_(profile_freep) struct profile *p = generate(i, n_stacks);

			save(argv[2], ".pb.zst", i, p);
			save(argv[2], ".pb.gz", i, p);
		}
		return 0;
	}
	if (argc >= 3 && strcmp(argv[1], "merge") == 0) {
		int skip = argc > 4 && strcmp(argv[2], "-o") == 0 ? 4 : 2;

		merge(skip == 4 ? argv[3] : NULL, argv + skip, argc - skip);
		return 0;
	}
	if (argc >= 3 && strcmp(argv[1], "write") == 0) {
		write_often(argv[2], argc > 3 ? argv[3] : NULL);
		return 0;
	}
	(void)fprintf(
	        stderr, "Usage: profile-merge generate DIR N [STACKS] | merge [-o OUT] FILE... | write FILE [OUT]\n");
	return 2;
}
