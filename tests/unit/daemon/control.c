#include "tests/unit/unit.h"
#include "daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"

static struct control_call *kept;
static unsigned gone, closed;

static void on_gone(void *userdata)
{
	(void)userdata;
	gone++;
	kept = NULL;
}

static void on_closed(void *userdata)
{
	(void)userdata;
	closed++;
}

static void echo(void *userdata, struct control_call *call, const json_t *params)
{
	(void)userdata;
	control_reply(call, json_deep_copy(params), -1);
}

static void refuse(void *userdata, struct control_call *call, const json_t *params)
{
	(void)userdata;
	(void)params;
	control_fail(call, -ESRCH, "no process %d", 7);
}

static void later(void *userdata, struct control_call *call, const json_t *params)
{
	(void)userdata;
	(void)params;
	control_on_gone(call, on_gone, NULL);
	control_event(call, json_pack("{sb}", "started", 1));
	kept = call;
}

static void file(void *userdata, struct control_call *call, const json_t *params)
{
	_cleanup_close_ int fd = memfd_create("file", MFD_CLOEXEC);

	(void)userdata;
	(void)params;
	assert_int_equal(fd_write_full(fd, "contents", 8), 0);
	control_reply(call, NULL, fd);
}

static const struct control_method methods[] = {
	{ "echo", echo },
	{ "fail", refuse },
	{ "later", later },
	{ "file", file },
	{ NULL, NULL },
};

struct fixture {
	sd_event *event;
	struct control *control;
	int fd; /* the client's end */
};

static int set_up(void **state)
{
	static struct fixture f;
	int fds[2];

	kept = NULL;
	gone = closed = 0;
	f = (struct fixture){ 0 };
	assert_int_equal(sd_event_new(&f.event), 0);
	assert_int_equal(control_new(f.event, methods, NULL, &f.control), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(control_serve(f.control, fds[0], on_closed, NULL), 0);
	f.fd = fds[1];
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	control_free(f->control);
	close_fd(f->fd);
	sd_event_unref(f->event);
	return 0;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 50; i++)
		(void)sd_event_run(f->event, 0);
}

