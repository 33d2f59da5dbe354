/* pprof's wire format, read straight into the model and written straight from it. No I/O, no logging, no globals.
 *
 * Reading trusts nothing: ids, indices, counts, depths and lengths are checked where they are met, and the working
 * memory beside dst (ids and string offsets of the file, at most 8 bytes for each byte of input) counts against dst's
 * limit. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "profile/profile.h"

#define PPROF_BYTES_MAX (512u << 20) /* of one file, decompressed; more is -E2BIG */

enum {
	/* Every sample gets the empty stack: what is left is the header and one sample a label set with its totals. For
	 * indexes and series; takes a fraction of the time and the memory. */
	PPROF_READ_NO_STACKS = 1 << 0,
};

struct pprof_read_options {
	unsigned flags;
	const char *const *drop_labels; /* keys, NULL at the end: samples that differ in nothing else become one */
	/* Whether samples with these labels are taken (strings are dst's, dropped labels included). Called once for
	 * each distinct set. NULL: all. */
	bool (*want)(void *userdata, const struct profile *dst, const struct profile_label *labels, size_t n);
	void *userdata;
};

/* Adds a file to dst, raw or under gzip or zstd: the merge of both, totals exact. The first file gives dst its sample
 * types; later ones must have the same (in any order). Time is the earliest, durations add up, the longer period stays,
 * ledgers are merged (profile/ledger.h), other comments kept once. options may be NULL.
 * On failure dst holds what it held. -EBADMSG: malformed; -EINVAL: other sample types; -E2BIG: deeper or larger than
 * the model or PPROF_BYTES_MAX allows; -ENOSPC: dst's limit; -ENOMEM. */
int pprof_read_into(struct profile *dst, const struct pprof_read_options *options, const void *data, size_t n,
        struct profile_error *error);

/* A new profile of one file. limits may be NULL for the default. */
int pprof_read(const struct profile_limits *limits, const void *data, size_t n, struct profile **ret,
        struct profile_error *error);

/* Appends the uncompressed message. Only what samples reach is written; text that is not UTF-8 is mended with U+FFFD.
 * -E2BIG: over out's maximum. */
int pprof_write(const struct profile *p, struct buffer *out);
