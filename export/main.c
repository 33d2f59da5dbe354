/* ember-export: sends window files to one destination for a parent that has the privilege we do not. Started with one
 * end of a socket as descriptor 3, told everything over it, ends when the parent closes it. */
#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <xxhash.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/helper.h"
#include "base/log.h"
#include "export/config.h"
#include "export/http.h"
#include "export/sandbox.h"
#include "export/sender.h"
#include "profile/pprof.h"

#define WINDOW_FILE_BYTES_MAX (256u << 20)
#define SECRET_BYTES_MAX (64u << 10)
#define CA_BYTES_MAX (4u << 20)
#define PROFILE_BYTES_MAX (512ull << 20)
#define MMAP_BYTES (64 << 10)

/* Where distributions keep what they trust, for https without CaFile=. */
static const char *const system_ca_files[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fds[i] = close_fd(fds[i]);
}

static int read_files(struct export_config *c, uint32_t present, int *fds, size_t n_fds)
{
	size_t next = 0;

	for (uint32_t file = 0; file < EXPORT_FILES; file++) {
		int r;

		if (!(present & 1u << file))
			continue;
		if (next >= n_fds)
			return log_err(-EPROTO, "a file of the configuration did not come");
		r = fd_read_all(fds[next++], file == EXPORT_FILE_CA ? CA_BYTES_MAX : SECRET_BYTES_MAX, &c->files[file],
		        &c->file_sizes[file]);
		if (r < 0)
			return log_err(r, "cannot read a token or certificate file");
	}
	return 0;
}

static void read_system_ca(struct export_config *c)
{
	if (!c->sender->needs_network || c->files[EXPORT_FILE_CA] || strncmp(c->url, "https:", 6) != 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(system_ca_files); i++)
		if (file_read_all(AT_FDCWD, system_ca_files[i], CA_BYTES_MAX, &c->files[EXPORT_FILE_CA],
		            &c->file_sizes[EXPORT_FILE_CA]) == 0)
			return;
}

static int receive_config(struct export_config **ret)
{
	_cleanup_(export_config_freep) struct export_config *c = NULL;
	_cleanup_free_ char *message = malloc(sizeof(struct export_hello) + EXPORT_CONFIG_BYTES_MAX);
	char error[EXPORT_ERROR_MAX] = "";
	struct export_hello hello;
	int fds[EXPORT_FILES];
	size_t n_fds = 0;
	ssize_t n;
	int r;

	if (!message)
		return log_err(-ENOMEM, "cannot start");
	n = socket_recv_fds(HELPER_SOCKET_FD, message, sizeof(struct export_hello) + EXPORT_CONFIG_BYTES_MAX, fds,
	        EXPORT_FILES, &n_fds);
	if (n < 0)
		return log_err((int)n,
		        "started without a socket as descriptor %d; emberd and emberctl start this program",
		        HELPER_SOCKET_FD);
	r = n < (ssize_t)sizeof(hello) ? -EPROTO : 0;
	if (r == 0) {
		memcpy(&hello, message, sizeof(hello));
		r = hello.version == EXPORT_VERSION ? 0 : -EPROTO;
	}
	if (r == 0)
		r = export_config_parse(message + sizeof(hello), (size_t)n - sizeof(hello), &c, error);
	if (r < 0)
		(void)log_err(r, "%s", *error ? error : "the parent speaks another protocol");
	else
		r = read_files(c, hello.files, fds, n_fds);
	close_all(fds, n_fds);
	if (r < 0)
		return r;
	read_system_ca(c);
	*ret = TAKE_PTR(c);
	return 0;
}

static int read_window(struct window *w, bool needs_profile, struct export_reply *reply)
{
	const struct profile_limits limits = { .bytes_max = PROFILE_BYTES_MAX };
	_cleanup_free_ char *data = NULL, *plain = NULL;
	struct profile_error error = { 0 };
	XXH128_canonical_t id;
	size_t n;
	int r;

	if (!needs_profile)
		return 0;
	r = fd_read_all(w->input, WINDOW_FILE_BYTES_MAX, &data, &n);
	if (r < 0) {
		reply_set(reply, r == -E2BIG ? EXPORT_REJECTED : EXPORT_REFUSED, "cannot read the window: %s",
		        strerror(-r));
		return r;
	}
	XXH128_canonicalFromHash(&id, XXH3_128bits(data, n));
	memcpy(w->id, id.digest, sizeof(w->id));
	/* In two steps: the packed bytes are gone before the profile grows. */
	r = decompress_bytes(compression_sniff(data, n), data, n, PPROF_BYTES_MAX, &plain, &n);
	free(TAKE_PTR(data));
	if (r >= 0)
		r = pprof_read(&limits, plain, n, &w->profile, &error);
	if (r < 0)
		reply_set(reply, r == -ENOMEM ? EXPORT_REFUSED : EXPORT_REJECTED, "the window cannot be read: %s",
		        *error.text ? error.text : strerror(-r));
	return r;
}

