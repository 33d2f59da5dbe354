#include "base/units.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"

struct suffix {
	const char *name;
	uint64_t factor;
};

static const struct suffix size_suffixes[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "K", 1ull << 10 },
	{ "M", 1ull << 20 },
	{ "G", 1ull << 30 },
	{ "T", 1ull << 40 },
};

static const struct suffix time_suffixes[] = {
	{ "", NS_PER_SEC },
	{ "ns", 1 },
	{ "us", 1000 },
	{ "ms", NS_PER_MS },
	{ "s", NS_PER_SEC },
	{ "sec", NS_PER_SEC },
	{ "m", 60 * NS_PER_SEC },
	{ "min", 60 * NS_PER_SEC },
	{ "h", 3600 * NS_PER_SEC },
	{ "d", 86400 * NS_PER_SEC },
	{ "w", 7ull * 86400 * NS_PER_SEC },
};

static int parse_suffixed(const char *text, const struct suffix *suffixes, size_t n, uint64_t *ret)
{
	unsigned long long number;
	uint64_t value;
	char *end;

	assert(text);
	assert(ret);

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	for (size_t i = 0; i < n; i++)
		if (strcmp(end, suffixes[i].name) == 0) {
			if (__builtin_mul_overflow((uint64_t)number, suffixes[i].factor, &value))
				return -ERANGE;
			*ret = value;
			return 0;
		}
	return -EINVAL;
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse_suffixed(text, size_suffixes, ARRAY_SIZE(size_suffixes), ret_bytes);
}

int units_parse_time(const char *text, uint64_t *ret_ns)
{
	return parse_suffixed(text, time_suffixes, ARRAY_SIZE(time_suffixes), ret_ns);
}

int units_parse_percent(const char *text, double *ret)
{
	double value;
	char *end;

	assert(text);
	assert(ret);

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	value = strtod(text, &end);
	if (strcmp(end, "%") != 0 || !isfinite(value))
		return -EINVAL;
	*ret = value / 100;
	return 0;
}

int units_parse_bool(const char *text, int *ret)
{
	static const char *const words[][2] = { { "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (int value = 0; value < 2; value++)
			if (strcasecmp(text, words[i][value]) == 0) {
				*ret = value;
				return 0;
			}
	return -EINVAL;
}

static char *format_scaled(char *buffer, double value, const char *unit)
{
	(void)snprintf(buffer, UNITS_TEXT_MAX,
	        value < 10 && value != floor(value)    ? "%.2f %s"
	        : value < 100 && value != floor(value) ? "%.1f %s"
	                                               : "%.0f %s",
	        value, unit);
	return buffer;
}

char *units_format_size(char buffer[UNITS_TEXT_MAX], uint64_t bytes)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t i = 0;

	for (; value >= 1024 && i + 1 < ARRAY_SIZE(names); i++)
		value /= 1024;
	return format_scaled(buffer, value, names[i]);
}

char *units_format_time(char buffer[UNITS_TEXT_MAX], uint64_t ns)
{
	static const struct suffix steps[] = {
		{ "d", 86400 * NS_PER_SEC },
		{ "h", 3600 * NS_PER_SEC },
		{ "min", 60 * NS_PER_SEC },
		{ "s", NS_PER_SEC },
		{ "ms", NS_PER_MS },
		{ "us", 1000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (ns >= steps[i].factor)
			return format_scaled(buffer, (double)ns / (double)steps[i].factor, steps[i].name);
	return format_scaled(buffer, (double)ns, "ns");
}

char *units_format_count(char buffer[UNITS_TEXT_MAX], int64_t n)
{
	char digits[24], *to = buffer;
	int size = snprintf(digits, sizeof(digits), "%llu", n < 0 ? 0 - (unsigned long long)n : (unsigned long long)n);

	if (n < 0)
		*to++ = '-';
	for (int i = 0; i < size; i++) {
		if (i > 0 && (size - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return buffer;
}

char *units_format_value(char buffer[UNITS_TEXT_MAX], int64_t value, const char *unit)
{
	char magnitude[UNITS_TEXT_MAX];
	uint64_t absolute = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	if (strcmp(unit, "nanoseconds") == 0)
		(void)units_format_time(magnitude, absolute);
	else if (strcmp(unit, "bytes") == 0)
		(void)units_format_size(magnitude, absolute);
	else
		(void)snprintf(magnitude, sizeof(magnitude), "%llu", (unsigned long long)absolute);
	(void)snprintf(buffer, UNITS_TEXT_MAX, "%s%.30s", value < 0 ? "-" : "", magnitude);
	return buffer;
}
