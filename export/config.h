/* One destination as the parent describes it, in JSON:
 *
 *	{ "name", "protocol", "url", "compression", "tenant", "proxy", "encoding", "timeout_ms", "memory_max",
 *	  "samples_max", "bytes_max", "timestamps", "payload", "processes", "attributes": [LABEL...],
 *	  "services": [RULE...], "resource": {KEY: VALUE...}, "headers": {NAME: VALUE...} }
 *
 * Secrets are not in it: they come as descriptors (export/protocol.h). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "export/protocol.h"
#include "profile/compress.h"
#include "profile/otlp.h"

#define EXPORT_LIST_MAX 64

struct sender;

struct export_config {
	char *name, *url, *tenant, *proxy, *encoding;
	const struct sender *sender;
	enum compression compression;
	uint64_t timeout_ms, memory_max;
	uint32_t samples_max;
	uint64_t bytes_max;
	bool timestamps, payload, processes;
	char *attributes[EXPORT_LIST_MAX + 1]; /* NULL at the end */
	struct otlp_pair resource[EXPORT_LIST_MAX];
	size_t n_resource;
	struct otlp_pair headers[EXPORT_LIST_MAX];
	size_t n_headers;
	struct service_rules *services;
	char *files[EXPORT_FILES]; /* contents; NULL where there is none */
	size_t file_sizes[EXPORT_FILES];
};

/* -EINVAL with a sentence in error for what is missing or wrong. */
int export_config_parse(const char *text, size_t n, struct export_config **ret, char error[EXPORT_ERROR_MAX]);
/* Stars in place of the token and of the values of headers: a server may say back what it was told. What stands cut at
 * the end of text counts too. */
void export_config_mask(const struct export_config *c, char *text);
struct export_config *export_config_free(struct export_config *c); /* wipes secrets */
DEFINE_CLEANUP(struct export_config *, export_config_free)