static void measure(struct export_reply *reply)
{
	struct rusage u;

	reply->cpu_ns = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (getrusage(RUSAGE_SELF, &u) == 0)
		reply->rss_bytes = (uint64_t)u.ru_maxrss * 1024;
}

static int send_message(const void *message, size_t size)
{
	ssize_t n;

	do
		n = send(HELPER_SOCKET_FD, message, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int tell(const struct export_reply *reply)
{
	const struct export_progress progress = {
		.id = reply->id,
		.parts_done = reply->parts_done,
		.requests = reply->requests,
		.bytes = reply->bytes,
		.samples = reply->samples,
		.rejected = reply->rejected,
	};

	return send_message(&progress, sizeof(progress));
}

static int await(uint64_t id)
{
	struct export_go_on message;
	ssize_t n;

	do
		n = recv(HELPER_SOCKET_FD, &message, sizeof(message), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(message) && message.id == id ? 0 : -EPIPE;
}

static int do_job(const struct export_config *c, struct http *http, struct export_job *job, int input, int output)
{
	struct export_reply reply = { .id = job->id };
	struct window w = { .job = job, .input = input, .output = output, .tell = tell, .await = await };
	int r;

	job->name[sizeof(job->name) - 1] = 0;
	r = read_window(&w, c->sender->needs_profile, &reply);
	(void)malloc_trim(0);
	if (r >= 0)
		c->sender->send(c, http, &w, &reply);
	w.profile = profile_free(w.profile);
	measure(&reply);
	export_config_mask(c, reply.error);
	return send_message(&reply, sizeof(reply));
}

/* A parent that died before we asked to die with it has left its job behind; the next emberd sends that window again.
 */
static bool is_parent_gone(void)
{
	struct pollfd socket = { .fd = HELPER_SOCKET_FD, .events = POLLRDHUP };

	return poll(&socket, 1, 0) > 0 && socket.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static int serve(const struct export_config *c, struct http *http)
{
	for (;;) {
		int fds[2] = { -1, -1 };
		struct export_job job;
		size_t n_fds = 0;
		ssize_t n;
		int r;

		n = socket_recv_fds(HELPER_SOCKET_FD, &job, sizeof(job), fds, 2, &n_fds);
		if (n == sizeof(struct export_go_on) && n_fds == 0)
			continue; /* to the last part of the job before: nothing came behind it */
		if (n == 0 || n == -ECONNRESET)
			return 0;
		if (n < 0)
			return log_err((int)n, "cannot hear the parent");
		if (is_parent_gone()) {
			close_all(fds, n_fds);
			return 0;
		}
		r = n == sizeof(job) && n_fds >= 1 ? do_job(c, http, &job, fds[0], fds[1]) : -EPROTO;
		close_all(fds, n_fds);
		if (r == -EPIPE)
			return 0;
		if (r < 0)
			return log_err(r, "cannot answer the parent");
	}
}

static int run(void)
{
	_cleanup_(export_config_freep) struct export_config *c = NULL;
	_cleanup_(http_freep) struct http *http = NULL;
	int r;

	r = sandbox_drop_privileges();
	if (r < 0)
		return log_err(r, "cannot give up privileges");
	r = receive_config(&c);
	if (r < 0)
		return r;
	assert(c);
	if (c->sender->needs_network) {
		r = http_new(c, &http);
		if (r < 0)
			return log_err(r, "cannot start libcurl");
	}
	r = sandbox_enter(c->sender->needs_network, c->memory_max);
	if (r < 0)
		return log_err(r, "cannot enter the sandbox");
	return serve(c, http);
}

int main(int argc, char **argv)
{
	int r;

	(void)argv;
	if (argc > 1) {
		if (strcmp(argv[1], "--version") == 0) {
			puts("ember-export " EMBER_VERSION);
			return 0;
		}
		fputs("Usage: ember-export\nSends profiles; emberd and emberctl start it. It takes no arguments.\n",
		        strcmp(argv[1], "--help") == 0 ? stdout : stderr);
		return strcmp(argv[1], "--help") == 0 ? 0 : 2;
	}
	log_set_prefix("ember-export: ");
	(void)signal(SIGPIPE, SIG_IGN);
	/* Large buffers come and go one after the other: what is given back must not stay in a heap. */
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	r = run();
	/* Nothing after this: what libraries do at exit is not in the filter. */
	_exit(r < 0 ? 1 : 0);
}
