/* Pyroscope takes pprof, one profile a series: the window is cut by service (and what else tells resources apart), each
 * part goes out as it is, pid and tid left out unless asked for. Two doors: /push.v1.PusherService/Push, a Connect call
 * with any labels, and the older /ingest with the labels in the name. */
#include "export/sender.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/utf8.h"
#include "export/delivery.h"
#include "export/packer.h"
#include "export/retry.h"
#include "export/subset.h"
#include "profile/otlp_groups.h"
#include "profile/pprof.h"
#include "profile/pprof_wire.h"

#define PUSH_PATH "/push.v1.PusherService/Push"
#define INGEST_PATH "/ingest"
#define SERIES_LABELS_MAX 64
#define LABEL_NAME_MAX 64
#define GZIP_LEVEL 4 /* as packer.c: more costs far more CPU than it saves in bytes */
#define LABEL_VALUE_BYTES_MAX 8192u

enum {
	PUSH_REQUEST_SERIES = 1,
	SERIES_LABELS = 1,
	SERIES_SAMPLES = 2,
	LABEL_PAIR_NAME = 1,
	LABEL_PAIR_VALUE = 2,
	RAW_SAMPLE_PROFILE = 1,
	RAW_SAMPLE_ID = 2,
};

/* One request: a series with one profile. */
struct series {
	char names[SERIES_LABELS_MAX][LABEL_NAME_MAX];
	char *values[SERIES_LABELS_MAX]; /* valid UTF-8 */
	size_t n;
	struct buffer pprof; /* gzip */
	char id[2 * OTLP_ID_BYTES + 1];
	const struct profile *profile; /* of this series */
};

static void series_done(struct series *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->values[i]);
	buffer_done(&s->pprof);
}

typedef enum export_outcome (*series_post)(struct delivery *d, const char *url, const struct series *s);

/* ---- labels ---- */

/* A label's name is [a-zA-Z_][a-zA-Z0-9_]*; the first of a name stands. */
static void add_label(struct series *s, const char *name, const char *value)
{
	_cleanup_buffer_ struct buffer clean = BUFFER(LABEL_VALUE_BYTES_MAX);
	char *to;
	size_t n = 0;

	if (s->n >= SERIES_LABELS_MAX || !*value)
		return;
	to = s->names[s->n];
	if (isdigit((unsigned char)*name))
		to[n++] = '_';
	for (; *name && n + 1 < LABEL_NAME_MAX; name++)
		to[n++] = isalnum((unsigned char)*name) && (unsigned char)*name < 0x80 ? *name : '_';
	to[n] = 0;
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->names[i], to) == 0)
			return;
	(void)utf8_append_clean(&clean, value, strlen(value));
	s->values[s->n] = buffer_take_string(&clean);
	if (s->values[s->n])
		s->n++;
}

/* What Pyroscope calls a kind of profile: by the sample types, the same for every profiler. */
static const char *metric_name(const struct profile *p)
{
	static const struct {
		const char *sample_type, *metric;
	} metrics[] = { { "cpu", "process_cpu" }, { "inuse_space", "memory" }, { "alloc_space", "memory" },
		{ "contentions", "mutex" }, { "offcpu", "off_cpu" } };
	const struct profile_header *h = profile_header_const(p);
	uint32_t type;

	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		if (profile_find_sample_type(p, metrics[i].sample_type, &type) == 0)
			return metrics[i].metric;
	return profile_string(p, h->sample_types[h->n_sample_types - 1].type, NULL);
}

static void make_labels(
        const struct export_config *c, const struct profile *p, const struct otlp_group *g, struct series *s)
{
	const struct profile_label *labels;
	size_t n;

	add_label(s, "__name__", metric_name(p));
	add_label(s, "__delta__", "false"); /* else it takes "alloc_..." for totals since the start of a process */
	add_label(s, "service_name", g->service);
	if (g->labels != PROFILE_NONE) {
		labels = profile_label_set(p, g->labels, &n);
		for (size_t i = 0; i < n; i++) {
			const char *name = profile_string(p, labels[i].key, NULL), *value;
			int is_resource;

			(void)otlp_attribute_name(name, &is_resource);
			if (!is_resource || labels[i].unit != PROFILE_NONE)
				continue;
			value = profile_string(p, (uint32_t)labels[i].value, NULL);
			if (strcmp(name, "unit") != 0 || otlp_unit_is_lasting(value))
				add_label(s, name, value);
		}
	}
	for (size_t i = 0; i < c->n_resource; i++)
		add_label(s, c->resource[i].key, c->resource[i].value);
}

