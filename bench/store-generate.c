/* Writes into a store what a busy host leaves there: 3 profile types, 40 processes, windows of 3,400 samples in 2,300
 * distinct stacks. The stacks of all windows come from one universe, drawn so that 60 windows show some 18,600.
 *
 *	store-generate DIR FROM_SECONDS MINUTES [TYPE...]	windows of a minute each; types cpu offcpu memory by
 *default store-generate compact DIR NOW_SECONDS			merges what is ripe then, and says what it took
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "profile/ledger.h"
#include "store/compact.h"
#include "store/store.h"

#define PROCESSES 40
#define FUNCTIONS 4200
#define MAPPINGS 120
#define SAMPLES 3400
#define HOT_STACKS 900u /* of the universe, met again and again */
#define UNIVERSE 17800u
#define MINUTE_S 60

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

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "store-generate: %s: %s\n", what, strerror(-r));
	exit(1);
}

static _printf_(2, 3) uint32_t add_text(struct profile *p, const char *format, ...)
{
	char text[256];
	va_list ap;
	uint32_t i;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	must(profile_add_string(p, text, (size_t)n, &i), "string");
	return i;
}

static const char *const verbs[] = { "handle", "parse", "serialize", "dispatch", "allocate", "release", "lookup",
	"insert", "compute", "flush", "encode", "decode", "schedule", "poll", "commit", "rollback" };
static const char *const nouns[] = { "request", "connection", "buffer", "index", "transaction", "session", "response",
	"message", "cache_entry", "descriptor", "iterator", "statement", "document", "segment" };

static uint32_t add_name(struct profile *p, uint32_t f)
{
	const char *verb = verbs[f % ARRAY_SIZE(verbs)], *noun = nouns[f / 16 % ARRAY_SIZE(nouns)];

	switch (f % 5) {
	case 0:
		return add_text(p,
		        "app::%s::%s_%u(app::Context const&, std::span<std::byte const, 18446744073709551615ul>)", noun,
		        verb, f);
	case 1:
		return add_text(p, "%s_%s_%u", verb, noun, f);
	case 2:
		return add_text(p, "<server::%s::%s%u as core::future::future::Future>::poll", noun, verb, f);
	case 3:
		return add_text(p, "github.com/company/service/%s.(*%s%u).%s", noun, noun, f, verb);
	default:
		return add_text(p, "__%s_%s_%u", noun, verb, f);
	}
}

static uint32_t add_location(struct profile *p, uint32_t function)
{
	const uint32_t m = function % MAPPINGS;
	struct profile_mapping mapping = { .start = 0x400000 + m * 0x1000000ull,
		.limit = 0x1400000 + m * 0x1000000ull };
	struct profile_line lines[2];
	struct profile_location l = { .address = 0x401000 + m * 0x1000000ull + function * 64ull, .lines = lines };
	uint32_t i;

	mapping.filename = add_text(p, "/usr/lib/x86_64-linux-gnu/libmodule-%u.so.%u", m, m % 7);
	mapping.build_id = add_text(p, "0a1b2c3d4e5f60718293a4b5c6d7e8f9%04x%04x", m, m * 31);
	mapping.flags =
	        PROFILE_MAPPING_HAS_FUNCTIONS | PROFILE_MAPPING_HAS_FILENAMES | PROFILE_MAPPING_HAS_LINE_NUMBERS;
	must(profile_add_mapping(p, &mapping, &l.mapping), "mapping");
	l.n_lines = function % 5 == 0 ? 2 : 1;
	for (uint32_t k = 0; k < l.n_lines; k++) {
		struct profile_function f = { .start_line = 10 + function % 300 };

		f.name = add_name(p, function + k * FUNCTIONS);
		f.system_name = f.name;
		f.filename = add_text(
		        p, "/build/service-4.12.7/source/components/module_%u/internal/file_%u.cc", m, function % 600);
		must(profile_add_function(p, &f, &lines[k].function), "function");
		lines[k] = (struct profile_line){ .function = lines[k].function, .line = f.start_line + 7 };
	}
	must(profile_add_location(p, &l, &i), "location");
	return i;
}

/* Stack number n of process c: the same roots, then a walk that often takes the same turns. */
static uint32_t add_stack(struct profile *p, uint32_t n, uint32_t c)
{
	const uint64_t saved = random_state;
	uint32_t locations[64], depth, function = c * 97;

	random_state = (n / 25 + 1) * 0x9e3779b97f4a7c15ull; /* families that differ near the leaf */
	depth = 10 + (uint32_t)(next_random() % 19);
	for (uint32_t i = depth; i-- > 0;) {
		locations[i] = add_location(p, function % FUNCTIONS);
		/* callers are few, leaves are many */
		function = function + 7 + (uint32_t)(i > depth / 2 ? next_random() % 2 : skewed(12));
		if (i == depth / 3)
			random_state += (n + 1) * 0xd1342543de82ef95ull;
	}
	random_state = saved;
	must(profile_add_stack(p, locations, depth, &c), "stack");
	return c;
}

