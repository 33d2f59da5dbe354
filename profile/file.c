#include "profile/file.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "profile/flamegraph.h"
#include "profile/folded.h"
#include "profile/heap_dump.h"
#include "profile/merge.h"
#include "profile/otlp.h"
#include "profile/speedscope.h"

_printf_(3, 4) static int fail(struct profile_error *error, int code, const char *format, ...)
{
	va_list ap;

	if (error) {
		va_start(ap, format);
		(void)vsnprintf(error->text, sizeof(error->text), format, ap);
		va_end(ap);
	}
	return code;
}

/* ---- the formats ---- */

static int write_pprof(const struct profile *p, const struct file_write_options *options, struct buffer *out)
{
	(void)options;
	return pprof_write(p, out);
}

static int write_folded(const struct profile *p, const struct file_write_options *options, struct buffer *out)
{
	return folded_write(p, options->value_index, out);
}

static int write_speedscope(const struct profile *p, const struct file_write_options *options, struct buffer *out)
{
	return speedscope_write(p, options->title ? options->title : "emberd", options->value_index, out);
}

static struct flamegraph_options flamegraph_options_of(const struct file_write_options *options)
{
	return (struct flamegraph_options){ .value_index = options->value_index,
		.title = options->title,
		.width = options->width,
		.group_by = FLAMEGRAPH_GROUP_DEFAULT };
}

static int write_svg(const struct profile *p, const struct file_write_options *options, struct buffer *out)
{
	const struct flamegraph_options o = flamegraph_options_of(options);

	return flamegraph_svg(p, &o, out);
}

static int write_html(const struct profile *p, const struct file_write_options *options, struct buffer *out)
{
	const struct flamegraph_options o = flamegraph_options_of(options);

	return flamegraph_html(p, &o, out);
}

/* Formats that know nothing of options are read on their own and merged with them. */
static int read_apart(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        int (*read)(struct profile *dst, const void *data, size_t n, struct profile_error *error),
        struct profile_error *error)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct merge_options merge = MERGE_OPTIONS_DEFAULT;
	int r = profile_new(&(struct profile_limits){ .bytes_max = profile_bytes_left(dst) }, &p);

	if (r < 0)
		return fail(error, r, "the limit of memory for one profile is reached");
	r = read(p, data, n, error);
	if (r < 0)
		return r;
	if (options) {
		merge.drop_labels = options->drop_labels;
		merge.want = options->want;
		merge.userdata = options->userdata;
		merge.no_stacks = options->flags & PPROF_READ_NO_STACKS;
	}
	return profile_merge(dst, p, &merge, error);
}

static int read_folded(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        struct profile_error *error)
{
	return read_apart(dst, options, data, n, folded_read, error);
}

static int read_heap_dump(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        struct profile_error *error)
{
	return read_apart(dst, options, data, n, heap_dump_read, error);
}

static int read_otlp(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        struct profile_error *error)
{
	return read_apart(dst, options, data, n, otlp_read, error);
}

static int write_otlp(const struct profile *p, const struct file_write_options *options, struct buffer *out)
{
	(void)options;
	return otlp_write(p, out);
}

/* A message whose first field is one of pprof's, of the right wire type: a sample type, in all writers known. */
static bool sniff_pprof(const void *data, size_t n)
{
	const uint8_t *bytes = data;

	return n > 0 && bytes[0] >> 3 >= 1 && bytes[0] >> 3 <= 15 && ((bytes[0] & 7) == 0 || (bytes[0] & 7) == 2);
}

/* Text formats and OTLP first: pprof's first byte is less telling. */
static const struct file_format formats[] = {
	{ "heap", ".heap", COMPRESSION_NONE, heap_dump_sniff, read_heap_dump, NULL },
	{ "folded", ".folded .collapsed", COMPRESSION_NONE, folded_sniff, read_folded, write_folded },
	{ "otlp", ".otlp", COMPRESSION_NONE, otlp_sniff, read_otlp, write_otlp },
	{ "pprof", ".pb.gz .pprof .gz", COMPRESSION_GZIP, sniff_pprof, pprof_read_into, write_pprof },
	{ "pprof-zstd", ".pb.zst .zst", COMPRESSION_ZSTD, NULL, NULL, write_pprof },
	{ "pprof-raw", ".pb", COMPRESSION_NONE, NULL, NULL, write_pprof },
	{ "speedscope", ".speedscope.json", COMPRESSION_NONE, NULL, NULL, write_speedscope },
	{ "svg", ".svg", COMPRESSION_NONE, NULL, NULL, write_svg },
	{ "html", ".html .htm", COMPRESSION_NONE, NULL, NULL, write_html },
};

