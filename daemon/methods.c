/* What the control socket can be asked. */
#include "daemon/manager.h"

static void handle_status(void *userdata, struct control_call *call, const json_t *params)
{
	(void)params;
	control_reply(call, status_json(userdata), -1);
}

static void handle_features(void *userdata, struct control_call *call, const json_t *params)
{
	(void)userdata;
	(void)params;
	control_reply(call, features_json(), -1);
}

static void handle_reload(void *userdata, struct control_call *call, const json_t *params)
{
	_cleanup_free_ char *error = NULL;
	int r = manager_reload(userdata, &error);

	(void)params;
	if (r < 0)
		control_fail(call, r, "%s; the configuration in force stays", error ? error : "cannot reload");
	else
		control_reply(call, NULL, -1);
}

static void handle_record(void *userdata, struct control_call *call, const json_t *params)
{
	record_handle(userdata, call, params);
}

/* Ends the recordings of the same client; each answers its own call. */
static void handle_stop(void *userdata, struct control_call *call, const json_t *params)
{
	const void *client = control_client(call);

	(void)params;
	control_reply(call, NULL, -1);
	record_stop(userdata, client);
}

static void handle_flush(void *userdata, struct control_call *call, const json_t *params)
{
	(void)params;
	manager_flush(userdata);
	control_reply(call, NULL, -1);
}

static void handle_upload_refused(void *userdata, struct control_call *call, const json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct manager *m = userdata;
	unsigned n = 0;
	int r = uploads_take_back(m->uploads, name, &n);

	if (r < 0)
		control_fail(call, r, "there is no upload destination '%s'", name);
	else
		control_reply(call, json_pack("{si}", "windows", (int)n), -1);
}

const struct control_method manager_methods[] = {
	{ "status", handle_status },
	{ "features", handle_features },
	{ "reload", handle_reload },
	{ "record", handle_record },
	{ "stop", handle_stop },
	{ "flush", handle_flush },
	{ "upload-refused", handle_upload_refused },
	{ NULL, NULL },
};
