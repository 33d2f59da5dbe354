/* An answer of one kind in this process, and its frames. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "base/fd.h"
#include "symbolizer/dispatch.h"

struct lookup {
	char *data;
	size_t size;
	const struct symbols_header *header;
	const uint32_t *first;
	const struct symbols_frame *frames;
	const char *text;
};

_unused_ static void lookup_done(struct lookup *l)
{
	free(l->data);
	*l = (struct lookup){ 0 };
}

#define _cleanup_lookup_ _cleanup_(lookup_done)

_unused_ static int lookup_run(dispatch_t answer, const struct dispatch_input *in, struct lookup *ret)
{
	_cleanup_close_ int fd = memfd_create("answer", MFD_CLOEXEC);
	struct lookup l;
	uint64_t bytes = 0;
	int r = answer(in, fd, &bytes);

	if (r < 0)
		return r;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(fd, SYMBOLIZER_ANSWER_BYTES_MAX, &l.data, &l.size), 0);
	assert_int_equal(l.size, bytes);
	l.header = (const struct symbols_header *)l.data;
	assert_true(l.header->magic == SYMBOLS_MAGIC);
	assert_int_equal(l.header->n_queries, in->n_queries);
	l.first = (const uint32_t *)(l.header + 1);
	l.frames = (const struct symbols_frame *)(l.first + l.header->n_queries + 1);
	l.text = (const char *)(l.frames + l.header->n_frames);
	assert_int_equal(l.text + l.header->string_bytes - l.data, l.size);
	*ret = l;
	return 0;
}

_unused_ static int lookup_text(
        dispatch_t answer, const char *text, size_t size, const uint64_t *queries, uint32_t n, struct lookup *ret)
{
	_cleanup_close_ int fd = memfd_create("text", MFD_CLOEXEC);

	assert_int_equal(fd_pwrite_full(fd, text, size, 0), 0);
	return lookup_run(answer, &(struct dispatch_input){ .fd = fd, .queries = queries, .n_queries = n }, ret);
}

_unused_ static uint32_t lookup_count(const struct lookup *l, uint32_t query)
{
	assert_non_null(l->first);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): asserted above */
	return l->first[query + 1] - l->first[query];
}

/* The name of frame number k of a query, "" where it has fewer. */
_unused_ static const char *lookup_name(const struct lookup *l, uint32_t query, uint32_t k)
{
	return k < lookup_count(l, query) ? l->text + l->frames[l->first[query] + k].name : "";
}

_unused_ static const struct symbols_frame *lookup_frame(const struct lookup *l, uint32_t query, uint32_t k)
{
	assert_true(k < lookup_count(l, query));
	return &l->frames[l->first[query] + k];
}