/* ---- push ---- */

static void put_bytes(struct buffer *b, uint32_t field, const void *data, size_t n)
{
	uint8_t head[12], *end;

	*head = (uint8_t)(field << 3 | WIRE_BYTES);
	end = varint_put(head + 1, n);
	(void)buffer_append(b, head, (size_t)(end - head));
	(void)buffer_append(b, data, n);
}

static void put_series(struct buffer *to, const struct series *s)
{
	_cleanup_buffer_ struct buffer series = BUFFER(to->max), part = BUFFER(to->max);

	for (size_t i = 0; i < s->n; i++) {
		part.size = 0;
		put_bytes(&part, LABEL_PAIR_NAME, s->names[i], strlen(s->names[i]));
		put_bytes(&part, LABEL_PAIR_VALUE, s->values[i], strlen(s->values[i]));
		put_bytes(&series, SERIES_LABELS, part.data, part.size);
	}
	part.size = 0;
	put_bytes(&part, RAW_SAMPLE_PROFILE, s->pprof.data, s->pprof.size);
	put_bytes(&part, RAW_SAMPLE_ID, s->id, strlen(s->id));
	put_bytes(&series, SERIES_SAMPLES, part.data, part.size);
	put_bytes(to, PUSH_REQUEST_SERIES, series.data, series.size);
	if (series.error || part.error)
		to->error = -E2BIG;
}

static void put_base64(struct buffer *to, const void *data, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v =
		        (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		char four[4] = { digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
			i + 2 < n ? digits[v & 63] : '=' };

		(void)buffer_append(to, four, sizeof(four));
	}
}

static void put_json_string(struct buffer *to, const char *s)
{
	(void)buffer_append(to, "\"", 1);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\' || (unsigned char)*s < 0x20)
			(void)buffer_printf(to, "\\u%04x", (unsigned char)*s);
		else
			(void)buffer_append(to, s, 1);
	}
	(void)buffer_append(to, "\"", 1);
}

static void put_series_json(struct buffer *to, const struct series *s)
{
	(void)buffer_append_string(to, "{\"series\":[{\"labels\":[");
	for (size_t i = 0; i < s->n; i++) {
		(void)buffer_append_string(to, i ? ",{\"name\":" : "{\"name\":");
		put_json_string(to, s->names[i]);
		(void)buffer_append_string(to, ",\"value\":");
		put_json_string(to, s->values[i]);
		(void)buffer_append_string(to, "}");
	}
	(void)buffer_append_string(to, "],\"samples\":[{\"rawProfile\":\"");
	put_base64(to, s->pprof.data, s->pprof.size);
	(void)buffer_printf(to, "\",\"ID\":\"%s\"}]}]}", s->id);
}

static enum export_outcome post_push(struct delivery *d, const char *url, const struct series *s)
{
	_cleanup_buffer_ struct buffer body = BUFFER(64u << 20);
	bool is_json = d->c->encoding && strcmp(d->c->encoding, "json") == 0;
	const char *headers[] = { is_json ? "Content-Type: application/json" : "Content-Type: application/proto",
		"Connect-Protocol-Version: 1", NULL };
	const struct http_request request = { .url = url, .headers = headers, .body = &body };

	if (is_json)
		put_series_json(&body, s);
	else
		put_series(&body, s);
	if (body.error) {
		reply_set_failure(d->reply, d->http, body.error);
		return d->reply->outcome;
	}
	return delivery_post(d, &request, retry_plain_status, NULL);
}

/* ---- ingest ---- */

static void put_escaped(struct buffer *to, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x80 && (isalnum(c) || strchr("-._~", c)))
			(void)buffer_append(to, text, 1);
		else
			(void)buffer_printf(to, "%%%02X", c);
	}
}

