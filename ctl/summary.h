/* What stands above each table: the value shown, its total, when it was taken, and what the ledger says was lost. */
#pragma once
#include <stdint.h>
#include <jansson.h>
#include "profile/profile.h"

/* "cpu (nanoseconds): 12.3 s in 1,230 samples over 60 s; 12 stacks truncated", as a line on stdout. */
void summary_print(const struct profile *p, uint32_t value_index);
/* A stranger's word on stdout: cut, and without what moves the cursor. */
void summary_print_word(const char *s);
/* {"sample_type", "unit", "total", "samples", "time_ns", "duration_ns", "ledger": {...}}; NULL on failure. */
json_t *summary_json(const struct profile *p, uint32_t value_index);

/* Room for a percentage: "12.34%". */
#define SUMMARY_PERCENT_MAX 24
char *summary_percent(char buffer[SUMMARY_PERCENT_MAX], double value, double whole);
