#include "export/sender.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct sender *const senders[] = {
	&otlp_http_sender,
	&otlp_grpc_sender,
	&pyroscope_sender,
	&pyroscope_ingest_sender,
	&pprof_dir_sender,
};

const struct sender *sender_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(senders); i++)
		if (strcmp(senders[i]->name, name) == 0)
			return senders[i];
	return NULL;
}

void reply_set(struct export_reply *r, enum export_outcome outcome, const char *format, ...)
{
	va_list ap;

	r->outcome = outcome;
	va_start(ap, format);
	(void)vsnprintf(r->error, sizeof(r->error), format, ap);
	va_end(ap);
}

void reply_set_failure(struct export_reply *reply, struct http *http, int r)
{
	if (r == -EIO)
		reply_set(reply, EXPORT_RETRY, "%s", http_error(http));
	else if (r == -EREMOTEIO)
		reply_set(reply, EXPORT_BLOCKED, "%s", http_error(http));
	else if (r == -E2BIG)
		reply_set(reply, EXPORT_REJECTED, "one sample alone is larger than a request may be");
	else
		reply_set(reply, EXPORT_REFUSED, "%s", r == -ENOMEM ? "out of memory" : strerror(-r));
}
