#include "daemon/upload_config.h"

#include <string.h>
#include "base/clock.h"

static json_t *list_json(const struct config_list *l)
{
	json_t *array = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(array, json_string(l->items[i]));
	return array;
}

static json_t *headers_json(const struct config_list *l)
{
	json_t *o = json_object();

	for (size_t i = 0; i < l->n; i++) {
		_cleanup_free_ char *name = strndup(l->items[i], strcspn(l->items[i], ":"));
		const char *value = strchr(l->items[i], ':') + 1;

		if (name)
			(void)json_object_set_new(o, name, json_string(value + strspn(value, " \t")));
	}
	return o;
}

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value)
		(void)json_object_set_new(o, key, json_string(value));
}

char *upload_config_text(const struct config_upload *c, json_t *common, uint64_t memory_max)
{
	json_t *o = json_copy(common);
	char *text;

	set_text(o, "name", c->name);
	set_text(o, "protocol", c->protocol);
	set_text(o, "url", c->url);
	set_text(o, "compression", c->compression);
	set_text(o, "encoding", c->encoding);
	set_text(o, "tenant", c->tenant_id);
	set_text(o, "proxy", c->proxy);
	(void)json_object_set_new(o, "headers", headers_json(&c->headers));
	(void)json_object_set_new(o, "attributes", list_json(&c->attributes));
	(void)json_object_set_new(o, "timeout_ms", json_integer((json_int_t)(c->timeout_ns / NS_PER_MS)));
	(void)json_object_set_new(o, "samples_max", json_integer((json_int_t)c->samples_max));
	(void)json_object_set_new(o, "bytes_max", json_integer((json_int_t)c->request_bytes));
	(void)json_object_set_new(o, "memory_max", json_integer((json_int_t)memory_max));
	(void)json_object_set_new(o, "processes", json_boolean(c->processes));
	(void)json_object_set_new(o, "timestamps", json_boolean(c->timestamps));
	(void)json_object_set_new(o, "payload", json_boolean(c->payload));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

struct export_files upload_config_files(const struct config_upload *c)
{
	return (struct export_files){ {
		[EXPORT_FILE_TOKEN] = c->token_file,
		[EXPORT_FILE_CA] = c->ca_file,
		[EXPORT_FILE_CERT] = c->cert_file,
		[EXPORT_FILE_KEY] = c->key_file,
	} };
}
