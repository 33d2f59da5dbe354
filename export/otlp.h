/* What OTLP over HTTP and over gRPC share: encoding a window in parts, reading the answer. */
#pragma once
#include "export/delivery.h"

/* Sends one packed request; head_bytes at the front of body are the transport's own. */
typedef enum export_outcome (*otlp_post)(struct delivery *d, const char *url, struct buffer *body);

void otlp_send(const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply,
        const char *url, size_t head_bytes, otlp_post post);

/* An ExportProfilesServiceResponse: notes what of a request that was taken was refused, for a log line. Anything
 * malformed counts as full success: the status said so. */
void otlp_take_answer(struct delivery *d, const void *data, size_t n);
