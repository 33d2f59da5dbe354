/* Profiles as files of any known format: one table of formats (file.c), found by the name's end for writing and by
 * content for reading. A new format is a row there. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "profile/compress.h"
#include "profile/pprof.h"
#include "profile/profile.h"

#define FILE_BYTES_MAX (512u << 20) /* of a file that is read or written */

/* How a format is written. Text formats show one value, pictures look at the rest. */
struct file_write_options {
	uint32_t value_index;
	const char *title; /* NULL: the default of the format */
	uint32_t width;    /* pixels; 0: default */
};

struct file_format {
	const char *name;             /* "pprof" */
	const char *suffixes;         /* of names, longest first, space between: ".pb.zst .zst" */
	enum compression compression; /* how it is written; reading looks at the content */
	/* NULL where it cannot be read. data is not compressed. */
	bool (*sniff)(const void *data, size_t n);
	int (*read)(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
	        struct profile_error *error);
	/* NULL where it cannot be written. Appends uncompressed bytes. */
	int (*write)(const struct profile *p, const struct file_write_options *options, struct buffer *out);
};

/* By the end of a path or by a name such as "folded"; NULL where nothing fits. */
const struct file_format *file_format_of(const char *path);
const struct file_format *file_format_named(const char *name);
/* All rows, for help texts and capabilities; NULL past the end. */
const struct file_format *file_format_at(size_t i);

/* Adds a file of any readable format and compression to dst, by the rules of pprof_read_into(), options included. */
int file_read_bytes(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        struct profile_error *error);
/* path "-" is standard input. -errno of opening and reading, with a sentence in error. */
int file_read_into(struct profile *dst, const struct pprof_read_options *options, int dirfd, const char *path,
        struct profile_error *error);
/* A new profile of one file; limits may be NULL. */
int file_load(const char *path, const struct profile_limits *limits, struct profile **ret, struct profile_error *error);

/* The bytes of a file in that format, compressed as the format has it. options may be NULL. */
int file_encode(const struct profile *p, const struct file_format *format, const struct file_write_options *options,
        struct buffer *out, struct profile_error *error);
/* By the name's end; .pb.gz where it says nothing. The file is there whole or not at all. path "-" is standard output,
 * as .pb.gz. */
int file_save(const char *path, const struct profile *p, const struct file_write_options *options,
        struct profile_error *error);
/* Bytes as a file that is there whole or not at all. A device, a pipe or the like is written to, never replaced; path
 * "-" is standard output. */
int file_write_bytes(const char *path, const struct buffer *b);
