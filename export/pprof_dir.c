/* A directory of `.pb.gz` files that rsync, a sidecar or a person picks up. The parent opened the file under a
 * temporary name and names it when we say that it is whole. */
#include "export/sender.h"

#include <string.h>
#include "base/fd.h"
#include "export/packer.h"
#include "profile/pprof.h"

static int transcode(const struct window *w, uint64_t *ret_bytes)
{
	_cleanup_buffer_ struct buffer packed = BUFFER(PPROF_BYTES_MAX);
	_cleanup_free_ char *data = NULL, *plain = NULL;
	size_t n, n_plain;
	int r;

	if (lseek(w->input, 0, SEEK_SET) < 0)
		return -errno;
	r = fd_read_all(w->input, PPROF_BYTES_MAX, &data, &n);
	if (r < 0)
		return r;
	r = decompress_bytes(compression_sniff(data, n), data, n, PPROF_BYTES_MAX, &plain, &n_plain);
	if (r < 0)
		return r;
	r = compress_bytes(COMPRESSION_GZIP, COMPRESSION_LEVEL_DEFAULT, plain, n_plain, &packed);
	if (r < 0)
		return r;
	r = fd_write_full(w->output, packed.data, packed.size);
	if (r < 0)
		return r;
	*ret_bytes = packed.size;
	return fsync(w->output) < 0 ? -errno : 0;
}

static void send_window(
        const struct export_config *c, struct http *http, const struct window *w, struct export_reply *reply)
{
	int r;

	(void)c;
	(void)http;
	if (w->output < 0) {
		reply_set(reply, EXPORT_REJECTED, "no file to write to");
		return;
	}
	r = transcode(w, &reply->bytes);
	reply->requests = 1;
	if (r == -EBADMSG || r == -E2BIG)
		reply_set(reply, EXPORT_REJECTED, "the window file is damaged");
	else if (r < 0)
		reply_set(reply, EXPORT_RETRY, "cannot write: %s", strerror(-r));
	else
		reply->outcome = EXPORT_SENT;
}

const struct sender pprof_dir_sender = { .name = "pprof-dir", .send = send_window };
