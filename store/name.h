/* Names of stored files. All that a walk through the directory needs to know is in them: "cpu/2026-11-22/
 * 20261122T221000Z-web1+hour+2.pb.zst" is the second file (the first has no number) that holds the hour of 22:10 UTC of
 * host web1. Times in names are UTC and cut to the second; the profile inside has the exact one. */
#pragma once
#include <stdint.h>
#include "store/store.h"

enum store_level {
	STORE_WINDOW,
	STORE_HOUR,
	STORE_DAY,
	STORE_LEVELS,
};

#define STORE_NAME_MAX 256 /* of the last component */
#define STORE_PATH_MAX (STORE_TYPE_MAX + 16 + STORE_NAME_MAX)
#define STORE_SUFFIX ".pb.zst"
#define STORE_TEMPORARY_PREFIX ".tmp-"
#define STORE_CORRUPT_DIRECTORY "corrupt"

struct store_name {
	int64_t start_s;
	uint32_t level;
	uint32_t serial;           /* 1: the first, without a number */
	char host[STORE_HOST_MAX]; /* only [A-Za-z0-9._-] */
};

/* Bytes that a name cannot have become '_'; an empty one "localhost". */
void store_name_set_host(struct store_name *n, const char *host);
void store_name_format(const struct store_name *n, const char *type, char ret_path[STORE_PATH_MAX]);
/* filename: the last component. -EINVAL: not a name of ours. */
int store_name_parse(const char *filename, struct store_name *ret);
bool store_name_type_is_valid(const char *type);
bool store_name_date_is_valid(const char *date);
/* Whether path is "TYPE/DATE/NAME", nothing else: a path out of an index is not to be trusted. */
bool store_name_path_is_valid(const char *path);
const char *store_level_name(uint32_t level); /* "window", "hour", "day" */
int64_t store_level_seconds(uint32_t level);  /* 0, 3600, 86400 */
