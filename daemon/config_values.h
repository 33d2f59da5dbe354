/* How the text of a value becomes the field of a key: one parser for each kind of value. config.c holds the table of
 * keys that name them. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "daemon/config.h"

struct config_key;
typedef int (*config_parser)(const struct config_key *key, const char *value, void *field);

/* One key. The default is text, parsed by the same parser, so it cannot say something else than the file would. */
struct config_key {
	const char *section, *key;
	config_parser parse;
	size_t offset;        /* of the field in struct config */
	const char *fallback; /* the default */
	const char *wants;    /* ends "wants ...": what a good value is */
	uint64_t min, max;    /* of numbers, sizes and times */
	bool is_repeatable;   /* lists: further lines add; else the last line stands alone */
};

/* 0; -EINVAL: not what the key wants; -E2BIG: too many; -ENOMEM. A list is replaced unless the key is repeatable. */
int config_parse_number(const struct config_key *key, const char *value, void *field);
int config_parse_time(const struct config_key *key, const char *value, void *field);
int config_parse_size(const struct config_key *key, const char *value, void *field);
int config_parse_bool(const struct config_key *key, const char *value, void *field);
int config_parse_path(const struct config_key *key, const char *value, void *field);
int config_parse_percent(const struct config_key *key, const char *value, void *field);
int config_parse_share(const struct config_key *key, const char *value, void *field); /* the same, but not nothing */
int config_parse_names(const struct config_key *key, const char *value, void *field);
int config_parse_pids(const struct config_key *key, const char *value, void *field);
int config_parse_paths(const struct config_key *key, const char *value, void *field);
int config_parse_globs(const struct config_key *key, const char *value, void *field);
int config_parse_item(const struct config_key *key, const char *value, void *field);
int config_parse_text(const struct config_key *key, const char *value, void *field);
int config_parse_file_path(const struct config_key *key, const char *value, void *field);
int config_parse_choice(const struct config_key *key, const char *value, void *field);
int config_parse_url(const struct config_key *key, const char *value, void *field);
int config_parse_service_rule(const struct config_key *key, const char *value, void *field);
int config_parse_header(const struct config_key *key, const char *value, void *field);

bool config_is_name(const char *s, size_t n); /* letters, digits, "_" and "-" */
int config_list_add(struct config_list *l, const char *item, size_t size);
void config_list_done(struct config_list *l);