static uint32_t add_labels(struct profile *p, uint32_t n, uint32_t c)
{
	const uint32_t thread = n % 6;
	struct profile_label labels[8] = {
		{ add_text(p, "comm"), PROFILE_NONE, add_text(p, "server-%u", c) },
		{ add_text(p, "exe"), PROFILE_NONE, add_text(p, "/usr/bin/server-%u", c) },
		{ add_text(p, "unit"), PROFILE_NONE, add_text(p, "server-%u.service", c) },
		{ add_text(p, "cgroup"), PROFILE_NONE, add_text(p, "/system.slice/server-%u.service", c) },
		{ add_text(p, "thread"), PROFILE_NONE, add_text(p, "worker-%u", thread) },
		{ add_text(p, "host"), PROFILE_NONE, add_text(p, "bench") },
		{ add_text(p, "pid"), 0, 1000 + c },
		{ add_text(p, "tid"), 0, 20000 + c * 10 + thread },
	};
	uint32_t set;

	must(profile_add_label_set(p, labels, ARRAY_SIZE(labels), &set), "labels");
	return set;
}

static void set_header(struct profile *p, const char *type, int64_t start_s)
{
	struct profile_header *h = profile_header(p);

	h->n_sample_types = 2;
	h->sample_types[0] = (struct profile_value_type){ add_text(p, "samples"), add_text(p, "count") };
	h->sample_types[1] = (struct profile_value_type){ add_text(p, "%s", type), add_text(p, "nanoseconds") };
	h->period_type = h->sample_types[1];
	h->period = 10000000;
	h->time_ns = start_s * (int64_t)NS_PER_SEC;
	h->duration_ns = MINUTE_S * (int64_t)NS_PER_SEC;
}

static struct profile *generate(const char *type, int64_t start_s)
{
	struct profile *p;

	must(profile_new(NULL, &p), "profile");
	set_header(p, type, start_s);
	for (uint32_t i = 0; i < SAMPLES; i++) {
		/* half of them from what is always hot, the rest from the long tail */
		uint32_t stack = (uint32_t)(next_random() % 100 < 53 ? next_random() % HOT_STACKS
		                                                     : HOT_STACKS + next_random() % UNIVERSE);
		uint32_t c = stack % PROCESSES;

		stack += (uint32_t)strlen(type) * 100000;
		must(profile_add_sample(p, add_stack(p, stack, c), add_labels(p, stack / PROCESSES, c),
		             (int64_t[]){ 1, 10000000 }, NULL),
		        "sample");
	}
	must(ledger_set(p, "rate_hz", 100), "ledger");
	must(ledger_set(p, "lost", 0), "ledger");
	return p;
}

static int fill(const char *directory, int64_t from_s, int64_t minutes, const char *const *types, size_t n_types)
{
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_put_result put, sum = { 0 };
	uint64_t cpu = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID), put_ns = 0;
	uint32_t n_stacks = 0;

	must(store_open(&(struct store_options){ .path = directory, .host = "bench" }, &s), directory);
	for (int64_t minute = 0; minute < minutes; minute++)
		for (size_t t = 0; t < n_types; t++) {
			_cleanup_(profile_freep) struct profile *p = NULL;

			random_state = (uint64_t)(from_s + minute * MINUTE_S) * 0x9e3779b97f4a7c15ull + t + 1;
			p = generate(types[t], from_s + minute * MINUTE_S);
			cpu = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
			must(store_put(s, types[t], NULL, p, &put), "put");
			put_ns += clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
			n_stacks += profile_n_stacks(p);
			sum.bytes += put.bytes;
			sum.raw_bytes += put.raw_bytes;
			sum.n_files++;
		}
	printf("%u windows, %u stacks, %.0f KB of pprof, %.0f KB stored, %.1f ms of CPU each to store\n", sum.n_files,
	        n_stacks / MAX(sum.n_files, 1u), (double)sum.raw_bytes / 1e3 / sum.n_files,
	        (double)sum.bytes / 1e3 / sum.n_files, (double)put_ns / 1e6 / sum.n_files);
	return 0;
}

static int compact(const char *directory, int64_t now_s)
{
	const struct compact_options options = { .now_ns = now_s * (int64_t)NS_PER_SEC };
	_cleanup_(store_closep) struct store *s = NULL;
	struct compact_result result;
	struct rusage usage;
	uint64_t n;

	must(store_open(&(struct store_options){ .path = directory }, &s), directory);
	must(store_compact(s, &options, &result), "compact");
	(void)getrusage(RUSAGE_SELF, &usage);
	n = MAX(result.n_merged[STORE_HOUR] + result.n_merged[STORE_DAY], (uint64_t)1);
	printf("%" PRIu64 " files into %" PRIu64 " hours and %" PRIu64
	       " days: %.1f MB to %.1f MB, %.0f KB each, %.0f ms of "
	       "CPU each, peak RSS %.0f MB\n",
	        result.n_files, result.n_merged[STORE_HOUR], result.n_merged[STORE_DAY],
	        (double)result.bytes_before / 1e6, (double)result.bytes_after / 1e6,
	        (double)result.bytes_after / 1e3 / (double)n,
	        (double)clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e6 / (double)n, (double)usage.ru_maxrss / 1e3);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const all[] = { "cpu", "offcpu", "memory" };

	if (argc == 4 && strcmp(argv[1], "compact") == 0)
		return compact(argv[2], strtoll(argv[3], NULL, 10));
	if (argc >= 4)
		return fill(argv[1], strtoll(argv[2], NULL, 10), strtoll(argv[3], NULL, 10),
		        argc > 4 ? (const char *const *)argv + 4 : all, argc > 4 ? (size_t)argc - 4 : ARRAY_SIZE(all));
	(void)fprintf(stderr, "Usage: store-generate DIR FROM_SECONDS MINUTES [TYPE...] | compact DIR NOW_SECONDS\n");
	return 2;
}
