/* Sizes and times as people write them: "512K", "50M", "2G"; "10ms", "60s", "5min", "1h", "14d"; "1%", "0.5%".
 * Sizes are powers of 1024, as systemd has them. Nothing but a whole, non-negative number and one suffix is taken. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* -EINVAL: not a number with a known suffix; -ERANGE: too large for 64 bits. A plain number is bytes. */
int units_parse_size(const char *text, uint64_t *ret_bytes);
/* A plain number is seconds. */
int units_parse_time(const char *text, uint64_t *ret_ns);
/* "1%" or "0.5%"; the sign is required. *ret is a fraction: 0.01. */
int units_parse_percent(const char *text, double *ret);
/* yes/no, true/false, on/off, 1/0. */
int units_parse_bool(const char *text, int *ret);

#define UNITS_TEXT_MAX 32
/* "1.5 MiB", "12 s", "340 ms": for people. Returns buffer. */
char *units_format_size(char buffer[UNITS_TEXT_MAX], uint64_t bytes);
char *units_format_time(char buffer[UNITS_TEXT_MAX], uint64_t ns);
char *units_format_count(char buffer[UNITS_TEXT_MAX], int64_t n); /* "-1,234,567" */
/* A value in a pprof unit (count, nanoseconds, bytes) for people. */
char *units_format_value(char buffer[UNITS_TEXT_MAX], int64_t value, const char *unit);
