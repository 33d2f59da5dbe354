#include "export/config.h"

#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "export/sender.h"

_printf_(2, 3) static int wrong(char error[EXPORT_ERROR_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(error, EXPORT_ERROR_MAX, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int take_string(json_t *o, const char *key, char **ret)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (s && !(*ret = strdup(s)))
		return -ENOMEM;
	return 0;
}

static uint64_t take_number(json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v > 0 ? (uint64_t)v : 0;
}

static int take_list(json_t *array, char *list[EXPORT_LIST_MAX + 1])
{
	json_t *item;
	size_t i;

	json_array_foreach (array, i, item) {
		if (i >= EXPORT_LIST_MAX || !json_string_value(item))
			return -E2BIG;
		list[i] = strdup(json_string_value(item));
		if (!list[i])
			return -ENOMEM;
	}
	return 0;
}

static int take_pairs(json_t *object, struct otlp_pair pairs[EXPORT_LIST_MAX], size_t *n)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value) {
		if (*n >= EXPORT_LIST_MAX || !json_string_value(value))
			return -E2BIG;
		pairs[(*n)++] = (struct otlp_pair){ strdup(key), strdup(json_string_value(value)) };
		if (!pairs[*n - 1].key || !pairs[*n - 1].value)
			return -ENOMEM;
	}
	return 0;
}

static int take_services(json_t *array, struct service_rules **ret, char error[EXPORT_ERROR_MAX])
{
	char *texts[EXPORT_LIST_MAX + 1] = { 0 };
	size_t n = 0, bad = 0;
	int r;

	r = take_list(array, texts);
	while (texts[n])
		n++;
	if (r >= 0 && n > 0) {
		r = service_rules_new((const char *const *)texts, n, ret, &bad);
		if (r == -EINVAL)
			(void)wrong(error, "the service rule '%s' is wrong", texts[bad]);
	}
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	return r;
}

static int take_compression(json_t *o, enum compression *ret, char error[EXPORT_ERROR_MAX])
{
	const char *s = json_string_value(json_object_get(o, "compression"));

	if (!s || strcmp(s, "gzip") == 0)
		*ret = COMPRESSION_GZIP;
	else if (strcmp(s, "zstd") == 0)
		*ret = COMPRESSION_ZSTD;
	else if (strcmp(s, "none") == 0)
		*ret = COMPRESSION_NONE;
	else
		return wrong(error, "compression '%s' is not zstd, gzip or none", s);
	return 0;
}

static int take_protocol(json_t *o, struct export_config *c, char error[EXPORT_ERROR_MAX])
{
	const char *s = json_string_value(json_object_get(o, "protocol"));

	c->sender = s ? sender_find(s) : NULL;
	if (!c->sender)
		return wrong(error, "there is no protocol '%s'", s ? s : "");
	if (c->sender->needs_network &&
	        (!c->url || (strncmp(c->url, "http://", 7) != 0 && strncmp(c->url, "https://", 8) != 0)))
		return wrong(error, "the address must begin with http:// or https://");
	return 0;
}

static int parse(json_t *o, struct export_config *c, char error[EXPORT_ERROR_MAX])
{
	const struct {
		const char *key;
		char **to;
	} strings[] = { { "name", &c->name }, { "url", &c->url }, { "tenant", &c->tenant }, { "proxy", &c->proxy },
		{ "encoding", &c->encoding } };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		r = take_string(o, strings[i].key, strings[i].to);
		if (r < 0)
			return r;
	}
	r = take_protocol(o, c, error);
	if (r >= 0)
		r = take_compression(o, &c->compression, error);
	if (r >= 0)
		r = take_list(json_object_get(o, "attributes"), c->attributes);
	if (r >= 0)
		r = take_pairs(json_object_get(o, "resource"), c->resource, &c->n_resource);
	if (r >= 0)
		r = take_pairs(json_object_get(o, "headers"), c->headers, &c->n_headers);
	if (r >= 0)
		r = take_services(json_object_get(o, "services"), &c->services, error);
	c->timeout_ms = take_number(o, "timeout_ms");
	c->timeout_ms = c->timeout_ms ? c->timeout_ms : 10000;
	c->memory_max = take_number(o, "memory_max");
	c->samples_max = (uint32_t)take_number(o, "samples_max");
	c->bytes_max = take_number(o, "bytes_max");
	c->timestamps = json_is_true(json_object_get(o, "timestamps"));
	c->payload = json_is_true(json_object_get(o, "payload"));
	c->processes = json_is_true(json_object_get(o, "processes"));
	if (r >= 0) {
		c->samples_max = c->samples_max ? c->samples_max : c->sender->samples_max;
		c->bytes_max = c->bytes_max ? c->bytes_max : c->sender->bytes_max;
	}
	return r;
}

int export_config_parse(const char *text, size_t n, struct export_config **ret, char error[EXPORT_ERROR_MAX])
{
	_cleanup_(export_config_freep) struct export_config *c = NULL;
	json_error_t why;
	json_t *o;
	int r;

	assert(ret);

	o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(o)) {
		json_decref(o);
		return wrong(error, "the configuration is not a JSON object: %s", why.text);
	}
	c = calloc(1, sizeof(*c));
	r = c ? parse(o, c, error) : -ENOMEM;
	json_decref(o);
	if (r == -E2BIG)
		(void)wrong(error, "a list of the configuration is too long or holds what is no text");
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

/* Shorter, and it might as well be a word of the sentence. */
#define SECRET_BYTES_MIN 4u

static void mask(char *text, const char *secret, size_t n)
{
	if (n < SECRET_BYTES_MIN)
		return;
	for (char *at = text; *at; at++) {
		size_t k = 0;

		while (k < n && at[k] && at[k] == secret[k])
			k++;
		if (k == n || (k >= SECRET_BYTES_MIN && !at[k]))
			memset(at, '*', k);
	}
}

void export_config_mask(const struct export_config *c, char *text)
{
	const char *token = c->files[EXPORT_FILE_TOKEN];

	if (token)
		mask(text, token, strcspn(token, "\r\n"));
	for (size_t i = 0; i < c->n_headers; i++)
		mask(text, c->headers[i].value, strlen(c->headers[i].value));
}

static void free_pairs(struct otlp_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((char *)pairs[i].key);
		free((char *)pairs[i].value);
	}
}

struct export_config *export_config_free(struct export_config *c)
{
	if (!c)
		return NULL;
	free(c->name);
	free(c->url);
	free(c->tenant);
	free(c->proxy);
	free(c->encoding);
	for (size_t i = 0; i < EXPORT_LIST_MAX; i++)
		free(c->attributes[i]);
	free_pairs(c->resource, c->n_resource);
	free_pairs(c->headers, c->n_headers);
	(void)service_rules_free(c->services);
	for (size_t i = 0; i < EXPORT_FILES; i++) {
		if (c->files[i])
			explicit_bzero(c->files[i], c->file_sizes[i]);
		free(c->files[i]);
	}
	free(c);
	return NULL;
}
