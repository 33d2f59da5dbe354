#include "daemon/leak_watch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "profile/leak_text.h"
#include "base/utf8.h"
#include "store/leak_windows.h"

#define LOOK_BACK_NS (24 * 3600 * NS_PER_SEC)
#define TEXT_BYTES_MAX 4096u
#define NUMBER(x) ((json_int_t)(x))

/* Names are any bytes; neither JSON nor a line of a log is. */
static json_t *clean(const char *text)
{
	struct buffer b = BUFFER(TEXT_BYTES_MAX);
	json_t *s = NULL;

	if (utf8_append_clean(&b, text, strlen(text)) >= 0) {
		for (size_t i = 0; i < b.size; i++)
			if ((unsigned char)b.data[i] < 0x20 || b.data[i] == 0x7f)
				b.data[i] = '?';
		s = json_stringn(b.size ? (const char *)b.data : "", b.size);
	}
	buffer_done(&b);
	return s;
}

static json_t *suspect_json(const char *type, const struct profile *p, const struct leak_suspect *s)
{
	const struct leak_result *x = &s->result;
	char stack[LEAK_STACK_TEXT_MAX], number[LEAK_LABEL_TEXT_MAX];

	leak_stack_text(p, s->key.stack, stack, sizeof(stack));
	return json_pack("{sssosososIsIsIsfsf}", "type", type, "comm",
	        clean(leak_label_text(p, s->key.labels, "comm", number)), "pid",
	        clean(leak_label_text(p, s->key.labels, "pid", number)), "stack", clean(stack), "growth_bytes",
	        NUMBER(x->growth), "held_bytes", NUMBER(x->last), "age_ns", NUMBER(x->age_ns), "slope_bytes_per_second",
	        x->slope, "confidence", x->confidence);
}

static int look_at(struct store *s, const char *type, json_t *list)
{
	static const char *const drop[] = { "tid", "thread", NULL };
	const struct leak_windows_options options = { .newest = LEAK_WATCH_WINDOWS_MAX };
	int64_t now = (int64_t)clock_now_ns(CLOCK_REALTIME);
	const struct selection sel = { .type = type, .from_ns = now - (int64_t)LOOK_BACK_NS, .to_ns = now };
	_cleanup_(leaks_freep) struct leaks *leaks = NULL;
	_cleanup_free_ struct leak_suspect *suspects = NULL;
	uint64_t windows = 0;
	size_t n = 0;
	int r;

	r = leaks_new(NULL, drop, NULL, &leaks);
	if (r >= 0)
		r = leak_windows_add(s, &sel, &options, leaks, &windows);
	if (r >= 0 && windows >= LEAK_POINTS_MIN)
		r = leaks_judge(leaks, &(struct leak_options){ 0 }, &suspects, &n);
	for (size_t i = 0; r >= 0 && i < n && json_array_size(list) < LEAK_WATCH_SHOWN_MAX; i++)
		if (suspects[i].result.verdict == LEAK_GROWING)
			(void)json_array_append_new(list, suspect_json(type, leaks_profile(leaks), &suspects[i]));
	return r;
}

json_t *leak_watch_look(struct store *s)
{
	static const char *const types[] = { "memory", "heap" };
	json_t *list = json_array();

	for (size_t i = 0; list && i < ARRAY_SIZE(types); i++) {
		int r = look_at(s, types[i], list);

		if (r < 0 && r != -ENODATA && r != -ENOENT)
			log_debug("cannot look for leaks in %s: error %d", types[i], -r);
	}
	return list;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void log_one(const json_t *leak)
{
	char growth[UNITS_TEXT_MAX], slope[UNITS_TEXT_MAX], age[UNITS_TEXT_MAX];
	double per_minute = 60 * json_real_value(json_object_get(leak, "slope_bytes_per_second"));

	(void)log_warning(0,
	        "leak: %s (PID %s) holds %s more than %s ago, %s a minute, confidence %.1f%%, allocated in %s (%s)",
	        text(leak, "comm"), text(leak, "pid"),
	        units_format_value(growth, json_integer_value(json_object_get(leak, "growth_bytes")), "bytes"),
	        units_format_time(age, (uint64_t)json_integer_value(json_object_get(leak, "age_ns"))),
	        units_format_value(slope, (int64_t)per_minute, "bytes"),
	        100 * json_real_value(json_object_get(leak, "confidence")), text(leak, "stack"), text(leak, "type"));
}

void leak_watch_log(json_t *told, const json_t *leaks)
{
	const json_t *leak;
	size_t i;

	json_array_foreach (leaks, i, leak) {
		char key[LEAK_STACK_TEXT_MAX + 128];

		(void)snprintf(key, sizeof(key), "%s %s %s %s", text(leak, "type"), text(leak, "comm"),
		        text(leak, "pid"), text(leak, "stack"));
		if (json_object_get(told, key))
			continue;
		if (json_object_size(told) >= LEAK_WATCH_TOLD_MAX)
			(void)json_object_clear(told);
		(void)json_object_set_new(told, key, json_true());
		log_one(leak);
	}
}
