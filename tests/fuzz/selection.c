/* Any text as what a person asks for: matchers, a time, a range. Refused in one sentence, or taken and usable. */
#include <stdlib.h>
#include <string.h>

#include "store/selection.h"

#define NOW_NS 1795343400000000000ll

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void try_matchers(const char *text)
{
	static const char *const values[] = { "", "redis-server", "1234", "/system.slice/nginx.service",
		"aaaaaaaaaaaaaaaa" };
	_cleanup_(matchers_freep) struct matchers *m = NULL;
	struct profile_error error = { "" };
	int r = matchers_parse(text, &m, &error);

	must((r < 0) == (m == NULL));
	must(r >= 0 || r == -ENOMEM || (error.text[0] && memchr(error.text, 0, sizeof(error.text))));
	must(matchers_count(m) <= MATCHERS_MAX);
	for (size_t i = 0; i < matchers_count(m); i++) {
		must(matchers_name(m, i)[0]);
		for (size_t k = 0; k < ARRAY_SIZE(values); k++)
			(void)matchers_match_value(m, i, values[k], strlen(values[k]));
	}
}

static void try_times(const char *text)
{
	char formatted[SELECTION_TIME_MAX];
	int64_t from, to;

	if (selection_parse_time(text, NOW_NS, &from) == 0)
		must(selection_format_time(formatted, from)[0]);
	if (selection_parse_range(text, NOW_NS, &from, &to) == 0)
		must(from < to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	try_matchers(text);
	try_times(text);
	return 0;
}
