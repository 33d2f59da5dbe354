#include "daemon/upload_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/fd.h"

#define STATE_FILE "state.json"
#define STATE_BYTES_MAX (64u << 10)

static const struct {
	const char *key;
	size_t offset;
} counter_keys[] = {
	{ "sent", offsetof(struct upload_counters, sent) },
	{ "retried", offsetof(struct upload_counters, retried) },
	{ "dropped", offsetof(struct upload_counters, dropped) },
	{ "rejected", offsetof(struct upload_counters, rejected) },
	{ "refused", offsetof(struct upload_counters, refused) },
	{ "expired", offsetof(struct upload_counters, expired) },
	{ "failed_puts", offsetof(struct upload_counters, failed_puts) },
	{ "requests", offsetof(struct upload_counters, requests) },
	{ "bytes", offsetof(struct upload_counters, bytes) },
	{ "samples", offsetof(struct upload_counters, samples) },
	{ "profiles_refused", offsetof(struct upload_counters, profiles_refused) },
	{ "crashes", offsetof(struct upload_counters, crashes) },
	{ "last_success_ns", offsetof(struct upload_counters, last_success_ns) },
	{ "last_error_ns", offsetof(struct upload_counters, last_error_ns) },
	{ "put_until_ns", offsetof(struct upload_counters, put_until_ns) },
	{ "cpu_ns", offsetof(struct upload_counters, cpu_ns) },
};

static uint64_t *counter(const struct upload_state *s, size_t i)
{
	return (uint64_t *)((char *)&s->c + counter_keys[i].offset);
}

json_t *upload_state_counters(const struct upload_state *s)
{
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(counter_keys); i++)
		(void)json_object_set_new(o, counter_keys[i].key, json_integer((json_int_t)*counter(s, i)));
	return o;
}

void upload_state_remember(struct upload_state *s, const char *name)
{
	size_t i = s->n_recent % UPLOAD_RECENT_MAX;

	free(s->recent[i]);
	s->recent[i] = strdup(name);
	s->n_recent++;
}

bool upload_state_is_recent(const struct upload_state *s, const char *name)
{
	for (size_t i = 0; i < UPLOAD_RECENT_MAX; i++)
		if (s->recent[i] && strcmp(s->recent[i], name) == 0)
			return true;
	return false;
}

int upload_state_save(const struct upload_state *s, int dirfd)
{
	_cleanup_free_ char *text = NULL;
	json_t *o = upload_state_counters(s), *recent = json_array();

	for (size_t i = s->n_recent > UPLOAD_RECENT_MAX ? s->n_recent - UPLOAD_RECENT_MAX : 0; i < s->n_recent; i++)
		if (s->recent[i % UPLOAD_RECENT_MAX])
			(void)json_array_append_new(recent, json_string(s->recent[i % UPLOAD_RECENT_MAX]));
	(void)json_object_set_new(o, "recent", recent);
	(void)json_object_set_new(o, "config_stamp", json_integer((json_int_t)s->config_stamp));
	(void)json_object_set_new(o, "files_stamp", json_integer((json_int_t)s->files_stamp));
	(void)json_object_set_new(o, "last_error", json_string(s->last_error));
	text = json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(o);
	return text ? file_write_atomic(dirfd, STATE_FILE, text, strlen(text), 0600) : -ENOMEM;
}

void upload_state_load(struct upload_state *s, int dirfd)
{
	_cleanup_free_ char *text = NULL;
	json_t *o, *name;
	size_t n, i;

	if (file_read_all(dirfd, STATE_FILE, STATE_BYTES_MAX, &text, &n) < 0)
		return;
	o = json_loadb(text, n, 0, NULL);
	for (i = 0; i < ARRAY_SIZE(counter_keys); i++)
		*counter(s, i) = (uint64_t)MAX(json_integer_value(json_object_get(o, counter_keys[i].key)), 0);
	json_array_foreach (json_object_get(o, "recent"), i, name)
		if (json_string_value(name))
			upload_state_remember(s, json_string_value(name));
	s->config_stamp = (uint64_t)json_integer_value(json_object_get(o, "config_stamp"));
	s->files_stamp = (uint64_t)json_integer_value(json_object_get(o, "files_stamp"));
	if (json_string_value(json_object_get(o, "last_error")))
		(void)snprintf(s->last_error, sizeof(s->last_error), "%s",
		        json_string_value(json_object_get(o, "last_error")));
	json_decref(o);
}

void upload_state_done(struct upload_state *s)
{
	for (size_t i = 0; i < UPLOAD_RECENT_MAX; i++)
		free(s->recent[i]);
	*s = (struct upload_state){ 0 };
}
