/* A window as one or more requests: what each answer means for the whole. Parts that an earlier try brought to an end
 * are not sent again; a part that is refused does not hold back the others. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "export/sender.h"

struct delivery {
	const struct export_config *c;
	struct http *http;
	struct export_reply *reply;
	uint64_t parts_done, part; /* to skip; the next part's number */
	uint64_t sent, refused;
	bool stopped; /* a part must be tried again: nothing after it may go out */
};

struct delivery delivery_begin(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply);
/* Counts the next part; true where it must be sent. */
bool delivery_wants(struct delivery *d);
/* What became of that part. profiles: how many were in it. */
void delivery_note(struct delivery *d, enum export_outcome outcome, uint64_t samples, uint64_t profiles);
/* A failure of our own before anything was sent. */
void delivery_fail(struct delivery *d, int r);
void delivery_end(struct delivery *d);

/* Posts a part over plain HTTP; counts it; turns the answer into an outcome with its sentence. may_retry says which
 * statuses allow another try. *ret_answer (may be NULL) is the answer where the outcome is EXPORT_SENT. */
enum export_outcome delivery_post(struct delivery *d, const struct http_request *request,
        bool (*may_retry)(long status), struct http_answer *ret_answer);

/* base with path, where base has none of its own: "http://host:4318" + "/v1development/profiles". Caller frees. */
char *delivery_url(const char *base, const char *path);