static const char *talk(struct fixture *f, const char *request)
{
	static char reply[CONTROL_LINE_MAX + 1024];
	ssize_t n;

	assert_int_equal(send(f->fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	turn(f);
	n = recv(f->fd, reply, sizeof(reply) - 1, 0);
	reply[n > 0 ? n : 0] = '\0';
	return reply;
}

static void answers(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(talk(f, "{\"id\":1,\"method\":\"echo\",\"params\":{\"a\":[1,2]}}\n"),
	        "{\"id\":1,\"result\":{\"a\":[1,2]}}\n");
	assert_string_equal(talk(f, "{\"id\":\"x\",\"method\":\"fail\"}\n"),
	        "{\"id\":\"x\",\"error\":\"no process 7\",\"errno\":3}\n");
	assert_string_equal(talk(f, "{\"method\":\"echo\"}\n\n{\"method\":\"echo\"}\n"),
	        "{\"id\":null,\"result\":{}}\n{\"id\":null,\"result\":{}}\n");
	assert_string_equal(talk(f, "{\"id\":2,\"method\":\"nothing\"}\n"),
	        "{\"id\":2,\"error\":\"no such method\",\"errno\":22}\n");
	/* in pieces */
	assert_string_equal(talk(f, "{\"id\":3,\"meth"), "");
	assert_string_equal(talk(f, "od\":\"echo\"}\n"), "{\"id\":3,\"result\":{}}\n");
}

static void refuses_what_is_no_request(void **state)
{
	static const char *const bad[] = { "nonsense\n", "[]\n", "{}\n", "{\"method\":1}\n",
		"{\"method\":\"echo\",\"params\":1}\n", "{\"method\":\"echo\",\"id\":{}}\n",
		"{\"method\":\"echo\",\"method\":\"echo\"}\n", "\xff\xfe\n", "{\"a\":\"\\u0000\"}\n" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_non_null(strstr(talk(f, bad[i]), "\"error\""));
	assert_string_equal(talk(f, "{\"id\":1,\"method\":\"echo\"}\n"), "{\"id\":1,\"result\":{}}\n");
}

static void refuses_depth_and_length(void **state)
{
	struct fixture *f = *state;
	static char text[CONTROL_LINE_MAX + 100];

	memset(text, '[', 20000);
	text[20000] = '\n';
	text[20001] = '\0';
	assert_non_null(strstr(talk(f, text), "nested too deep"));
	memset(text, 'x', sizeof(text) - 1);
	assert_non_null(strstr(talk(f, text), "too long"));
	assert_int_equal(closed, 1);
}

static void answers_later_and_hears_of_going(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(talk(f, "{\"id\":1,\"method\":\"later\"}\n"), "{\"id\":1,\"event\":{\"started\":true}}\n");
	assert_non_null(kept);
	/* another call meanwhile */
	assert_string_equal(talk(f, "{\"id\":2,\"method\":\"echo\"}\n"), "{\"id\":2,\"result\":{}}\n");
	control_reply(kept, NULL, -1);
	assert_string_equal(talk(f, ""), "{\"id\":1,\"result\":{}}\n");
	assert_int_equal(gone, 0);

	assert_non_null(strstr(talk(f, "{\"id\":3,\"method\":\"later\"}\n"), "started"));
	/* sends no more, still waits */
	assert_int_equal(shutdown(f->fd, SHUT_WR), 0);
	turn(f);
	assert_int_equal(closed, 0);
	assert_int_equal(gone, 0);
	f->fd = close_fd(f->fd);
	turn(f);
	assert_int_equal(gone, 1);
	assert_int_equal(closed, 1);
}

static void passes_a_file(void **state)
{
	struct fixture *f = *state;
	static const char request[] = "{\"id\":1,\"method\":\"file\"}\n";
	char reply[100], contents[9] = "";
	int fd = -1;
	size_t n_fds = 0;
	ssize_t n;

	assert_int_equal(send(f->fd, request, strlen(request), 0), strlen(request));
	turn(f);
	n = socket_recv_fds(f->fd, reply, sizeof(reply), &fd, 1, &n_fds);
	assert_int_equal(n, strlen("{\"id\":1,\"result\":{},\"fd\":true}\n"));
	assert_int_equal(n_fds, 1);
	assert_int_equal(fd_pread_full(fd, contents, 8, 0), 0);
	assert_string_equal(contents, "contents");
	close_fd(fd);
}

static void calls_under_way_are_bounded(void **state)
{
	struct fixture *f = *state;
	const char *replies;
	unsigned n = 0;

	for (int i = 0; i < CONTROL_CALLS_MAX * 3; i++)
		assert_true(send(f->fd, "{\"id\":1,\"method\":\"later\"}\n", 26, 0) == 26);
	replies = talk(f, "");
	for (const char *p = replies; (p = strstr(p, "started")); p++)
		n++;
	assert_int_equal(n, CONTROL_CALLS_MAX);
	/* one is answered: the next line that waited is taken */
	control_reply(kept, NULL, -1);
	replies = talk(f, "");
	assert_non_null(strstr(replies, "started"));
}

static void a_client_that_does_not_read_is_cut_off(void **state)
{
	struct fixture *f = *state;
	static char request[CONTROL_LINE_MAX];
	size_t size;

	size = (size_t)snprintf(request, sizeof(request), "{\"id\":1,\"method\":\"echo\",\"params\":{\"x\":\"");
	memset(request + size, 'y', 50000);
	strcpy(request + size + 50000, "\"}}\n");
	for (int i = 0; i < 500 && !closed; i++) {
		(void)!send(f->fd, request, strlen(request), MSG_NOSIGNAL);
		turn(f);
	}
	assert_int_equal(closed, 1);
}

static void listens(void **state)
{
	struct fixture *f = *state;
	char directory[] = "/tmp/unit-control-XXXXXX";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_(control_freep) struct control *second = NULL;
	int fds[CONTROL_CLIENTS_MAX + 2];
	char reply[200] = "";

	assert_non_null(mkdtemp(directory));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/control.sock", directory);
	assert_int_equal(control_listen(f->control, a.sun_path), 0);
	assert_int_equal(control_new(f->event, methods, NULL, &second), 0);
	assert_int_equal(control_listen(second, a.sun_path), -EADDRINUSE);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof(a)), 0);
		turn(f);
	}
	assert_true(recv(fds[ARRAY_SIZE(fds) - 1], reply, sizeof(reply) - 1, 0) > 0);
	assert_non_null(strstr(reply, "too many clients"));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	turn(f);
	f->control = control_free(f->control);
	assert_int_equal(access(a.sun_path, F_OK), -1);
	assert_int_equal(rmdir(directory), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	CASE(answers),
	CASE(refuses_what_is_no_request),
	CASE(refuses_depth_and_length),
	CASE(answers_later_and_hears_of_going),
	CASE(passes_a_file),
	CASE(calls_under_way_are_bounded),
	CASE(a_client_that_does_not_read_is_cut_off),
	CASE(listens),
};

UNIT_MAIN(tests)
