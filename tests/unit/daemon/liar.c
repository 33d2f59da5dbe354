/* A child that breaks the protocol in the way its name says: what ember-symbolizer could do once a file has taken it
 * over. */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include "base/fd.h"
#include "symbolizer/protocol.h"

#define SOCKET_FD 3

static void reply(struct symbolizer_reply r)
{
	(void)socket_send_fds(SOCKET_FD, &r, sizeof(r), NULL, 0);
}

static void lie(const char *how, const struct symbolizer_request *request, int answer)
{
	struct symbolizer_reply r = { .id = request->id, .answer_bytes = 16 };
	void *p = MAP_FAILED;

	if (strcmp(how, "honest") == 0 || strcmp(how, "mapped") == 0)
		(void)fd_pwrite_full(answer, "0123456789abcdef", 16, 0);
	if (strcmp(how, "mapped") == 0)
		p = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, answer, 0);
	if (strcmp(how, "wrong-id") == 0)
		r.id++;
	if (strcmp(how, "huge") == 0)
		r.answer_bytes = 1ull << 40;
	if (strcmp(how, "empty") == 0)
		r.answer_bytes = 0;
	if (strcmp(how, "positive") == 0)
		r.result = 5;
	if (strcmp(how, "no-errno") == 0)
		r.result = INT32_MIN;
	if (strcmp(how, "short") == 0)
		(void)socket_send_fds(SOCKET_FD, &r, 8, NULL, 0);
	else
		reply(r);
	if (p != MAP_FAILED)
		(void)pause(); /* keeps the mapping */
}

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL, *how = slash ? slash + 1 : "honest";
	struct symbolizer_request request;
	int fds[SYMBOLIZER_FDS_MAX];
	size_t n_fds;

	if (strcmp(how, "no-hello") != 0)
		reply((struct symbolizer_reply){ .id = 0 });
	if (strcmp(how, "chatty") == 0)
		reply((struct symbolizer_reply){ .id = 0 });
	while (socket_recv_fds(SOCKET_FD, &request, sizeof(request), fds, SYMBOLIZER_FDS_MAX, &n_fds) > 0) {
		lie(how, &request, n_fds > 1 ? fds[1] : -1);
		for (size_t i = 0; i < n_fds; i++)
			(void)close(fds[i]);
	}
	_exit(0);
}
