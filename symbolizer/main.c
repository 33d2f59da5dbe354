/* ember-symbolizer: a child of emberd. Requests come on descriptor 3, see protocol.h. Ends when emberd closes its end.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/helper.h"
#include "base/log.h"
#include "symbolizer/dispatch.h"
#include "symbolizer/protocol.h"
#include "symbolizer/sandbox.h"

#define CPU_SECONDS_MAX 3600

static int serve_one(int fd)
{
	struct symbolizer_request request = { 0 };
	struct symbolizer_reply reply;
	int fds[SYMBOLIZER_FDS_MAX];
	size_t n_fds = 0;
	ssize_t k = socket_recv_fds(fd, &request, sizeof(request), fds, SYMBOLIZER_FDS_MAX, &n_fds);

	if (k <= 0)
		return (int)k;
	if ((size_t)k == sizeof(request))
		dispatch(&request, fds, n_fds, &reply);
	else
		reply = (struct symbolizer_reply){ .result = -EPROTO };
	for (size_t i = 0; i < n_fds; i++)
		(void)close(fds[i]);
	k = socket_send_fds(fd, &reply, sizeof(reply), NULL, 0);
	return k < 0 ? (int)k : 1;
}

static int parse_arguments(int argc, char **argv, uint64_t *ret_memory_max)
{
	static const char memory_max[] = "--memory-max=";

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)puts("ember-symbolizer " EMBER_VERSION);
		exit(EXIT_SUCCESS);
	}
	if (argc == 2 && strncmp(argv[1], memory_max, sizeof(memory_max) - 1) == 0) {
		char *end;

		errno = 0;
		*ret_memory_max = strtoull(argv[1] + sizeof(memory_max) - 1, &end, 10);
		return errno || *end ? -EINVAL : 0;
	}
	return argc == 1 ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	uint64_t memory_max = 0;
	struct stat st;
	int r;

	log_set_prefix("ember-symbolizer: ");
	r = parse_arguments(argc, argv, &memory_max);
	if (r < 0 || fstat(HELPER_SOCKET_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		log_err(0, "emberd starts this program with a socket as descriptor %d; there is nothing to do by hand",
		        HELPER_SOCKET_FD);
		return 2;
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return log_err(-errno, "cannot tie the process to emberd"), EXIT_FAILURE;
	r = sandbox_enter(&(struct sandbox_limits){
	        .memory_bytes = memory_max,
	        .file_bytes = SYMBOLIZER_ANSWER_BYTES_MAX,
	        .cpu_seconds = CPU_SECONDS_MAX,
	});
	if (r < 0)
		return log_err(r, "cannot enter the sandbox"), EXIT_FAILURE;
	/* A first reply, to no request: from here on, whatever goes wrong is the file's fault. */
	r = socket_send_fds(
	        HELPER_SOCKET_FD, &(struct symbolizer_reply){ .id = 0 }, sizeof(struct symbolizer_reply), NULL, 0);
	if (r < 0)
		return EXIT_FAILURE;
	do
		r = serve_one(HELPER_SOCKET_FD);
	while (r > 0);
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS); /* no exit handler needs to run, and none may open anything */
}
