#include "ctl/summary.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "ctl/command.h"
#include "ctl/table.h"
#include "profile/caveat.h"
#include "profile/ledger.h"
#include "profile/tree.h"

#define WORD_BYTES_MAX 64

char *summary_percent(char buffer[SUMMARY_PERCENT_MAX], double value, double whole)
{
	(void)snprintf(buffer, SUMMARY_PERCENT_MAX, "%.2f%%", whole != 0 ? 100 * value / whole : 0);
	return buffer;
}

static int64_t samples_of(const struct profile *p, uint32_t value_index)
{
	uint32_t count = tree_count_index(p, value_index);

	return count == PROFILE_NONE ? (int64_t)profile_n_samples(p) : profile_total(p, count);
}

void summary_print_word(const char *s)
{
	_cleanup_buffer_ struct buffer clean = BUFFER(4 * WORD_BYTES_MAX);
	size_t width = 0;

	(void)table_append_clean(&clean, &width, s, strnlen(s, WORD_BYTES_MAX));
	(void)fwrite(clean.data, 1, clean.size, stdout);
}

void summary_print(const struct profile *p, uint32_t value_index)
{
	const struct profile_header *h = profile_header_const(p);
	const char *type = profile_string(p, h->sample_types[value_index].type, NULL);
	const char *unit = profile_string(p, h->sample_types[value_index].unit, NULL);
	char text[UNITS_TEXT_MAX], caveat[CAVEAT_TEXT_MAX];
	const char *noun = tree_count_noun(p, value_index);
	int64_t samples = samples_of(p, value_index);

	summary_print_word(type);
	(void)fputs(" (", stdout);
	summary_print_word(unit);
	printf("): %s", units_format_value(text, profile_total(p, value_index), unit));
	if (strcmp(unit, "count") != 0)
		printf(" in %lld %.*s", (long long)samples, tree_noun_bytes(noun, samples), noun);
	if (h->duration_ns > 0)
		printf(" over %s", units_format_time(text, (uint64_t)h->duration_ns));
	for (size_t at = 0; caveat_next(p, &at, caveat);)
		printf("; %s", caveat);
	(void)fputc('\n', stdout);
}

static json_t *ledger_json(const struct profile *p)
{
	json_t *ledger = json_object();

	for (uint32_t i = 0; ledger && i < profile_n_comments(p); i++) {
		const char *text = profile_comment(p, i);
		char name[LEDGER_NAME_MAX + 1];
		int64_t value;

		if (ledger_parse(text, strlen(text), name, &value) == 0 &&
		        json_object_set_new(ledger, name, json_integer(value)) < 0) {
			json_decref(ledger);
			return NULL;
		}
	}
	return ledger;
}

json_t *summary_json(const struct profile *p, uint32_t value_index)
{
	const struct profile_header *h = profile_header_const(p);

	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:o}", "sample_type",
	        command_json_string(profile_string(p, h->sample_types[value_index].type, NULL)), "unit",
	        command_json_string(profile_string(p, h->sample_types[value_index].unit, NULL)), "total",
	        (json_int_t)profile_total(p, value_index), "samples", (json_int_t)samples_of(p, value_index), "time_ns",
	        (json_int_t)h->time_ns, "duration_ns", (json_int_t)h->duration_ns, "ledger", ledger_json(p));
}
