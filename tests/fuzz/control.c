#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/control.h"

static void echo(void *userdata, struct control_call *call, const json_t *params)
{
	(void)userdata;
	control_reply(call, json_deep_copy(params), -1);
}

/* Never answered: the client's end takes it away. */
static void keep(void *userdata, struct control_call *call, const json_t *params)
{
	(void)userdata;
	(void)call;
	(void)params;
}

/* Whatever a client sends. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct control_method methods[] = { { "echo", echo }, { "keep", keep }, { NULL, NULL } };
	struct control *c = NULL;
	sd_event *event = NULL;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return 0;
	if (sd_event_new(&event) >= 0 && control_new(event, methods, NULL, &c) >= 0)
		(void)control_serve(c, fds[0], NULL, NULL);
	for (size_t at = 0; c && at < size;) {
		ssize_t n = send(fds[1], data + at, size - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
		for (int i = 0; i < 20; i++)
			(void)sd_event_run(event, 0);
	}
	control_free(c);
	close_fd(fds[1]);
	sd_event_unref(event);
	return 0;
}
