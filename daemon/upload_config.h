/* What ember-export is told of a destination: a section of emberd.conf as the JSON of export/config.h, and the files
 * that it gets as descriptors. */
#pragma once
#include <jansson.h>
#include "daemon/config.h"
#include "export/client.h"

/* common: what all destinations say; borrowed. memory_max: of the process that sends; 0: no limit. The caller frees;
 * NULL: out of memory. */
char *upload_config_text(const struct config_upload *c, json_t *common, uint64_t memory_max);
/* The paths are borrowed from c. */
struct export_files upload_config_files(const struct config_upload *c);