/* No format=: with one, Pyroscope takes the whole form for the profile. name=SERVICE{label=value,...}: braces, commas
 * and equals signs have no escape there, so they are left out of values.
 */
static char *ingest_url(const char *url, const struct series *s)
{
	_cleanup_buffer_ struct buffer b = BUFFER(HTTP_URL_MAX), name = BUFFER(HTTP_URL_MAX);
	const struct profile_header *h = profile_header_const(s->profile);
	_cleanup_free_ char *text = NULL;
	bool is_first = true;

	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->names[i], "service_name") == 0)
			(void)buffer_printf(&name, "%s{", s->values[i]);
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->names[i], "service_name") == 0 || strncmp(s->names[i], "__", 2) == 0 ||
		        strpbrk(s->values[i], "{},="))
			continue;
		(void)buffer_printf(&name, "%s%s=%s", is_first ? "" : ",", s->names[i], s->values[i]);
		is_first = false;
	}
	(void)buffer_append_string(&name, "}");
	text = buffer_take_string(&name);
	(void)buffer_printf(&b, "%s%cname=", url, strchr(url, '?') ? '&' : '?');
	put_escaped(&b, text ? text : "");
	(void)buffer_printf(&b, "&from=%" PRIu64 "&until=%" PRIu64 "&spyName=emberd",
	        (uint64_t)(h->time_ns / (int64_t)NS_PER_SEC),
	        (uint64_t)((h->time_ns + h->duration_ns) / (int64_t)NS_PER_SEC));
	if (h->period > 0 && strcmp(profile_string(s->profile, h->period_type.unit, NULL), "nanoseconds") == 0)
		(void)buffer_printf(&b, "&sampleRate=%" PRIu64, (uint64_t)(1e9 / (double)h->period + 0.5));
	return text ? buffer_take_string(&b) : NULL;
}

/* Says of each sample type that its values add up: Pyroscope knows only Go's by name. */
static void put_type_config(struct buffer *to, const struct profile *p)
{
	const struct profile_header *h = profile_header_const(p);

	(void)buffer_append_string(to, "{");
	for (uint32_t i = 0; i < h->n_sample_types; i++) {
		const char *type = profile_string(p, h->sample_types[i].type, NULL);

		(void)buffer_append_string(to, i ? "," : "");
		put_json_string(to, type);
		(void)buffer_append_string(to, ":{\"units\":");
		put_json_string(to, profile_string(p, h->sample_types[i].unit, NULL));
		(void)buffer_append_string(to, ",\"display-name\":");
		put_json_string(to, type);
		(void)buffer_append_string(to, ",\"aggregation\":\"sum\"}");
	}
	(void)buffer_append_string(to, "}");
}

static enum export_outcome post_ingest(struct delivery *d, const char *base, const struct series *s)
{
	_cleanup_buffer_ struct buffer body = BUFFER(64u << 20);
	_cleanup_free_ char *url = ingest_url(base, s);
	char content_type[128];
	const char *headers[] = { content_type, NULL };
	const struct http_request request = { .url = url, .headers = headers, .body = &body };

	/* The id is a hash of what is sent: it stands nowhere in it. */
	snprintf(content_type, sizeof(content_type), "Content-Type: multipart/form-data; boundary=ember%s", s->id);
	(void)buffer_printf(&body,
	        "--ember%s\r\nContent-Disposition: form-data; name=\"profile\"; filename=\"profile.pprof\"\r\n"
	        "Content-Type: application/octet-stream\r\n\r\n",
	        s->id);
	(void)buffer_append(&body, s->pprof.data, s->pprof.size);
	(void)buffer_printf(&body,
	        "\r\n--ember%s\r\nContent-Disposition: form-data; name=\"sample_type_config\"; "
	        "filename=\"sample_type_config.json\"\r\nContent-Type: application/json\r\n\r\n",
	        s->id);
	put_type_config(&body, s->profile);
	(void)buffer_printf(&body, "\r\n--ember%s--\r\n", s->id);
	if (!url || body.error) {
		reply_set_failure(d->reply, d->http, url ? body.error : -ENOMEM);
		return d->reply->outcome;
	}
	return delivery_post(d, &request, retry_plain_status, NULL);
}

/* ---- both ---- */

