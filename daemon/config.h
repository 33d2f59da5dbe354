/* emberd.conf and its drop-ins as one checked struct. The table in config.c is the only list of keys: section, key,
 * parser, limits, default. A new key is a row there, a field here and a case in tests/unit/daemon/config.c.
 *
 * A failure comes back as one sentence that names file, line, section and key, and says what is wanted. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_FILES_MAX 256 /* drop-ins */
#define CONFIG_LIST_MAX 256  /* values of one repeatable key, sections of one repeatable kind */
#define CONFIG_DEFAULT_PATH "/etc/emberd/emberd.conf"

struct config_list {
	char **items;
	size_t n;
};

/* One [Upload NAME]. */
struct config_upload {
	char *name; /* of the section; "default" for a plain [Upload] */
	char *protocol, *url, *compression, *encoding;
	char *token_file, *ca_file, *cert_file, *key_file; /* NULL: none */
	char *tenant_id, *proxy;
	struct config_list headers, attributes;
	bool processes, timestamps, payload;
	uint64_t timeout_ns, spool_bytes, max_age_ns, retry_initial_ns, retry_max_ns;
	uint64_t samples_max, request_bytes; /* 0: the protocol's */
	uint64_t retention_ns, max_bytes;    /* of a directory */
};

#define CONFIG_UPLOADS_MAX 16

/* One that nobody wrote down: defaults only, no address. */
int config_upload_new(const char *name, struct config_upload **ret);
struct config_upload *config_upload_free(struct config_upload *u);
DEFINE_CLEANUP(struct config_upload *, config_upload_free)

struct config {
	/* [Profile] */
	struct config_list sources;
	uint64_t frequency_hz;
	uint64_t interval_ns;
	uint64_t max_profile_bytes; /* of one file, before compression */
	bool on_demand;
	bool kernel_stacks;
	uint64_t heap_interval; /* bytes a sample of `heap` */
	bool heap_single_step;
	/* [Target]; nothing at all means the whole host */
	struct target_spec {
		struct config_list pids, cgroups, units, comms, exes;
	} include, exclude;
	/* [Labels] */
	struct config_list service_names; /* rules (profile/service_name.h) */
	struct config_list labels;        /* "name=value" */
	/* [Upload NAME] */
	struct config_upload *uploads[CONFIG_UPLOADS_MAX];
	size_t n_uploads;
	/* [Store] */
	char *store_path;
	uint64_t retention_days, store_bytes; /* 0: no limit */
	double min_free_disk;                 /* fraction of the file system */
	/* [Budget]: fractions of a target's CPU time, and of one core for all targets together */
	double heap_budget, heap_together;
	/* [Symbols] */
	bool inlines;
	struct config_list debug_directories;
	uint64_t cache_bytes;
};

struct config_options {
	/* Says whether a name in Sources= is one that this build has; NULL takes any. */
	bool (*is_source)(const char *name);
};

/* Defaults only: what an empty file means. */
int config_new(struct config **ret);
/* path and then path + ".d" / *.conf in order of name. A missing path is an error where must_exist, else the defaults.
 * options may be NULL. On failure *ret_error is the sentence (belongs to the caller; NULL only without memory) and *ret
 * is untouched. */
int config_load(
        const char *path, bool must_exist, const struct config_options *options, struct config **ret, char **ret_error);
/* The same from one text; name stands for the file in messages. For tests and fuzzing. */
int config_parse(const char *name, const char *text, const struct config_options *options, struct config **ret,
        char **ret_error);
struct config *config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free)

/* The destination of that name, which stays c's; NULL: there is none. */
struct config_upload *config_find_upload(const struct config *c, const char *name);

bool config_list_has(const struct config_list *l, const char *item);
bool config_list_equal(const struct config_list *a, const struct config_list *b);

/* Prints every key with its default, as a commented file. */
void config_print_defaults(FILE *to);