const struct file_format *file_format_at(size_t i)
{
	return i < ARRAY_SIZE(formats) ? &formats[i] : NULL;
}

const struct file_format *file_format_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

static bool has_suffix(const char *path, const char *suffixes)
{
	size_t n = strlen(path);

	for (const char *s = suffixes; *s;) {
		size_t k = strcspn(s, " ");

		if (n > k && memcmp(path + n - k, s, k) == 0)
			return true;
		s += k + (s[k] == ' ');
	}
	return false;
}

const struct file_format *file_format_of(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (has_suffix(path, formats[i].suffixes))
			return &formats[i];
	return NULL;
}

/* ---- reading ---- */

int file_read_bytes(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        struct profile_error *error)
{
	enum compression compression = compression_sniff(data, n);
	_cleanup_free_ char *plain = NULL;
	int r;

	if (n == 0)
		return fail(error, -EBADMSG, "empty");
	if (compression != COMPRESSION_NONE) {
		size_t max = (size_t)MIN((uint64_t)FILE_BYTES_MAX, profile_bytes_left(dst));

		r = decompress_bytes(compression, data, n, max, &plain, &n);
		if (r == -E2BIG)
			return fail(error, r, "larger than %zu bytes when decompressed", max);
		if (r < 0)
			return fail(error, r, r == -ENOMEM ? "out of memory" : "malformed or cut short compression");
		data = plain;
	}
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i].sniff && formats[i].sniff(data, n))
			return formats[i].read(dst, options, data, n, error);
	return fail(error, -EBADMSG, "not a profile of a known format");
}

int file_read_into(struct profile *dst, const struct pprof_read_options *options, int dirfd, const char *path,
        struct profile_error *error)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_close_ int fd = -1;
	size_t n;
	int r;

	assert(path);

	if (strcmp(path, "-") != 0) { /* blocking: the shell's <(command) is a pipe */
		fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return fail(error, -errno, "cannot open: %s", strerror(errno));
	}
	r = fd_read_all(fd >= 0 ? fd : STDIN_FILENO, FILE_BYTES_MAX, &data, &n);
	if (r < 0)
		return fail(error, r, "cannot read: %s", strerror(-r));
	return file_read_bytes(dst, options, data, n, error);
}

int file_load(const char *path, const struct profile_limits *limits, struct profile **ret, struct profile_error *error)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	int r = profile_new(limits, &p);

	if (r < 0)
		return fail(error, r, "out of memory");
	r = file_read_into(p, NULL, AT_FDCWD, path, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

/* ---- writing ---- */

int file_encode(const struct profile *p, const struct file_format *format, const struct file_write_options *options,
        struct buffer *out, struct profile_error *error)
{
	_cleanup_buffer_ struct buffer plain = BUFFER(FILE_BYTES_MAX);
	struct file_write_options defaults = { 0 };
	int r;

	if (!format->write)
		return fail(error, -EOPNOTSUPP, "the format %s can only be read", format->name);
	/* A picture shows what the profile is about; folded text counts samples. */
	if (format->write == write_svg || format->write == write_html)
		defaults.value_index = profile_default_value(p);
	options = options ? options : &defaults;
	if (format->compression == COMPRESSION_NONE)
		r = format->write(p, options, out);
	else
		r = format->write(p, options, &plain);
	if (r >= 0 && format->compression != COMPRESSION_NONE)
		r = compress_bytes(format->compression, COMPRESSION_LEVEL_DEFAULT, plain.data, plain.size, out);
	return r < 0 ? fail(error, r, "cannot write as %s: %s", format->name, strerror(-r)) : 0;
}

int file_write_bytes(const char *path, const struct buffer *b)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (strcmp(path, "-") == 0)
		return fd_write_full(STDOUT_FILENO, b->data, b->size);
	if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
		return file_write_atomic(AT_FDCWD, path, b->data, b->size, 0644);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd_write_full(fd, b->data, b->size);
}

int file_save(const char *path, const struct profile *p, const struct file_write_options *options,
        struct profile_error *error)
{
	_cleanup_buffer_ struct buffer out = BUFFER(FILE_BYTES_MAX);
	const struct file_format *format = file_format_of(path);
	int r;

	r = file_encode(p, format ? format : file_format_named("pprof"), options, &out, error);
	if (r < 0)
		return r;
	r = file_write_bytes(path, &out);
	return r < 0 ? fail(error, r, "cannot write: %s", strerror(-r)) : 0;
}