static void make_id(struct series *s, const struct window *w, uint32_t group, uint32_t from)
{
	size_t n = 0;

	/* Ours plus where it was cut: the same at every try. */
	for (size_t i = 0; i < OTLP_ID_BYTES - 6; i++)
		n += (size_t)snprintf(s->id + n, sizeof(s->id) - n, "%02x", w->id[i]);
	(void)snprintf(s->id + n, sizeof(s->id) - n, "%04x%08x", group & 0xffff, from);
}

static int write_pprof(const struct profile *p, uint64_t bytes_max, struct buffer *to)
{
	_cleanup_buffer_ struct buffer plain = BUFFER(bytes_max);
	int r = pprof_write(p, &plain);

	return r < 0 ? r : compress_bytes(COMPRESSION_GZIP, GZIP_LEVEL, plain.data, plain.size, to);
}

struct cutting {
	struct delivery d;
	const struct window *w;
	const struct otlp_groups *groups;
	const char *url;
	series_post post;
};

/* Samples from..to of one group; cut in halves as long as they are too large. */
static int send_samples(struct cutting *k, uint32_t group, uint32_t from, uint32_t to)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct delivery *d = &k->d;
	struct series s = { .pprof = BUFFER(64u << 20) };
	int r;

	r = subset_make(k->w->profile, k->groups->order + from, to - from, (const char *const *)d->c->attributes, &p);
	if (r < 0)
		return r;
	r = write_pprof(p, d->c->bytes_max ? d->c->bytes_max : PPROF_BYTES_MAX, &s.pprof);
	if (r == -E2BIG && to - from > 1) {
		uint32_t middle = from + (to - from) / 2;

		p = profile_free(p);
		r = send_samples(k, group, from, middle);
		return r < 0 || d->stopped ? r : send_samples(k, group, middle, to);
	}
	if (r >= 0 && delivery_wants(d)) {
		s.profile = p;
		make_labels(d->c, k->w->profile, &k->groups->groups[group], &s);
		make_id(&s, k->w, group, from);
		delivery_note(d, k->post(d, k->url, &s), to - from, 1);
	} else if (r == -E2BIG && delivery_wants(d)) { /* one sample: it holds nobody back */
		reply_set_failure(d->reply, d->http, r);
		delivery_note(d, d->reply->outcome, 0, 1);
	}
	series_done(&s);
	r = r == -E2BIG ? 0 : r;
	return r;
}

static void send_window(const struct export_config *c, struct http *http, const struct window *w,
        struct export_reply *reply, const char *path, series_post post)
{
	_cleanup_(otlp_groups_done) struct otlp_groups groups = { 0 };
	_cleanup_free_ char *url = delivery_url(c->url, path);
	struct cutting k = {
		.d = delivery_begin(c, http, w, reply), .w = w, .groups = &groups, .url = url, .post = post
	};
	const struct otlp_options o = { .services = c->services };
	uint32_t step = c->samples_max ? c->samples_max : UINT32_MAX;
	int r;

	r = url ? otlp_groups_make(w->profile, &o, &groups) : -ENOMEM;
	for (uint32_t g = 0; g < groups.n && r >= 0; g++)
		for (uint32_t from = groups.start[g]; from < groups.start[g + 1] && r >= 0 && !k.d.stopped;) {
			uint32_t to = groups.start[g + 1] - from > step ? from + step : groups.start[g + 1];

			r = send_samples(&k, g, from, to);
			from = to;
		}
	if (r < 0)
		delivery_fail(&k.d, r);
	delivery_end(&k.d);
}

static void push_window(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply)
{
	send_window(c, http, w, reply, PUSH_PATH, post_push);
}

static void ingest_window(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply)
{
	send_window(c, http, w, reply, INGEST_PATH, post_ingest);
}

const struct sender pyroscope_sender = {
	.name = "pyroscope",
	.needs_network = true,
	.needs_profile = true,
	.bytes_max = 4u << 20,
	.samples_max = 16000,
	.send = push_window,
};

const struct sender pyroscope_ingest_sender = {
	.name = "pyroscope-ingest",
	.needs_network = true,
	.needs_profile = true,
	.bytes_max = 4u << 20,
	.samples_max = 16000,
	.send = ingest_window,
};
