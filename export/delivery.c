#include "export/delivery.h"

#include <stdio.h>
#include <string.h>

struct delivery delivery_begin(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply)
{
	return (struct delivery){ .c = c, .http = http, .w = w, .reply = reply, .parts_done = w->job->parts_done };
}

bool delivery_wants(struct delivery *d)
{
	if (d->is_told && d->w->await(d->reply->id) < 0)
		d->stopped = true; /* nobody would note what becomes of it */
	d->is_told = false;
	return !d->stopped && d->part++ >= d->parts_done;
}

/* A part that is bad by itself is not done before one was good: if all are bad, the window is to be refused. */
static uint64_t parts_done(const struct delivery *d, uint64_t n)
{
	return d->sent || d->parts_done ? n : 0;
}

static void tell(struct delivery *d)
{
	d->reply->parts_done = parts_done(d, d->part);
	if (!d->reply->parts_done)
		return;
	d->is_told = true;
	d->stopped = d->w->tell(d->reply) < 0;
}

void delivery_note(struct delivery *d, enum export_outcome outcome, uint64_t samples, uint64_t profiles)
{
	switch (outcome) {
	case EXPORT_SENT:
		d->sent++;
		d->reply->samples += samples;
		tell(d);
		break;
	case EXPORT_REJECTED:
		d->bad++;
		d->reply->rejected += profiles;
		tell(d);
		break;
	default:
		d->stopped = true;
		d->reply->parts_done = parts_done(d, d->part - 1);
	}
}

void delivery_fail(struct delivery *d, int r)
{
	reply_set_failure(d->reply, d->http, r);
	d->stopped = true;
	d->reply->parts_done = d->part ? parts_done(d, d->part - 1) : d->parts_done;
}

void delivery_end(struct delivery *d)
{
	if (d->stopped)
		return;
	if (d->bad && !d->sent && !d->parts_done) {
		d->reply->outcome = EXPORT_REFUSED;
		d->reply->rejected = 0;
	} else {
		d->reply->outcome = EXPORT_SENT;
	}
}

enum export_outcome delivery_post(struct delivery *d, const struct http_request *request,
        enum export_outcome (*judge)(long status), struct http_answer *ret_answer)
{
	_cleanup_(http_answer_done) struct http_answer a = { 0 };
	struct export_reply *reply = d->reply;
	char text[HTTP_TEXT_MAX];
	int r;

	reply->requests++;
	reply->bytes += request->body->size;
	r = http_post(d->http, request, &a);
	if (r < 0) {
		reply_set_failure(reply, d->http, r);
		return reply->outcome;
	}
	reply->status = (uint32_t)a.status;
	if (a.status >= 200 && a.status < 300) {
		if (a.is_cut)
			reply_set(reply, EXPORT_SENT, "taken, but the answer broke off: %s", http_error(d->http));
		reply->outcome = EXPORT_SENT;
		if (ret_answer) {
			*ret_answer = a;
			a = (struct http_answer){ 0 };
		}
		return EXPORT_SENT;
	}
	http_answer_text(&a, text, sizeof(text));
	reply->retry_after_ns = a.retry_after_ns;
	if (a.status >= 300 && a.status < 400)
		reply_set(
		        reply, judge(a.status), "HTTP status %ld: redirects are not followed; correct Url=", a.status);
	else
		reply_set(reply, judge(a.status), "HTTP status %ld %s", a.status, text);
	return reply->outcome;
}

char *delivery_url(const char *base, const char *path)
{
	const char *host = strstr(base, "://"), *slash;
	char *url;

	host = host ? host + 3 : base;
	slash = strchr(host, '/');
	if (slash && slash[1])
		return strdup(base);
	if (asprintf(&url, "%.*s%s", (int)((slash ? slash : base + strlen(base)) - base), base, path) < 0)
		return NULL;
	return url;
}
