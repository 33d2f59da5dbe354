/* A window as one or more requests: what each answer means for the whole. Parts that an earlier try brought to an end
 * are not sent again. A part that is bad by itself does not hold back the others, unless all are: then the window is
 * refused as a whole, since it is rather the configuration that is to blame. Any other refusal ends the try. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "export/sender.h"

struct delivery {
	const struct export_config *c;
	struct http *http;
	const struct window *w;
	struct export_reply *reply;
	uint64_t parts_done, part; /* to skip; the next part's number */
	uint64_t sent, bad;
	bool is_told; /* of a part, and the parent has not said to go on */
	bool stopped; /* a part was not taken: nothing after it may go out now */
};

struct delivery delivery_begin(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply);
/* Counts the next part; true where it must be sent. Waits until the parent has noted the one before. */
bool delivery_wants(struct delivery *d);
/* What became of that part. profiles: how many were in it. */
void delivery_note(struct delivery *d, enum export_outcome outcome, uint64_t samples, uint64_t profiles);
/* A failure of our own before anything was sent. */
void delivery_fail(struct delivery *d, int r);
void delivery_end(struct delivery *d);

/* Posts a part over plain HTTP; counts it; turns the answer into an outcome with its sentence. judge says what a status
 * means. *ret_answer (may be NULL) is the answer where the outcome is EXPORT_SENT. */
enum export_outcome delivery_post(struct delivery *d, const struct http_request *request,
        enum export_outcome (*judge)(long status), struct http_answer *ret_answer);

/* base with path, where base has none of its own: "http://host:4318" + "/v1development/profiles". Caller frees. */
char *delivery_url(const char *base, const char *path);
